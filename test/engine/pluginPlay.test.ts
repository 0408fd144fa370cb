import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { shipped } from '../../actors/homePaths.ts'
import { makeSshKeyPair } from '../../actors/identity/sshKey.ts'
import { ansibleEnvironment } from '../../actors/pluginRunner/ansibleProgram.ts'
import { dynamicInventory } from '../../actors/ssh/inventory.ts'
import { sshConfigOf, writeSshConfig } from '../../actors/ssh/sshConfig.ts'
import type { Loan } from '../../protocol/groupTracker.ts'
import { knownHostsText } from '../../protocol/ssh.ts'
import { startContainers, type TestContainers } from '../support/pluginContainers.ts'
import { pluginFixture } from '../support/pluginFixture.ts'

let containers: TestContainers
let temp: string
const canary = () => join(temp, 'canary')

before(async () => {
  temp = mkdtempSync(join(tmpdir(), 'p2prc-play-'))
  // Private folders of runs are created here, so that a leftover is found in spite of other tests.
  process.env.TMPDIR = temp
  containers = await startContainers(3, 2)
})
after(async () => {
  await containers.remove()
  rmSync(temp, { recursive: true })
})

const fixture = (loans: readonly Loan[] = containers.loans.slice(0, 2), env: NodeJS.ProcessEnv = process.env) =>
  pluginFixture(loans, { files: containers.files, env })

function inContainer(index: number, ...command: string[]): string {
  const { Container } = containers.loans[index] as Loan
  const options = [
    '-F',
    '/dev/null',
    '-o',
    'StrictHostKeyChecking=no',
    '-o',
    'UserKnownHostsFile=/dev/null',
    '-o',
    'LogLevel=ERROR',
  ]
  const endpoint = ['-i', containers.files.key, '-p', String(Container.Ports.Port[0]?.ExternalPort), 'root@127.0.0.1']
  return execFileSync('ssh', [...options, ...endpoint, ...command], { encoding: 'utf8' }).trim()
}

/** Processes whose command line names a private folder of a run. */
function leftovers(): string[] {
  const all = execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' }).split('\n')
  return all.filter((line) => line.includes(join(temp, 'p2prc-')))
}

const hello = `
- hosts: all
  become: true
  tasks:
    - name: say
      command: echo {{index . 0}} {{index . 1}} {{ inventory_hostname }} {{ ansible_user }}
      register: said
    - name: keep
      copy: {content: "{{ said.stdout }}", dest: /root/said}
    - name: serve
      shell: echo $$ > /root/pid; exec sleep 10000 {{index . 0}}
      async: 2592000
      poll: 0
    - name: each
      command: echo {{ item }}
      loop: [a, b]
`

for (const stock of [false, true]) {
  test(`P2PRC's way of writing a plugin runs over the group at once${stock ? ', without Mitogen too' : ''}`, async () => {
    const at = fixture()
    try {
      at.plugin('hello', hello, 2, {
        'ansible.cfg': '[defaults]\nstdout_callback = minimal\nhost_key_checking = False\n',
      })
      const { failure, members, steps } = await at.run('hello', 'grp', { stock })
      assert.equal(failure, undefined)
      assert.deepEqual(
        members.map(({ status }) => status),
        ['ok', 'ok'],
      )
      for (const [index, member] of members.entries()) {
        const ports = member.ports.map(({ internal }) => internal)
        assert.equal(inContainer(index, 'cat /root/said'), `${ports.join(' ')} ${member.member} root`)
        assert.equal(inContainer(index, 'ps -o args= -p $(cat /root/pid)'), `sleep 10000 ${ports[0]}`)
        inContainer(index, 'kill $(cat /root/pid)')
        const mine = steps.filter((step) => step.member === member.member)
        assert.deepEqual(
          mine
            .filter(({ task, status }) => task === 'each' && status !== 'running')
            .map(({ item, status }) => [item, status]),
          [
            ['a', 'changed'],
            ['b', 'changed'],
            ['', 'changed'],
          ],
        )
        assert.deepEqual(
          mine.slice(0, 2).map(({ task, status }) => [task, status]),
          [
            ['Gathering Facts', 'running'],
            ['Gathering Facts', 'ok'],
          ],
        )
      }
      assert.deepEqual(
        at.used,
        members.map(({ id, ports }) => [id, ports.map(({ internal }) => internal)]),
      )
      assert.deepEqual(leftovers(), [])
    } finally {
      await at.stop()
    }
  })
}

test('if a run fails on one member, its ports stay free and those of the other are marked as used', async () => {
  const at = fixture()
  try {
    at.plugin(
      'half',
      '- hosts: host1\n  gather_facts: false\n  tasks:\n    - name: decide\n      command: test {{ p2prc_index }} = 0\n',
      1,
    )
    const { failure, members, code } = await at.run('half')
    assert.equal(code, 'plugin_failed')
    assert.match(
      failure?.message ?? '',
      /"half" failed on 1 of 2 containers: \w{12} \(failed\) decide: non-zero return code/,
    )
    assert.deepEqual(
      members.map(({ status }) => status),
      ['ok', 'failed'],
    )
    assert.deepEqual(
      at.used.map(([id]) => id),
      [members[0]?.id],
    )
  } finally {
    await at.stop()
  }
})

test('an invalid playbook, and one that names no member, fail with the reason', async () => {
  const at = fixture()
  try {
    at.plugin('yaml', '- hosts: [\n')
    at.plugin('module', '- hosts: main\n  gather_facts: false\n  tasks:\n    - no_such_module: {}\n')
    at.plugin('nobody', '- hosts: databases\n  tasks: []\n')
    at.plugin('go', '- hosts: main\n  tasks: [{command: "{{range .}}"}]\n')
    assert.match((await at.run('yaml')).failure?.message ?? '', /"yaml" cannot be used: .*(YAML|syntax)/i)
    assert.match((await at.run('module')).failure?.message ?? '', /no_such_module/)
    assert.match((await at.run('go')).failure?.message ?? '', /Go template/)
    const { code, members } = await at.run('nobody')
    assert.deepEqual([code, members.map(({ status }) => status)], ['plugin_failed', ['untouched', 'untouched']])
  } finally {
    await at.stop()
  }
})

test('a run that cannot start is rejected with its code, and takes no port', async () => {
  const at = fixture([...containers.loans.slice(0, 2)])
  try {
    at.plugin('three', '- hosts: main\n', 3)
    at.plugin('one', '- hosts: main\n', 1)
    const codes: [name: string, id: string, code: string][] = [
      ['unknown', 'grp', 'not_found'],
      ['../one', 'grp', 'bad_name'],
      ['x'.repeat(4_096), 'grp', 'bad_name'],
      ['one', 'f00', 'group_empty'],
      ['three', 'grp', 'ports_short'],
    ]
    for (const [name, id, code] of codes) assert.equal((await at.run(name, id)).code, code, name)
    for (const value of ["{{ lookup('pipe', 'touch x') }}", '{% if x %}', '{# x #}'])
      assert.equal((await at.run('one', 'grp', { vars: { x: value } })).code, 'bad_request')
    assert.equal((await at.run('one', 'grp', { output: '{{ x }}' })).code, 'bad_request')
    assert.deepEqual(at.used, [])
  } finally {
    await at.stop()
  }
})

test('a lender’s record cannot run anything here', async () => {
  const touch = `touch ${canary()}`
  const change = (loan: Partial<Loan>, container: Partial<Loan['Container']> = {}) => {
    const first = containers.loans[0] as Loan
    return { ...first, ...loan, Container: { ...first.Container, ...container } }
  }
  const hostile = [
    change({}, { SSHUsername: `{{ lookup('pipe', '${touch}') }}` }),
    change({}, { SSHUsername: `-oProxyCommand=${touch}` }),
    change({ IpAddress: `-oProxyCommand=${touch}:1` }),
    change({}, { SSHHostKey: `x\n@cert-authority * {{ lookup('pipe', '${touch}') }}` }),
    change({ Auth: 'password' }),
  ]
  for (const loan of hostile) {
    const at = fixture([loan])
    at.plugin('one', '- hosts: main\n  gather_facts: false\n  tasks: [{command: "true"}]\n')
    assert.notEqual((await at.run('one')).code, '')
    await at.stop()
  }
  assert.ok(!existsSync(canary()))
})

for (const stock of [false, true]) {
  test(`another host key than the lender’s is refused${stock ? ', without Mitogen too' : ''}`, async () => {
    const first = containers.loans[0] as Loan
    const other = makeSshKeyPair('x').publicKey.split(' ').slice(0, 2).join(' ')
    const at = fixture([{ ...first, Container: { ...first.Container, SSHHostKey: other } }])
    try {
      at.plugin('one', '- hosts: main\n  gather_facts: false\n  tasks: [{command: touch /root/intruder}]\n')
      const { members } = await at.run('one', 'grp', { stock })
      assert.equal(members[0]?.status, 'unreachable')
      assert.match(members[0]?.message ?? '', /host key/i)
      assert.equal(inContainer(0, 'ls /root').includes('intruder'), false)
    } finally {
      await at.stop()
    }
  })
}

const slow = `
- hosts: main
  gather_facts: false
  tasks:
    - name: first
      command: touch /root/first
    - name: long
      command: sleep 30
    - name: never
      command: touch /root/never
`

test('an abandoned run stops at once, reports what was done, and leaves no process', async () => {
  const at = fixture()
  try {
    at.plugin('slow', slow, 1)
    const abort = new AbortController()
    let abortedAt = 0
    const { code, failure, members } = await at.run(
      'slow',
      'grp',
      {},
      {
        signal: abort.signal,
        onFact: (fact) => {
          if (abort.signal.aborted || fact.type !== 'plugin.progress' || fact.task !== 'long') return
          abortedAt = performance.now()
          abort.abort()
        },
      },
    )
    assert.deepEqual([code, failure?.code], ['interrupted', 'abandoned'])
    assert.deepEqual(
      members.map(({ status, done }) => [status, done]),
      [
        ['stopped', 1],
        ['stopped', 1],
      ],
    )
    assert.ok(performance.now() - abortedAt < 15_000)
    assert.deepEqual([at.used, leftovers()], [[], []])
    assert.equal(inContainer(0, 'ls /root'), inContainer(0, 'ls /root | grep -v never'))
  } finally {
    await at.stop()
  }
})

test('a run is stopped after its timeout', async () => {
  const at = fixture()
  try {
    at.plugin('slow', slow)
    const { code } = await at.run('slow', containers.loans[0]?.ID, { timeoutMs: 4_000 })
    assert.deepEqual([code, leftovers()], ['plugin_timed_out', []])
  } finally {
    await at.stop()
  }
})

test('the end of the concern stops its plays and removes their private folders', async () => {
  const at = fixture()
  at.plugin('slow', slow)
  let report: () => void = () => {}
  const playing = new Promise<void>((resolve) => {
    report = resolve
  })
  // Nobody answers once the concern has ended, and the deadline of a run is an hour.
  const waiting = new AbortController()
  void at.run(
    'slow',
    'grp',
    {},
    { onFact: (fact) => fact.type === 'plugin.progress' && report(), signal: waiting.signal },
  )
  await playing
  await at.stop()
  waiting.abort()
  assert.deepEqual(leftovers(), [])
  assert.deepEqual(runFolders(), [])
})

test('a member that dies during a run is reported, and the others continue', async () => {
  const at = fixture(containers.loans)
  try {
    // The others wait until it is dead, however long this takes.
    at.plugin('dying', slow.replace('sleep 30', 'sh -c "until test -e /root/go; do sleep 0.1; done"'), 1)
    let killed = false
    const kill = async () => {
      await containers.kill(2)
      for (const index of [0, 1]) inContainer(index, 'touch /root/go')
    }
    const { code, members } = await at.run(
      'dying',
      'grp',
      {},
      {
        onFact: (fact) => {
          if (killed || fact.type !== 'plugin.progress' || fact.task !== 'long') return
          killed = true
          void kill()
        },
      },
    )
    assert.equal(code, 'plugin_failed')
    assert.deepEqual(
      members.map(({ status }) => status),
      ['ok', 'ok', 'unreachable'],
    )
    assert.equal(at.used.length, 2)
  } finally {
    await at.stop()
  }
})

test('two concurrent runs do not share ports', async () => {
  const at = fixture()
  try {
    at.plugin('one', '- hosts: main\n  gather_facts: false\n  tasks: [{command: "true"}]\n', 1)
    const runs = await Promise.all([at.run('one'), at.run('one')])
    const given = runs.map(({ members }) => members.map(({ ports }) => ports[0]?.internal))
    assert.equal(new Set(given.flat()).size, 4)
    assert.equal((await at.run('one')).code, '', 'the ports of a run that is over are free again until they are marked')
  } finally {
    await at.stop()
  }
})

test('Mitogen is used only with the Ansible to which it belongs', async () => {
  const strategyOf = async (program: string, stock: boolean) =>
    (await ansibleEnvironment({ folder: temp, program, stock }, { ANSIBLE_STRATEGY: 'mine' })).ANSIBLE_STRATEGY
  assert.equal(await strategyOf('/usr/bin/ansible-playbook', false), 'mitogen_linear')
  assert.equal(await strategyOf('/usr/bin/ansible-playbook', true), undefined)
  const other = join(temp, 'other-ansible')
  writeFileSync(other, '#!/opt/venv/bin/python3\n')
  assert.equal(await strategyOf(other, false), undefined)
})

test('the settings for speed change nothing for a plugin: its vars apply, and it may use every core', async () => {
  const at = fixture(containers.loans.slice(0, 1))
  try {
    const name = (containers.loans[0] as Loan).ID.slice(0, 12)
    at.plugin(
      'settings',
      `
- hosts: main
  gather_facts: false
  tasks:
    - name: vars
      debug: {msg: "{{ for_all }} {{ for_main }} {{ for_one }}"}
    - name: cores
      debug: {msg: "{{ lookup('pipe', 'grep ^Cpus_allowed: /proc/self/status') }}"}
    - name: polling
      debug: {msg: "{{ lookup('config', 'DEFAULT_INTERNAL_POLL_INTERVAL') }}"}
`,
      0,
      {
        'group_vars/all.yml': 'for_all: a\nfor_main: a\nfor_one: a\n',
        'group_vars/main.yml': 'for_main: m\nfor_one: m\n',
        [`host_vars/${name}.yml`]: 'for_one: o\n',
      },
    )
    const { failure, steps } = await at.run('settings')
    assert.equal(failure, undefined)
    const messages = steps.filter(({ status }) => status === 'ok').map(({ task, message }) => [task, message])
    const cores = /^Cpus_allowed:.*$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[0].replace(/\s+/, ' ')
    assert.deepEqual(messages, [
      ['vars', 'a m o'],
      ['cores', cores],
      ['polling', '0.01'],
    ])
  } finally {
    await at.stop()
  }
})

test('a missing Ansible, and one that is too old, are named in the error', async () => {
  const programs = join(temp, 'bin')
  mkdirSync(programs)
  const missing = fixture(undefined, { PATH: programs })
  missing.plugin('one', '- hosts: main\n')
  assert.match((await missing.run('one')).failure?.message ?? '', /"ansible-playbook" is not installed.*ansible-core/)
  await missing.stop()

  const fake = join(programs, 'ansible-playbook')
  writeFileSync(fake, '#!/bin/sh\necho \'{"kind":"start","version":"2.9.6"}\' >&3\nexit 96\n')
  chmodSync(fake, 0o755)
  const old = fixture(undefined, { PATH: `${programs}:/usr/bin:/bin` })
  old.plugin('one', '- hosts: main\n')
  assert.match((await old.run('one')).failure?.message ?? '', /"ansible-playbook" is version 2.9.6, which is too old/)
  await old.stop()

  writeFileSync(join(temp, 'site.yml'), '- hosts: localhost\n  tasks: [{command: "false"}]\n')
  const { status } = spawnSync('ansible-playbook', [join(temp, 'site.yml')], {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    env: {
      ...process.env,
      LC_ALL: 'C.UTF-8',
      ANSIBLE_CALLBACK_PLUGINS: join(shipped.root, 'actors/ansible'),
      ANSIBLE_STDOUT_CALLBACK: 'p2prc_events',
      P2PRC_EVENTS_FD: '3',
      P2PRC_ANSIBLE_MIN_VERSION: '99.1',
    },
  })
  assert.equal(status, 96, 'the callback itself ends an Ansible that is too old before the first task')
})

test('text of a container cannot control the terminal, and what no_log hides stays hidden', async () => {
  const at = fixture(containers.loans.slice(0, 1))
  try {
    at.plugin(
      'texts',
      `
- hosts: main
  gather_facts: false
  tasks:
    - name: colours
      shell: printf '\\033[31mred\\007' >&2; false
      ignore_errors: true
    - name: secret
      command: sh -c "echo hunter2 >&2; false"
      no_log: true
      ignore_errors: true
    - name: items
      command: echo {{ item }}
      loop: [hunter2]
      no_log: true
`,
    )
    const { steps } = await at.run('texts')
    assert.match(
      steps.find(({ task, status }) => task === 'colours' && status === 'ignored')?.message ?? '',
      /\?\[31mred\?/,
    )
    assert.doesNotMatch(JSON.stringify(steps), /hunter2/)
    assert.ok(steps.some(({ task, status }) => task === 'secret' && status === 'ignored'))
  } finally {
    await at.stop()
  }
})

test('ssh, scp and Ansible itself reach the loans by name with the files that the node writes', async () => {
  const loans = containers.loans.slice(0, 2)
  const groups = [{ ID: 'grp1', Name: 'farm', TrackContainer: loans }]
  const files = { ...containers.files, knownHosts: join(temp, 'pinned hosts') }
  writeFileSync(files.knownHosts, knownHostsText(loans))
  const config = join(temp, 'ssh_config')
  await writeSshConfig(config, sshConfigOf(loans, groups, files))
  const name = (loans[1] as Loan).ID.slice(0, 12)
  for (const alias of [name, 'farm-2'])
    assert.equal(execFileSync('ssh', ['-F', config, alias, 'echo $USER'], { encoding: 'utf8' }), 'root\n', alias)
  execFileSync('scp', ['-q', '-F', config, config, `${name}:/root/copied`])
  assert.equal(inContainer(1, 'head -c 9 /root/copied'), '# Written')

  writeFileSync(join(temp, 'inventory.json'), JSON.stringify(dynamicInventory(loans, groups, files)))
  const script = join(temp, 'inventory')
  writeFileSync(script, `#!/bin/sh\ncat ${join(temp, 'inventory.json')}\n`, { mode: 0o755 })
  const pong = execFileSync('ansible', ['-i', script, 'farm', '--one-line', '-m', 'ping'], {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C.UTF-8', ANSIBLE_HOME: temp },
  })
  assert.equal(pong.match(/SUCCESS.*pong/g)?.length, 2)
})

test('a process that exits during a run ends its play', async () => {
  const at = fixture()
  try {
    at.plugin('slow', slow)
    const script = join(shipped.root, 'test/support/pluginExit.ts')
    const setting = { root: at.root, files: containers.files, loans: containers.loans.slice(0, 1) }
    const { status, stderr } = spawnSync(process.execPath, ['--import', 'tsx', script], {
      cwd: shipped.root,
      env: { ...process.env, P2PRC_TEST: JSON.stringify(setting) },
      encoding: 'utf8',
    })
    assert.equal(status, 7, stderr)
    const deadline = Date.now() + 5_000
    // Killed processes are listed until the system has reaped them.
    while (leftovers().length > 0 && Date.now() < deadline) execFileSync('sleep', ['0.05'])
    assert.deepEqual([leftovers(), runFolders()], [[], []])
  } finally {
    await at.stop()
  }
})

test('no private folder of a run is left', () => {
  assert.deepEqual(runFolders(), [])
})

function runFolders(): string[] {
  return readdirSync(temp).filter(
    (name) => /^p2prc-(\w{6}|fixture-\w+)$/.test(name) && existsSync(join(temp, name, 'hosts.json')),
  )
}
