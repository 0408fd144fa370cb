import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { bareHome, configuredHome, isLocked, launched } from '../support/cliHomes.ts'
import { p2prc } from '../support/processes.ts'

/** Homes that something is wrong with, through the real command line. */

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
  await node.printed('ssh-')
  assert.match(
    node.text,
    /Friends may borrow once you have run `p2prc trust add KEY` with theirs; your own key is: ssh-/,
  )
  node.child.kill('SIGHUP')
  assert.equal(await node.ended, 0, node.text)
  assert.equal(isLocked(env.P2PRC), false)
})

test('a host may be an IPv6 address in brackets', async (t) => {
  const node = launched(t, bareHome(), 'start', '--host', '[::1]', '--port', '0')
  await node.printed(/It listens on \[::1\]:\d+/)
  node.child.kill('SIGINT')
  assert.equal(await node.ended, 0, node.text)
})
