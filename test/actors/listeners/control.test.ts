import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { promisify } from 'node:util'
import { listenControl } from '../../../actors/listeners/controlSocket.ts'
import type { Handle } from '../../../actors/listeners/principal.ts'
import { http } from '../../support/httpHarness.ts'

const run = promisify(execFile)
const dir = await mkdtemp(join(tmpdir(), 'p2prc-control-'))
after(() => rm(dir, { recursive: true, force: true }))
const handle: Handle = (_request, response, principal) => response.end(JSON.stringify(principal))

let count = 0
async function newSocketPath(): Promise<string> {
  count += 1
  return join(dir, String(count), 'control.sock')
}

test('every caller on the control socket is the owner, and only this user can connect', async () => {
  const path = await newSocketPath()
  const umask = process.umask(0)
  const listener = await listenControl({ path, handle })
  assert.equal(process.umask(umask), 0, 'the umask is as it was')
  assert.equal((await stat(path)).mode & 0o777, 0o600)
  assert.equal((await stat(join(path, '..'))).mode & 0o777, 0o700)
  assert.equal(JSON.parse((await http(path, { path: '/' })).text).caller, 'owner')
  await listener.close()
  await assert.rejects(stat(path), { code: 'ENOENT' })
})

test('the stale socket of a killed node is replaced', async () => {
  const path = await newSocketPath()
  await mkdir(join(path, '..'))
  const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`
  await run(process.execPath, ['-e', script]).catch(() => {})
  assert.ok((await stat(path)).isSocket())
  const listener = await listenControl({ path, handle })
  assert.equal((await http(path, { path: '/' })).status, 200)
  await listener.close()
})

test('a socket on which another process answers is kept, and so is a regular file', async () => {
  const path = await newSocketPath()
  const first = await listenControl({ path, handle })
  await assert.rejects(listenControl({ path, handle }), { code: 'listen_failed' })
  assert.equal((await http(path, { path: '/' })).status, 200)
  await first.close()
  await writeFile(path, 'precious')
  await assert.rejects(listenControl({ path, handle }), { code: 'listen_failed' })
  assert.equal(await readFile(path, 'utf8'), 'precious')
})

test('a path that is too long for a socket is rejected, not truncated', async () => {
  await assert.rejects(listenControl({ path: join(dir, 'x'.repeat(120)), handle }), (error: { message: string }) => {
    assert.match(error.message, /at most \d+ bytes/)
    return true
  })
})

test('close ends open connections within a second, and may be called twice', async () => {
  const path = await newSocketPath()
  const listener = await listenControl({ path, handle })
  const socket = connect(path)
  await once(socket, 'connect')
  const ended = once(socket.resume(), 'close')
  const begun = performance.now()
  await Promise.all([listener.close(), listener.close()])
  await ended
  assert.ok(performance.now() - begun < 1_000)
})
