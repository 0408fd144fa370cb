import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type Duplex, duplexPair } from 'node:stream'
import { afterEach, test } from 'node:test'
import fc from 'fast-check'
import { SimulatedClock } from 'xstate'
import { createYamux, type YamuxOptions, type YamuxSession } from '../../../actors/frp/yamux.ts'
import { YAMUX } from '../../../protocol/defaults/turnClient.ts'
import { encodeYamux, yamuxFlag, yamuxType } from '../../../protocol/wire/frp/yamux.ts'

const sha = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

interface Pair {
  client: YamuxSession
  server: YamuxSession
  accepted: Duplex[]
  nextAccepted(): Promise<Duplex>
}

/** A session that is not closed would ping for as long as the process runs. */
const running: Duplex[] = []
afterEach(() => {
  for (const connection of running.splice(0)) connection.destroy()
})

/** Like the two ends of a socket, of which one notices that the other was destroyed. */
function connectionPair(): [Duplex, Duplex] {
  const [near, far] = duplexPair()
  near.once('close', () => far.destroy())
  far.once('close', () => near.destroy())
  running.push(near)
  return [near, far]
}

/** Everything that a stream still sends, without closing its other direction as `for await` does. */
async function received(stream: Duplex): Promise<Buffer> {
  const chunks: Buffer[] = []
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  await once(stream, 'end')
  return Buffer.concat(chunks)
}

function pairOf(options: Partial<YamuxOptions> = {}): Pair {
  const [near, far] = connectionPair()
  const accepted: Duplex[] = []
  const waiting: ((stream: Duplex) => void)[] = []
  const onStream = (stream: Duplex) => {
    const next = waiting.shift()
    if (next) next(stream)
    else accepted.push(stream)
  }
  const client = createYamux(near, { ...options, role: 'client' })
  const server = createYamux(far, { ...options, role: 'server', onStream })
  const nextAccepted = () =>
    new Promise<Duplex>((resolve) => {
      const stream = accepted.shift()
      if (stream) resolve(stream)
      else waiting.push(resolve)
    })
  return { client, server, accepted, nextAccepted }
}

/** The other end as raw bytes: what it received, and a way to send it frames. */
function raw(options: Partial<YamuxOptions> = {}): { session: YamuxSession; far: Duplex; received(): string } {
  const [near, far] = connectionPair()
  const chunks: Buffer[] = []
  far.on('data', (chunk: Buffer) => chunks.push(chunk))
  const session = createYamux(near, { role: 'server', onStream: () => {}, ...options })
  return { session, far, received: () => Buffer.concat(chunks).toString('hex') }
}

const hexes = (...texts: string[]) => Buffer.from(texts.join(''), 'hex')
const settled = () => new Promise<void>((resolve) => setImmediate(() => setImmediate(resolve)))

test('frames have the bytes of the specification', async () => {
  const { session, far, received } = raw({ windowBytes: YAMUX.initialWindowBytes })
  far.write(hexes('000100010000000100000000', '000200010000000000000007'))
  await settled()
  assert.equal(received(), '000100020000000100000000' + '000200020000000000000007', 'an ACK at once, and the pong')
  assert.equal(session.size, 1)
  const wide = raw({ windowBytes: 6 * 1024 * 1024, role: 'client' })
  wide.session.open()
  await settled()
  assert.equal(wide.received(), '0001000100000001005c0000')
})

test('bytes arrive as they were sent, both ways at once, and each end closes its own direction', async () => {
  const { client, server, nextAccepted } = pairOf()
  const near = client.open()
  const far = await nextAccepted()
  const [up, down] = [randomBytes(3_000_000), randomBytes(2_000_000)]
  near.end(up)
  assert.equal(sha(await received(far)), sha(up))
  assert.equal(near.destroyed, false, 'the other direction is open still')
  far.end(down)
  assert.equal(sha(await received(near)), sha(down))
  await settled()
  assert.deepEqual([client.size, server.size], [0, 0])
})

test('many streams share one connection', async () => {
  const { client, server, nextAccepted } = pairOf()
  const pump = async () => {
    for (;;) {
      const stream = await nextAccepted()
      stream.pipe(stream)
    }
  }
  void pump()
  const sizes = Array.from({ length: 40 }, (_, index) => 1 + index * 9_973)
  await Promise.all(
    sizes.map(async (size) => {
      const sent = randomBytes(size)
      const stream = client.open()
      stream.end(sent)
      assert.equal(sha(await received(stream)), sha(sent), `${size} bytes`)
    }),
  )
  await settled()
  assert.deepEqual([client.size, server.size], [0, 0])
})

test('a stream that nobody reads holds back its own writer alone, and holds no more than its window', async () => {
  const { client, nextAccepted } = pairOf()
  const stalled = client.open()
  const unread = await nextAccepted()
  for (let sent = 0; sent < 64; sent++) stalled.write(Buffer.alloc(64 * 1024))
  await settled()
  assert.ok(stalled.writableLength > 2 * 1024 * 1024, 'the writer is held back')
  const other = client.open()
  other.end(Buffer.alloc(2_000_000, 7))
  assert.equal((await received(await nextAccepted())).length, 2_000_000, 'the other stream goes on')
  assert.ok(unread.readableLength <= YAMUX.maxWindowBytes, `${unread.readableLength} bytes are held`)
  stalled.end()
  assert.equal((await received(unread)).length, 64 * 64 * 1024, 'and nothing is lost once it is read')
})

test('a reset ends a stream at both ends and leaves the others', async () => {
  const { client, server, nextAccepted } = pairOf()
  const [near, other] = [client.open(), client.open()]
  const [far, otherFar] = [await nextAccepted(), await nextAccepted()]
  near.destroy()
  const [error] = await once(far, 'error')
  assert.equal(error.code, 'ECONNRESET')
  other.end('still here')
  assert.equal((await received(otherFar)).toString(), 'still here')
  otherFar.end()
  await received(other)
  await settled()
  assert.deepEqual([client.size, server.size], [0, 0])
})

test('closing ends every stream, and a write in progress fails', async () => {
  const { client, server, nextAccepted } = pairOf()
  const near = client.open()
  const far = await nextAccepted()
  const failed = new Promise<unknown>((resolve) => near.write(Buffer.alloc(3_000_000), resolve))
  server.close()
  assert.equal(await client.ended, 'closed')
  assert.ok((await failed) instanceof Error)
  assert.ok(near.destroyed && far.destroyed)
  assert.throws(() => client.open(), /ended/)
})

/** What breaks the protocol, as frames in hex. Each ends the whole session, as in the stock library. */
const violations: Record<string, string[]> = {
  'another version': ['010100010000000100000000'],
  'an unknown type': ['000400000000000100000000'],
  'a stream of our own parity': ['000100010000000200000000'],
  'stream 0': ['000100010000000000000000'],
  'a SYN for a live stream': ['000100010000000100000000', '000100010000000100000000'],
  'a second FIN': ['000100010000000100000000', '000100040000000100000000', '000100040000000100000000'],
}

for (const [title, frames] of Object.entries(violations)) {
  test(`${title} ends the session`, async () => {
    const { session, far, received } = raw()
    far.write(hexes(...frames))
    assert.equal(await session.ended, 'protocolError')
    await settled()
    assert.ok(received().endsWith('000300000000000000000001'), 'with a complaint')
  })
}

test('more than the window allows ends the session', async () => {
  const { session, far } = raw({ windowBytes: YAMUX.initialWindowBytes })
  far.write(hexes('000100010000000100000000'))
  for (let sent = 0; sent <= YAMUX.initialWindowBytes; sent += 64 * 1024) {
    far.write(encodeYamux({ type: yamuxType.data, flags: 0, streamId: 1, length: 64 * 1024 }))
    far.write(Buffer.alloc(64 * 1024))
  }
  assert.equal(await session.ended, 'protocolError')
})

test('a complaint of the other end is the reason, its farewell is not', async () => {
  const { session, far } = raw()
  far.write(hexes('000300000000000000000000'))
  await settled()
  far.write(hexes('000300000000000000000002'))
  assert.equal(await session.ended, 'goAway')
})

test('frames of unknown streams are skipped with their payload', async () => {
  const { session, far, received } = raw()
  far.write(hexes('000000000000000900000003', 'abcdef', '000100040000000900000000', '000200010000000000000001'))
  await settled()
  assert.equal(received(), '000200020000000000000001')
  far.destroy()
  assert.equal(await session.ended, 'closed')
})

test('streams beyond the limit are reset, and those of an end that accepts none', async () => {
  const { far, received, session } = raw({ maxStreams: 1 })
  far.write(hexes('000100010000000100000000', '000100010000000300000000'))
  await settled()
  assert.ok(received().endsWith('000100080000000300000000'))
  assert.equal(session.size, 1)
})

test('an end that never answers a ping is given up, and one that answers is kept', async () => {
  const clock = new SimulatedClock()
  const timed = {
    now: () => clock.now(),
    setTimeout: clock.setTimeout.bind(clock),
    clearTimeout: clock.clearTimeout.bind(clock),
  }
  const { client } = pairOf({ clock: timed })
  const silent = raw({ clock: timed, role: 'client' })
  let end: string | undefined
  void silent.session.ended.then((reason) => {
    end = reason
  })
  for (let round = 0; round < 3; round++) {
    clock.increment(YAMUX.pingIntervalMs - YAMUX.pingTimeoutMs)
    await settled()
    if (round === 0) clock.increment(YAMUX.pingTimeoutMs)
    await settled()
    clock.increment(YAMUX.pingTimeoutMs - 1)
    await settled()
    if (round === 0) assert.equal(end, undefined, 'not yet')
    clock.increment(1)
    await settled()
    if (round === 0) assert.equal(end, 'pingTimeout')
  }
  assert.ok(client.open(), 'the other pair goes on')
})

test('an end that asks without ever reading is given up', async () => {
  const [near, far] = connectionPair()
  const session = createYamux(near, { role: 'server', onStream: () => {} })
  const pings = Buffer.concat(
    Array.from({ length: 20_000 }, (_, id) =>
      encodeYamux({ type: yamuxType.ping, flags: yamuxFlag.syn, streamId: 0, length: id }),
    ),
  )
  for (let round = 0; round < 100 && !far.destroyed; round++) {
    far.write(pings)
    await settled()
  }
  assert.equal(await session.ended, 'backlog')
})

test('however the bytes are cut, the streams read the same', async () => {
  const frames = hexes(
    '000100010000000100000000',
    '000000000000000100000005',
    '0102030405',
    '000000040000000100000001',
    '06',
  )
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1 }), async (sizes) => {
      const got: Buffer[] = []
      const { far } = raw({ onStream: (stream) => stream.on('data', (chunk: Buffer) => got.push(chunk)) })
      for (let at = 0, index = 0; at < frames.length; index++) {
        const size = sizes[index % sizes.length] as number
        far.write(frames.subarray(at, at + size))
        at += size
      }
      await settled()
      assert.equal(Buffer.concat(got).toString('hex'), '010203040506')
    }),
    { numRuns: 50 },
  )
})

test('any bytes end the session or are ignored, without an exception', async () => {
  const header = fc.record({
    version: fc.constantFrom(0, 0, 0, 1),
    type: fc.constantFrom(0, 1, 2, 3, 3, 9),
    flags: fc.nat(15),
    id: fc.nat(5),
    length: fc.oneof(fc.nat(40), fc.constant(0xffff_ffff)),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(header, { maxLength: 12 }), fc.uint8Array({ maxLength: 60 }), async (headers, noise) => {
      const { session, far } = raw()
      for (const { version, type, flags, id, length } of headers) {
        const frame = Buffer.from(encodeYamux({ type, flags, streamId: id, length }))
        frame[0] = version
        far.write(frame)
      }
      far.write(noise)
      await settled()
      session.close()
      await session.ended
      assert.equal(session.size, 0)
    }),
    { numRuns: 300 },
  )
})
