import assert from 'node:assert/strict'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { bareHome, configuredHome, idOf, isLocked, launched, recordOf, remember } from '../support/cliHomes.ts'
import { p2prc, p2prcJson, startNode } from '../support/processes.ts'

/** Plugins through the real command line, on homes without an engine. */

function writePlugin(folder: string, name: string, site: string, ports = '{"NumOfPorts": 1}'): void {
  mkdirSync(join(folder, name), { recursive: true })
  writeFileSync(join(folder, name, 'site.yml'), site)
  writeFileSync(join(folder, name, 'description.txt'), `The plugin ${name}\n`)
  writeFileSync(join(folder, name, 'ports.json'), ports)
}

const nothing = '- hosts: all\n  gather_facts: false\n  tasks: []\n'

test('ls: those that ship and the owner’s, the bad ones with their reason; --vp in P2PRC’s JSON', async () => {
  const env = bareHome()
  writePlugin(join(env.P2PRC, 'plugin/deploy'), 'mine', nothing)
  writePlugin(join(env.P2PRC, 'plugin/deploy'), 'broken', nothing, 'no JSON')
  const plugins = await p2prcJson(env, 'plugin', 'ls')
  const named = (name: string) => plugins.find((plugin: { name: string }) => plugin.name === name)
  assert.deepEqual([named('mine').ports, named('mine').origin, named('mine').bad], [1, 'own', ''])
  assert.match(named('broken').bad, /ports\.json is not JSON/)
  assert.equal(named('render').origin, 'shipped')
  const { PluginsDetected } = JSON.parse((await p2prc(env, '--vp')).stdout)
  const mine = { FolderName: 'mine', PluginDescription: 'The plugin mine', Execute: null, NumOfPorts: 1 }
  assert.deepEqual(
    PluginsDetected.find(({ FolderName }: { FolderName: string }) => FolderName === 'mine'),
    mine,
  )
  assert.ok(!JSON.stringify(PluginsDetected).includes('broken'))
})

test('ls follows PluginPath of config.json, with a node and without one', async (t) => {
  const elsewhere = join(bareHome().P2PRC, 'plugins')
  writePlugin(elsewhere, 'mine', nothing)
  const env = await configuredHome({ PluginPath: elsewhere })
  const folderOf = async () => (await p2prcJson(env, 'plugin', 'show', 'mine')).folder
  const names = async () => (await p2prcJson(env, 'plugin', 'ls')).map(({ name }: { name: string }) => name)
  assert.ok((await names()).includes('mine'))
  assert.equal(await folderOf(), join(elsewhere, 'mine'))
  await startNode(t, env)
  assert.ok((await names()).includes('mine'))
  assert.equal(await folderOf(), join(elsewhere, 'mine'))
})

test('rm asks, P2PRC’s flag does not', async () => {
  const env = bareHome()
  const folder = join(env.P2PRC, 'plugin/deploy')
  for (const name of ['one', 'two']) writePlugin(folder, name, nothing)
  const asked = await p2prc(env, 'plugin', 'rm', 'one')
  assert.deepEqual([asked.code, existsSync(join(folder, 'one'))], [2, true])
  await p2prcJson(env, 'plugin', 'rm', 'one', '--yes')
  const legacy = await p2prc(env, '--rp', 'two')
  assert.deepEqual([legacy.code, legacy.stdout], [0, 'Success\n'], legacy.stderr)
  for (const name of ['one', 'two']) assert.equal(existsSync(join(folder, name)), false)
})

test('what is wrong is one sentence, and nothing is done', async (t) => {
  const env = bareHome()
  remember(env, recordOf('0a1'))
  await startNode(t, env)
  await p2prcJson(env, 'group', 'create', '--name', 'empty')
  const table: [string[], number, RegExp][] = [
    [['plugin', 'run', 'nothing', '--id', '0a1'], 3, /no plugin "nothing"/],
    [['plugin', 'run', '../x', '--id', '0a1'], 2, /"\.\.\/x" is not a valid name of a plugin/],
    [['plugin', 'run', 'render', '--id', 'fff'], 3, /"fff"/],
    [['plugin', 'run', 'render', '--id', 'empty'], 3, /There is no container in "empty"/],
    [['plugin', 'run', 'notebook', '--id', '0a1'], 6, /too few free ports for the plugin "notebook": 0 of 1/],
    [['plugin', 'run', 'render'], 2, /--id needs a value/],
    [['--plugin', 'render'], 2, /--id needs a value/],
    [['plugin', 'run', 'render', '--id', '0a1', 'novalue'], 2, /name=value/],
    [['plugin', 'run', 'render', '--id', '0a1', 'Frames=2'], 2, /"Frames" is not a name of a variable/],
    [['plugin', 'run', 'render', '--id', '0a1', '--timeout', '0'], 2, /--timeout must be a whole number/],
    [['plugin', 'show', 'nothing'], 3, /no plugin "nothing"/],
    [['plugin', 'rm', 'nothing', '--yes'], 3, /no plugin of yours "nothing"/],
    [['plugin', 'pull', 'ext::sh -c id'], 2, /cannot be pulled:/],
    [['--pp', 'file:///etc'], 2, /cannot be pulled:/],
    [['plugin', 'pull', 'ssh://-oProxyCommand=x/y'], 2, /cannot be pulled:/],
  ]
  for (const [args, code, message] of table) {
    const ran = await p2prc(env, ...args)
    assert.equal(ran.code, code, `${args.join(' ')}: ${ran.stderr}`)
    assert.match(ran.stderr, message)
    assert.equal(ran.stdout, '')
  }
})

/** Ansible really runs, but its tasks do their work on this machine: what is tested is what one sees of it. */
const here = '- hosts: all\n  connection: local\n  gather_facts: false\n'

test('run: plain lines and the end of each member when piped, facts with --json, Success for P2PRC’s flag', async () => {
  const env = bareHome()
  remember(env, recordOf('0a1', 22))
  const mark = join(env.P2PRC, 'mark')
  const task = `  - name: leave a mark\n    shell: echo {{ word }} >> ${mark}\n`
  writePlugin(
    join(env.P2PRC, 'plugin/deploy'),
    'mark',
    `${here}  vars: { word: none }\n  tasks:\n${task}`,
    '{"NumOfPorts": 0}',
  )
  const short = idOf('0a1').slice(0, 12)
  const piped = await p2prc(env, 'plugin', 'run', 'mark', '--id', '0a1', '--stock', 'word=007')
  assert.equal(piped.code, 0, piped.stderr)
  assert.match(piped.stdout, new RegExp(`^${short} changed: leave a mark$`, 'm'))
  assert.match(piped.stdout, new RegExp(`^✓ ${short} ok: 1 task, 1 changed$`, 'm'))
  const json = await p2prc(env, 'plugin', 'run', 'mark', '--id', '0a1', '--stock', '--json')
  const facts = json.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).type)
  assert.deepEqual([facts[0], facts.at(-1)], ['plugin.started', 'plugin.finished'])
  const legacy = await p2prc(env, '--plugin', 'mark', '--id', '0a1')
  assert.equal(legacy.code, 0, legacy.stderr)
  assert.match(legacy.stdout, /\nSuccess\n$/)
})

test('Ctrl-C stops the play and says what was done', async (t) => {
  const env = bareHome()
  remember(env, recordOf('0a1', 22))
  const site = ['echo', 'sleep 600'].map((line, index) => `  - name: step ${index + 1}\n    shell: ${line}\n`)
  writePlugin(join(env.P2PRC, 'plugin/deploy'), 'slow', `${here}  tasks:\n${site.join('')}`, '{"NumOfPorts": 0}')
  const running = launched(t, env, 'plugin', 'run', 'slow', '--id', '0a1', '--stock')
  await running.printed(/changed: step 1/)
  running.child.kill('SIGINT')
  assert.equal(await running.ended, 130)
  assert.match(running.text, /✗ 0a1000000000: 1 task done/)
  assert.match(running.text, /p2prc: Interrupted/)
  assert.equal(isLocked(env.P2PRC), false)
})
