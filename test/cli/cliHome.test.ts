import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { bareHome, configuredHome, isLocked, launched } from '../support/cliHomes.ts'
import { p2prc, p2prcJson, temporaryHome } from '../support/processes.ts'

/** Homes that something is wrong with, through the real command line. */

/** A home on a disk of 256 KiB, which is then full. */
async function fullHome(t: TestContext) {
  const disk = temporaryHome().P2PRC as string
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'p2prc-test', disk])
  t.after(() => execFileSync('umount', [disk]))
  const env = { ...bareHome(), P2PRC: join(disk, 'home') }
  await p2prcJson(env, 'ps')
  execFileSync('sh', ['-c', 'head -c 1000000 /dev/zero > "$1/filler" 2>/dev/null || true', 'sh', disk])
  return env
}

test('a full disk: reading commands work, and no command leaves anything', async (t) => {
  const env = await fullHome(t)
  const files = () => readdirSync(env.P2PRC, { recursive: true }).sort()
  const before = files()
  for (const command of ['id', 'ps', 'group ls', 'trust ls', 'ls', 'config', 'inventory', 'ssh-config', 'plugin ls'])
    await p2prcJson(env, ...command.split(' '))
  const { code, stderr } = await p2prc(env, 'describe', 'text')
  assert.equal(code, 7)
  assert.match(stderr, /gossip\.json could not be written: the disk is full\. Free some space;[^\n]*\n$/)
  const started = await p2prc({ ...env, P2PRC: join(env.P2PRC, '../other/home') }, 'ps')
  assert.equal(started.code, 7)
  assert.match(started.stderr, /the disk is full\. Free some space/)
  assert.deepEqual(files(), before)
})

test('a home in /proc is one sentence, at once', async () => {
  for (const command of ['ps', 'start', 'init']) {
    const { code, stderr } = await p2prc({ P2PRC: '/proc/self/p2prc/home' }, command)
    assert.equal(code, 7)
    assert.match(
      stderr,
      /^p2prc: The home folder \/proc\S+ cannot be used: there is no such file or folder\. Choose [^\n]+\n$/,
    )
  }
})

test('a folder where a file belongs is named, with what to do', async () => {
  const env = bareHome()
  mkdirSync(join(env.P2PRC, 'trust.json'))
  const { code, stderr } = await p2prc(env, 'trust', 'ls')
  assert.equal(code, 7)
  assert.match(
    stderr,
    /trust\.json cannot be used: it is a folder\. A folder is where that file belongs; move it away\.\n$/,
  )
})

test('a wrong port in config.json names the file, one on the command line the flag', async () => {
  const env = await configuredHome({ ServerPort: 'many' })
  const { code, stderr } = await p2prc(env, 'start')
  assert.equal(code, 2)
  assert.ok(stderr.startsWith(`p2prc: ServerPort in ${join(env.P2PRC, 'config.json')} must be a whole number`), stderr)
  assert.match((await p2prc(env, 'start', '--port', 'many')).stderr, /^p2prc: --port must be a whole number/)
})

test('SIGHUP stops a node as Ctrl-C does', async (t) => {
  const env = bareHome()
  const node = launched(t, env, 'start', '--host', '127.0.0.1', '--port', '0')
  await node.printed('your own key is')
  assert.match(
    node.text,
    /Friends may borrow once you have run `p2prc trust add KEY` with theirs; your own key is: ssh-/,
  )
  node.child.kill('SIGHUP')
  assert.equal(await node.ended, 0, node.text)
  assert.equal(isLocked(env.P2PRC), false)
})
