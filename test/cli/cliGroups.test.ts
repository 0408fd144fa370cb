import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { bareHome, idOf, recordOf, remember } from '../support/cliHomes.ts'
import { openFakeShell } from '../support/fakeShell.ts'
import { freePort, p2prc, p2prcJson, startNode } from '../support/processes.ts'

/** Groups through the real command line, on homes without an engine, with a node and without one. */

/** Not waited for in one go: the SSH servers are in this process. */
const run = promisify(execFile)

/** A home with two containers whose SSH servers are on this machine, and a third one whose is gone. */
async function homeWithShells(t: TestContext, folder = '') {
  const bare = bareHome()
  const env = { ...bare, P2PRC: join(bare.P2PRC, folder) }
  const { key } = await p2prcJson(env, 'id')
  const shells = [await openFakeShell(key), await openFakeShell(key)] as const
  for (const shell of shells) t.after(() => shell.stop())
  const [one, two] = shells
  remember(
    env,
    recordOf('0a1', one.port, one.hostKey),
    recordOf('0b2', two.port, two.hostKey),
    recordOf('0c3', await freePort(), one.hostKey),
  )
  return env
}

test('P2PRC’s flags: a group’s whole life in P2PRC’s JSON', async () => {
  const env = bareHome()
  remember(env, recordOf('0a1'), recordOf('01e5'))
  const json = async (...args: string[]) => {
    const { code, stdout, stderr } = await p2prc(env, ...args)
    assert.equal(code, 0, stderr)
    return JSON.parse(stdout)
  }
  const idsOf = ({ TrackContainer }: { TrackContainer: { ID: string }[] | null }) =>
    TrackContainer?.map(({ ID }) => ID) ?? null
  assert.deepEqual(await json('--groups'), { Groups: null })
  const made = await json('--cgroup')
  assert.match(made.ID, /^grp[0-9a-f]{8}-[0-9a-f]{4}-4/)
  assert.equal(made.TrackContainer, null)
  assert.deepEqual(idsOf(await json('--group', made.ID, '--id', '01e5')), [idOf('01e5')])
  assert.deepEqual(idsOf(await json('--group', made.ID, '--id', '01e5')), [idOf('01e5')], 'adding twice is once')
  assert.deepEqual(idsOf(await json('--group', made.ID, '--id', '0a1')), [idOf('01e5'), idOf('0a1')])
  const shown = await json('-group', made.ID)
  assert.deepEqual(idsOf(shown), [idOf('01e5'), idOf('0a1')])
  assert.equal(shown.TrackContainer[0].IpAddress, '127.0.0.1:1')
  assert.equal(shown.TrackContainer[0].State, 'unreachable')
  assert.deepEqual(idsOf((await json('-groups')).Groups[0]), [idOf('01e5'), idOf('0a1')])
  assert.deepEqual(idsOf(await json('--group', made.ID, '--id', '0a1', '--rmcgroup')), [idOf('01e5')])
  const removed = await p2prc(env, '--rmgroup', made.ID)
  assert.deepEqual([removed.code, removed.stdout], [0, 'Success\n'])
  assert.deepEqual(await json('--groups'), { Groups: null })
  assert.equal((await json('--tc')).TrackContainer.length, 2, 'its containers live on')
})

test('names, the beginning of an id, and what is wrong with others', async (t) => {
  const env = bareHome()
  remember(env, recordOf('0a1'), recordOf('01e5'))
  await startNode(t, env)
  const { ID } = await p2prcJson(env, 'group', 'create', '0a1', '--name', 'farm')
  assert.equal((await p2prcJson(env, 'group', 'show', 'farm')).ID, ID)
  assert.equal((await p2prcJson(env, 'group', 'add', ID.slice(0, 11), '01e5', '0a1')).TrackContainer.length, 2)
  assert.equal((await p2prcJson(env, 'group', 'remove', 'farm', '01e5')).TrackContainer.length, 1)
  const table: [string[], number, RegExp][] = [
    [['group', 'show', 'nobody'], 3, /no group "nobody"/],
    [['group', 'add', 'farm', 'fff'], 3, /no borrowed container "fff"/],
    [['group', 'remove', 'farm', '01e5'], 3, /"01e5"/],
    [['group', 'create', '--name', 'farm'], 2, /already a group "farm"/],
    [['group', 'create', '--name', 'grp1'], 2, /group name is 1 to 63 letters/],
    [['group', 'create', '--name', '../x'], 2, /group name is 1 to 63 letters/],
    [['group', 'create', '--count', '-1'], 2, /--count must be a whole number/],
    [['group', 'create', '--count', '3'], 2, /--count needs --on or --nearest/],
    [['group', 'create', '--nearest', '1e3'], 2, /--nearest must be a whole number/],
    [['group', 'create', '--on', '127.0.0.1:1'], 5, /127\.0\.0\.1:1 cannot be reached/],
    [['group', 'create', '--nearest', '1'], 3, /Only 0 of the 1 requested machines answer/],
    [['group', 'show'], 2, /p2prc group show <group>/],
    [['group', 'exec', 'farm'], 2, /command/],
    [['group', 'rm', 'farm', '--containers'], 2, /cannot be undone.*--yes/],
  ]
  for (const [args, code, message] of table) {
    const ran = await p2prc(env, ...args)
    assert.deepEqual([ran.code, ran.stdout], [code, ''], `${args.join(' ')}: ${ran.stderr}`)
    assert.match(ran.stderr, message)
  }
  assert.equal((await p2prcJson(env, 'group', 'ls')).Groups.length, 1)
})

test('a container that is not given back stays in its group', async () => {
  const env = bareHome()
  remember(env, recordOf('0a1'), recordOf('0b2'))
  await p2prcJson(env, 'group', 'create', '0a1', '0b2', '--name', 'farm')
  const { code, stderr } = await p2prc(env, 'group', 'rm', 'farm', '--containers', '--yes')
  assert.equal(code, 5, stderr)
  for (const id of ['0a1', '0b2']) assert.ok(stderr.includes(`p2prc: ${idOf(id).slice(0, 12)}: `), stderr)
  assert.equal((await p2prcJson(env, 'group', 'show', 'farm')).TrackContainer.length, 2)
})

test('exec: lines with their member in front, the worst exit code, the failures at the end', async (t) => {
  const env = await homeWithShells(t)
  await p2prcJson(env, 'group', 'create', '0a1', '0b2', '--name', 'farm')
  const [one, two] = ['0a1', '0b2'].map((id) => idOf(id).slice(0, 12))
  const well = await p2prc(env, 'group', 'exec', 'farm', '--', 'echo hello; echo oops >&2')
  assert.equal(well.code, 0, well.stderr)
  assert.deepEqual(well.stdout.trim().split('\n').sort(), [`${one} | hello`, `${two} | hello`])
  assert.deepEqual(well.stderr.trim().split('\n').sort(), [`${one} | oops`, `${two} | oops`])

  // Words reach the program as they are.
  const words = ['printf', '%s\\n', '$HOME; "x"', '--json']
  const exact = await p2prc(env, 'group', 'exec', 'farm', '--', ...words)
  assert.deepEqual(
    new Set(
      exact.stdout
        .trim()
        .split('\n')
        .map((line) => line.slice(15)),
    ),
    new Set(words.slice(2)),
  )

  // The containers share a disk here, so the first one to come succeeds and the other one fails.
  const mark = join(env.P2PRC, 'mark')
  const bad = await p2prc(env, 'group', 'exec', 'farm', '--', `mkdir '${mark}' || exit 7`)
  assert.equal(bad.code, 7)
  assert.match(bad.stderr, /p2prc: 1 of 2 containers failed.*\np2prc: 0(a1|b2)0{9}: exit code 7\n$/)
  const again = await p2prc(env, 'group', 'exec', 'farm', '--retry-failed', '--', 'echo again')
  assert.equal(again.code, 0)
  assert.equal(again.stdout, `${/p2prc: (\w{12}): exit code/.exec(bad.stderr)?.[1]} | again\n`)
  const none = await p2prc(env, 'group', 'exec', 'farm', '--retry-failed', '--', 'echo again')
  assert.deepEqual([none.code, none.stdout], [0, ''])
  assert.equal(none.stderr, 'p2prc: Nothing to repeat: the last command failed nowhere in farm\n')

  // The command need not be typed again.
  const twice = `test -e '${mark}.too' || { touch '${mark}.too'; exit 8; }`
  assert.equal((await p2prc(env, 'group', 'exec', 'farm', '--', twice)).code, 8)
  const repeated = await p2prc(env, 'group', 'exec', 'farm', '--retry-failed')
  assert.deepEqual([repeated.code, repeated.stderr], [0, ''])
  const wrong = await p2prc(env, 'group', 'exec', 'farm')
  assert.deepEqual([wrong.code, wrong.stdout], [2, ''])
  assert.match(wrong.stderr, /Usage: p2prc group exec <group> -- <command>/)
})

test('exec --json: what each member printed; one that cannot be reached spoils nothing', async (t) => {
  const env = await homeWithShells(t)
  await p2prcJson(env, 'group', 'create', '0a1', '0c3', '--name', 'farm')
  const { code, stdout } = await p2prc(
    env,
    'group',
    'exec',
    'farm',
    '--json',
    '--',
    'echo a; echo b; echo c >&2; exit 3',
  )
  const facts = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  const printed = (stream: string) =>
    facts.flatMap((fact) => (fact.type === 'group.output' && fact.stream === stream ? [[fact.id, fact.line]] : []))
  assert.deepEqual(printed('stdout'), [
    [idOf('0a1'), 'a'],
    [idOf('0a1'), 'b'],
  ])
  assert.deepEqual(
    printed('stderr').filter(([id]) => id === idOf('0a1')),
    [[idOf('0a1'), 'c']],
  )
  const { type, results, failed } = facts.at(-1)
  assert.deepEqual([type, results[0]], ['group.executed', { id: idOf('0a1'), exit: 3 }])
  assert.deepEqual([results[1].id, results[1].exit, results[1].failure.code], [idOf('0c3'), null, 'unreachable'])
  assert.deepEqual(failed, [idOf('0a1'), idOf('0c3')])
  assert.equal(code, 5, 'the worst of 3 and of what cannot be reached')
})

test('nothing that is typed reaches a shell here', async (t) => {
  const env = bareHome()
  await startNode(t, env)
  const text = `"; touch ${env.P2PRC}/was-here; "`
  for (const args of [
    ['group', 'create', '--name', text],
    ['group', 'create', '--on', text],
    ['group', 'show', text],
    ['group', 'exec', text, '--', text],
    ['group', 'rm', text],
    ['group', 'ssh-config', text],
    ['--group', text, '--id', text],
  ]) {
    const { code, stderr } = await p2prc(env, ...args)
    assert.notEqual(code, 0, args.join(' '))
    assert.match(stderr, /^p2prc: [^\n]+\n$/)
    assert.equal(existsSync(join(env.P2PRC, 'was-here')), false)
  }
})

test('group ssh-config: the real ssh goes by name into each member', async (t) => {
  const env = await homeWithShells(t)
  await p2prcJson(env, 'group', 'create', '0a1', '0b2', '--name', 'farm')
  const { stdout } = await p2prc(env, 'group', 'ssh-config', 'farm')
  assert.deepEqual(stdout.match(/^Host .*$/gm), [
    `Host ${idOf('0a1').slice(0, 12)} farm-1`,
    `Host ${idOf('0b2').slice(0, 12)} farm-2`,
  ])
  const file = join(env.P2PRC, 'farm')
  writeFileSync(file, stdout)
  for (const name of ['farm-1', 'farm-2', idOf('0b2').slice(0, 12)])
    assert.equal((await run('ssh', ['-F', file, name, 'echo in'])).stdout, 'in\n')
})

test('ssh-config writes a file to include, and ssh goes by it', async (t) => {
  const env = await homeWithShells(t, 'a home')
  const { path, hosts } = await p2prcJson(env, 'ssh-config')
  assert.deepEqual(
    hosts.flat(),
    ['0a1', '0b2', '0c3'].map((id) => idOf(id).slice(0, 12)),
  )
  const [include] = /Include .*$/m.exec(readFileSync(path, 'utf8')) ?? []
  assert.equal(include, `Include "${path}"`)
  const included = join(env.P2PRC, 'including')
  writeFileSync(included, `${include}\n`)
  assert.equal((await run('ssh', ['-F', included, hosts[0][0], 'echo in'])).stdout, 'in\n')
})

test('inventory: as an executable for ansible -i', async (t) => {
  const env = await homeWithShells(t)
  await p2prcJson(env, 'group', 'create', '0a1', '0b2', '--name', 'farm')
  // The example as it is, with a p2prc on the way that it takes.
  const bin = join(env.P2PRC, 'bin')
  const cli = join(import.meta.dirname, '../../dist/cli.js')
  execFileSync('mkdir', [bin])
  writeFileSync(join(bin, 'p2prc'), `#!/bin/sh\nexec '${process.execPath}' '${cli}' "$@"\n`, { mode: 0o755 })
  const listed = execFileSync(
    'ansible-inventory',
    ['-i', join(import.meta.dirname, '../../examples/p2prc-inventory'), '--list'],
    {
      encoding: 'utf8',
      env: { ...process.env, ...env, PATH: `${bin}:${process.env.PATH}` },
    },
  )
  const inventory = JSON.parse(listed)
  assert.deepEqual(
    inventory.farm.hosts,
    ['0a1', '0b2'].map((id) => idOf(id).slice(0, 12)),
  )
  assert.equal(inventory._meta.hostvars[idOf('0a1').slice(0, 12)].ansible_user, 'root')
  const one = idOf('0a1').slice(0, 12)
  assert.equal(JSON.parse((await p2prc(env, 'inventory', '--host', one)).stdout).ansible_user, 'root')
  for (const host of ['any', 'constructor'])
    assert.deepEqual(JSON.parse((await p2prc(env, 'inventory', '--host', host)).stdout), {})
})
