import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { after, test } from 'node:test'
import { type SplicedBytes, type SpliceOptions, splice } from '../../../actors/frp/splice.ts'

const sha = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

const servers: Server[] = []
after(() => {
  for (const server of servers) server.close()
})

/** The two ends of a connection over loopback. */
async function socketPair(): Promise<[Socket, Socket]> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }).listen(0, '127.0.0.1')
  servers.push(server)
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const near = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  const [[far]] = await Promise.all([once(server, 'connection'), once(near, 'connect')])
  for (const socket of [near, far]) socket.on('error', () => {})
  return [near, far]
}

/** Hides that a stream is a socket, as TLS and a multiplexer do. */
function wrapped(socket: Socket): Duplex {
  return Duplex.from({ readable: socket, writable: socket })
}

interface Joined {
  user: Socket
  service: Socket
  inner: [Socket, Socket]
  bytes: Promise<SplicedBytes>
}

async function joined(kind: 'sockets' | 'streams', options: SpliceOptions): Promise<Joined> {
  const [[user, one], [service, other]] = await Promise.all([socketPair(), socketPair()])
  const hide = kind === 'sockets' ? (socket: Socket) => socket : wrapped
  return { user, service, inner: [one, other], bytes: splice(one, hide(other), options) }
}

async function received(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  await once(socket, 'end')
  return Buffer.concat(chunks)
}

/** Reads all in pieces, and pauses after each as long as the bytes say. */
async function receivedSlowly(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    chunks.push(chunk)
    for (let turns = chunk[0] % 8; turns > 0; turns--) await new Promise<void>((resolve) => setImmediate(resolve))
  }
  return Buffer.concat(chunks)
}

for (const kind of ['sockets', 'streams'] as const) {
  test(`${kind}: bytes arrive as they were sent, both ways, at a reader that pauses`, async () => {
    const { user, service, inner, bytes } = await joined(kind, { halfClose: 'kept' })
    const [up, down] = [randomBytes(9_000_001), randomBytes(7_000_003)]
    for (let at = 0; at < up.length; ) {
      const size = 1 + (up[at] as number) * 997
      user.write(up.subarray(at, at + size))
      at += size
    }
    user.end()
    service.end(down)
    const [gotUp, gotDown] = await Promise.all([receivedSlowly(service), receivedSlowly(user)])
    assert.equal(sha(gotUp), sha(up))
    assert.equal(sha(gotDown), sha(down))
    assert.deepEqual(await bytes, { up: up.length, down: down.length })
    assert.ok(
      inner.every((socket) => socket.destroyed),
      'both sockets are closed',
    )
  })

  test(`${kind}: what one side sent before is not lost, and half-close is kept`, async () => {
    const [[user, one], [service, other]] = await Promise.all([socketPair(), socketPair()])
    user.write('early')
    await once(one.resume(), 'data').then(([chunk]) => one.pause().unshift(chunk))
    const hide = kind === 'sockets' ? (socket: Socket) => socket : wrapped
    const bytes = splice(one, hide(other), { halfClose: 'kept' })
    user.end(' and late')
    assert.equal((await received(service)).toString(), 'early and late')
    service.write('the answer')
    service.end()
    assert.equal((await received(user)).toString(), 'the answer')
    assert.deepEqual(await bytes, { up: 14, down: 10 })
  })

  test(`${kind}: a side that fails ends the other, and so does an owner that closes one`, async () => {
    const failing = await joined(kind, { halfClose: 'kept' })
    failing.user.write('x')
    await once(failing.service, 'data')
    failing.user.resetAndDestroy()
    await once(failing.service, 'end')
    await failing.bytes
    const closed = await joined(kind, { halfClose: 'kept' })
    closed.inner[0].destroy()
    await Promise.all([once(closed.user.resume(), 'end'), once(closed.service.resume(), 'end')])
    await closed.bytes
  })
}

test('a side that is closed already ends the other', async () => {
  const [[, one], [service, other]] = await Promise.all([socketPair(), socketPair()])
  one.destroy()
  await once(one, 'close')
  assert.deepEqual(await splice(one, other, { halfClose: 'kept' }), { up: 0, down: 0 })
  await once(service.resume(), 'end')
})

test('stock frp reads no more after one direction has ended: the other ends after what is under way', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  const { user, service, bytes } = await joined('sockets', { halfClose: 'lost' })
  const ended = received(service)
  user.end('request')
  assert.equal((await ended).toString(), 'request')
  service.write('answer')
  const [chunk] = await once(user, 'data')
  assert.equal(String(chunk), 'answer')
  const over = once(user, 'end')
  context.mock.timers.tick(5_000)
  await over
  assert.deepEqual(await bytes, { up: 7, down: 6 })
})

test('a stream that has ended before it was joined ends the other one', async () => {
  const [[user, one], [service, other]] = await Promise.all([socketPair(), socketPair()])
  user.end()
  one.resume()
  await once(one, 'end')
  const done = splice(one, other, { halfClose: 'kept' })
  service.resume()
  await once(service, 'end')
  service.end()
  user.resume()
  await done
  assert.ok(one.destroyed && other.destroyed)
})
