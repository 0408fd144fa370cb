import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { after, test } from 'node:test'
import type { Principal } from '../../../actors/listeners/principal.ts'
import { openListener } from '../../../actors/listeners/tcp.ts'
import { command, http, httpHarness, lines, newIdentity, raw, tls } from '../../support/httpHarness.ts'
import { startOwnTime } from '../../support/ownTime.ts'

const harness = await httpHarness()
after(() => harness.close())
harness.bus.on('node.show', ({ requestId }) => {
  const { id } = harness.identity
  harness.bus.publish({ type: 'node.shown', requestId, id, name: 'x', key: 'x', version: '0', protocols: [1] })
})
const { identity, dir } = harness
const alice = await newIdentity(dir, 'alice')

/** Opens a listener that responds with the principal that it has identified. */
async function openEchoListener(options: { host?: string; port?: number; headersTimeoutMs?: number } = {}) {
  return openListener({
    identity,
    port: 0,
    handle: (_request, response, principal: Principal) => response.end(JSON.stringify(principal)),
    ...options,
  })
}

test('one port: plain HTTP is anonymous and TLS is the node id of the key, also for repeated requests on one connection', async () => {
  const listener = await openEchoListener()
  const plain = JSON.parse((await http(listener.port, { path: '/' })).text)
  assert.equal(plain.caller, 'anonymous')
  const kept = await tls(listener.port, alice.tls)
  for (const _ of [1, 2]) {
    const reply = await http(kept, { path: '/', headers: { connection: 'keep-alive' } })
    const principal = JSON.parse(reply.text)
    assert.deepEqual([principal.caller, principal.key], [alice.id, alice.publicKey])
  }
  assert.equal(kept.getProtocol(), 'TLSv1.3')
  kept.destroy()
  const nobody = JSON.parse((await http(await tls(listener.port), { path: '/' })).text)
  assert.equal(nobody.caller, 'anonymous')
  await listener.close()
})

test('without --host it listens on IPv4 and IPv6; with --host only on that address', async () => {
  const all = await openEchoListener()
  for (const host of ['127.0.0.1', '::1']) {
    const socket = connect(all.port, host)
    await once(socket, 'connect')
    socket.destroy()
  }
  assert.deepEqual(all.addresses, [`[::]:${all.port}`])
  await all.close()
  const one = await openEchoListener({ host: '127.0.0.2' })
  assert.deepEqual(one.addresses, [`127.0.0.2:${one.port}`])
  const elsewhere = connect(one.port, '127.0.0.1')
  const [error] = await once(elsewhere, 'error')
  assert.equal(error.code, 'ECONNREFUSED')
  await one.close()
})

test('a busy port and an address of another machine are clear errors', async () => {
  const busy = createServer().listen(0, '127.0.0.1')
  await once(busy, 'listening')
  const { port } = busy.address() as { port: number }
  await assert.rejects(openEchoListener({ host: '127.0.0.1', port }), { code: 'port_busy', exit: 7 })
  await assert.rejects(openEchoListener({ port }), { code: 'port_busy' })
  busy.close()
  await assert.rejects(openEchoListener({ host: '192.0.2.1' }), { code: 'listen_failed', exit: 7 })
})

test('TLS below 1.3 is refused', async () => {
  await assert.rejects(tls(harness.listener.port, { ...alice.tls, maxVersion: 'TLSv1.2' }))
})

test("a certificate of another node's key is useless without the matching private key", async () => {
  const mallory = await newIdentity(dir, 'mallory')
  await assert.rejects(tls(harness.listener.port, { cert: alice.tls.cert, key: mallory.tls.key }))
})

test('garbage of many kinds ends only its own connection', async () => {
  const garbage = [
    '\u0000\u0001\u0002',
    '\u0016\u0003\u0001garbage',
    'SSH-2.0-x\r\n\r\n',
    'GET\r\n\r\n',
    '\u0016',
    '\u00ff'.repeat(70_000),
  ]
  garbage.push('GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n')
  garbage.push(`GET / HTTP/1.1\r\nX: ${'x'.repeat(100_000)}\r\n\r\n`)
  const listener = await openEchoListener({ headersTimeoutMs: 300 })
  await Promise.all(garbage.map((bytes) => raw(listener.port, Buffer.from(bytes, 'latin1'))))
  assert.equal(JSON.parse((await http(await tls(listener.port, alice.tls), { path: '/' })).text).caller, alice.id)
  await listener.close()
})

test('1,000 silent connections of four kinds are closed in time, and an honest client works meanwhile', async (t) => {
  const headersTimeoutMs = 6_000
  const quiet = await httpHarness({ headersTimeoutMs })
  t.after(() => quiet.close())
  quiet.bus.on('node.show', ({ requestId }) => {
    const { id } = quiet.identity
    quiet.bus.publish({ type: 'node.shown', requestId, id, name: 'x', key: 'x', version: '0', protocols: [1] })
  })
  const openings = ['', '\u0016', 'GET / HT', 'POST /api/v1/commands HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{']
  const sockets: Socket[] = []
  for (let number = 0; number < 1_000; number += 1) {
    const socket = connect(quiet.listener.port, '127.0.0.1')
    socket.on('error', () => {})
    socket.resume()
    const opening = openings[number % openings.length]
    if (opening) socket.write(opening)
    sockets.push(socket)
  }
  await Promise.all(sockets.map((socket) => (socket.connecting ? once(socket, 'connect') : undefined)))
  const ownTime = startOwnTime()
  const closed = Promise.all(sockets.map((socket) => (socket.closed ? undefined : once(socket, 'close'))))
  const [shown] = lines(await command(await tls(quiet.listener.port, alice.tls), { type: 'node.show' }))
  assert.equal(shown?.type, 'node.shown')
  assert.ok(sockets.filter(({ closed }) => !closed).length > 900, 'the honest client was served while they waited')
  await closed
  const took = ownTime()
  assert.ok(took < 4 * headersTimeoutMs, `${took} ms`)
})

test('a connection on which nothing moves is closed after the idle timeout; one with heartbeats is not', async (t) => {
  const idleTimeoutMs = 300
  let beats = 0
  const listener = await openListener({
    identity,
    port: 0,
    idleTimeoutMs,
    handle: ({ url }, response) => {
      if (url === '/silent') return
      const timer = setInterval(() => {
        beats += 1
        if (beats < 10) response.write('\n')
        else {
          clearInterval(timer)
          response.end('done')
        }
      }, idleTimeoutMs / 5)
    },
  })
  t.after(() => listener.close())
  const beating = http(listener.port, { path: '/beating' })
  await assert.rejects(http(listener.port, { path: '/silent' }), { code: 'ECONNRESET' })
  assert.match((await beating).text, /done$/)
})

test('close ends silent, half-open and idle connections within a second, and may be called twice', async () => {
  const listener = await openEchoListener()
  const silent = connect(listener.port, '127.0.0.1')
  const half = connect(listener.port, '127.0.0.1', () => half.write('\u0016'))
  const idle = await tls(listener.port, alice.tls)
  for (const socket of [silent, half, idle]) socket.on('error', () => {})
  await http(idle, { path: '/', headers: { connection: 'keep-alive' } })
  const ends = [silent, half, idle].map(
    (socket) => socket.resume() && (socket.closed ? undefined : once(socket, 'close')),
  )
  const begun = performance.now()
  await Promise.all([listener.close(), listener.close()])
  await listener.close()
  await Promise.all(ends)
  assert.ok(performance.now() - begun < 1_000)
})
