import assert from 'node:assert/strict'
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { startOf } from '../../actors/home/lockHolder.ts'
import { parseEvent } from '../../actors/pluginRunner/ansibleEvents.ts'
import { assertNumbers, playbookProblem } from '../../actors/pluginRunner/playbook.ts'
import { peerCommands } from '../../cli/peerCommands.ts'
import type { Call } from '../../cli/runCommand.ts'
import { portsText } from '../../cli/tables.ts'
import type { Port } from '../../protocol/containerManager.ts'
import { AppError } from '../../protocol/errors.ts'
import { bareHome, recordOf, remember } from '../support/cliHomes.ts'
import { p2prc, p2prcJson } from '../support/processes.ts'

/** What the command line says to what people type, as it was asked for by those who used it. */

/** What is typed, the exit code, and what is shown about it on stderr. */
const refused: [string[], number, RegExp][] = [
  [['touch', ''], 2, /^p2prc: WHERE is empty/],
  [['specs', ''], 2, /^p2prc: WHERE is empty/],
  [['ps', 'y'], 2, /^p2prc: "ps" takes no "y"/],
  [['ps', '--ls'], 2, /^p2prc: "ps" and --ls are two commands/],
  [
    ['plugin', 'pull', '--', 'http://host/plugin'],
    2,
    /^p2prc: "http:\/\/host\/plugin" cannot be pulled: it must begin with https/,
  ],
  [['group', 'create', '--on', 'x', '--count', '0'], 2, /^p2prc: --count must be a whole number from 1/],
  [['group', 'create', '--nearest', '0'], 2, /^p2prc: --nearest must be a whole number from 1/],
]
for (const [args, exit, message] of refused)
  test(`p2prc ${args.join(' ')}`, async () => {
    const { code, stderr } = await p2prc(bareHome(), ...args)
    assert.equal(code, exit, stderr)
    assert.match(stderr, message)
  })

test('help of help, and of a flag that is a command', async () => {
  const general = await p2prc({}, '--help')
  assert.deepEqual(await p2prc({}, 'help', 'help'), general)
  assert.deepEqual(await p2prc({}, '--touch', '--help'), await p2prc({}, 'touch', '--help'))
})

test('groups: not a member, and a name that is the beginning of an id', async () => {
  const env = bareHome()
  remember(env, recordOf('0a1'), recordOf('0b2'))
  await p2prcJson(env, 'group', 'create', '0a1', '--name', 'farm')
  const removed = await p2prc(env, 'group', 'remove', 'farm', '0b2')
  assert.equal(removed.code, 3)
  assert.match(removed.stderr, /The container "0b2" is not in the group farm\. See `p2prc group show farm`/)
  const named = await p2prc(env, 'group', 'create', '--name', '0b')
  assert.equal(named.code, 2)
  assert.match(named.stderr, /"0b" is the beginning of the id of a container\. Give another name/)
  // A container that came later.
  await p2prcJson(env, 'group', 'create', '0a1', '--name', '0c')
  remember(env, recordOf('0a1'), recordOf('0c3'))
  const run = await p2prc(env, 'plugin', 'run', 'render', '--id', '0c')
  assert.equal(run.code, 2)
  assert.match(run.stderr, /"0c" matches more than one .*: the group 0c, the container 0c3000000000/)
})

test('trust add again keeps the chosen name', async () => {
  const env = bareHome()
  const { key } = await p2prcJson(bareHome(), 'id')
  await p2prcJson(env, 'trust', 'add', key, '--name', 'alice')
  assert.equal((await p2prcJson(env, 'trust', 'add', key)).name, 'alice')
  assert.equal((await p2prcJson(env, 'trust', 'add', key, '--name', 'bob')).name, 'bob')
})

test('a plugin with a playbook that is none is listed as bad', async () => {
  const env = bareHome()
  const plugin = (name: string, site: string) => {
    const folder = join(env.P2PRC, 'plugin/deploy', name)
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'description.txt'), name)
    writeFileSync(join(folder, 'ports.json'), '{"NumOfPorts": 0}')
    writeFileSync(join(folder, 'site.yml'), site)
  }
  plugin('text', 'this: is {{{ no playbook\n')
  plugin('tabs', '- hosts: all\n\ttasks: []\n')
  plugin('quote', "- hosts: all\n  tasks:\n    - debug: {msg: 'open}\n")
  plugin('map', 'hosts: all\ntasks: []\n')
  plugin('words', '- hosts all\n')
  plugin('ports', '- hosts: all\n  vars: { port: "{{index . 1}}" }\n')
  plugin('good', '---\n# a comment\n- hosts: all\n  tasks: []\n')
  const bad = Object.fromEntries(
    (await p2prcJson(env, 'plugin', 'ls')).map((one: { name: string; bad: string }) => [one.name, one.bad]),
  )
  assert.equal(bad.text, 'its site.yml is not a list of plays')
  assert.match(bad.tabs, /^its site.yml is not YAML, line 2: /)
  assert.match(bad.quote, /^its site.yml is not YAML, line \d: /)
  assert.equal(bad.map, 'its site.yml is not a list of plays')
  assert.equal(bad.words, 'its site.yml is not a list of plays')
  assert.match(bad.ports, /it uses port 1, and its ports.json asks for 0/)
  assert.deepEqual([bad.good, bad.render, bad.notebook, bad.vscode], ['', '', '', ''])
  assert.equal(playbookProblem('- import_playbook: other.yml\n'), '')
  assert.equal(playbookProblem('- hosts: all\n  vars:\n    a: !vault |\n      abc\n    b: !unsafe "{{ x"\n'), '')
})

test('a variable whose own value is a number takes numbers', () => {
  const site =
    '- hosts: all\n  vars:\n    frames: 12 # of the film\n    name: x\n  tasks:\n    - wait_for:\n        port: 80\n'
  for (const frames of ['3', '-1', '0.5']) assertNumbers(site, { frames, name: 'abc', port: 'http' })
  assert.throws(() => assertNumbers(site, { frames: 'abc' }), /frames must be a number, such as 12, not "abc"/)
  assert.throws(() => assertNumbers(site, { frames: '' }), AppError)
})

test('add --replace says that it replaced the others', async () => {
  const shown: string[] = []
  const add = (has: boolean) =>
    peerCommands.add({
      args: ['host'],
      option: () => undefined,
      has: () => has,
      request: async () => ({ peer: {} }),
      terminal: { done: (_: unknown, text: string) => shown.push(text) },
    } as unknown as Call)
  await add(true)
  await add(false)
  assert.deepEqual(shown, ['Replaced all by host', 'Added host'])
})

test('consecutive ports are shown as ranges', () => {
  const port = (ExternalPort: number, InternalPort = ExternalPort, Type = 'tcp', PortName = '') =>
    ({ ExternalPort, InternalPort, Type, PortName }) as Port
  const range = (first: number, count: number, type?: string) =>
    Array.from({ length: count }, (_, index) => port(first + index, first + index, type))
  assert.equal(portsText([port(40000, 22, 'tcp', 'SSH'), ...range(40001, 64)]), 'ssh 40000→22 40001-40064')
  assert.equal(portsText([...range(5, 2), port(8), ...range(9, 3, 'udp')]), '5-6 8 9-11/udp')
  assert.equal(portsText([port(5, 22, 'tcp', 'SSH'), port(6, 23)]), 'ssh 5→22 6→23')
  assert.equal(portsText([port(5, 80), port(6, 81), port(7, 90)]), '5-6→80-81 7→90')
})

test('what ssh reports is the message, not Mitogen’s', () => {
  const message = 'EOF on stream; last 100 lines received:\nssh: connect to host 127.0.0.1 port 1: Connection refused\r'
  const line = JSON.stringify({ kind: 'task', host: 'm', task: 't', status: 'unreachable', message })
  const event = parseEvent(line)
  assert.equal(event.kind === 'task' && event.step.message, 'ssh: connection refused')
})

test('the folder of a plugin run that was killed goes with the next command', async () => {
  const dead = join(tmpdir(), `p2prc-run-${2 ** 22 - 1}-5-abcdef`)
  mkdirSync(dead)
  const mine = join(tmpdir(), `p2prc-run-${process.pid}-${startOf(process.pid)}-abcdef`)
  mkdirSync(mine)
  try {
    await p2prcJson(bareHome(), 'ps')
    assert.deepEqual([existsSync(dead), existsSync(mine)], [false, true])
  } finally {
    rmdirSync(mine)
  }
})
