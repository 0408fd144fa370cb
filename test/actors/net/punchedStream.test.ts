import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { test } from 'node:test'
import type { SecretStream } from 'hyperdht'
import { PunchedStream } from '../../../actors/net/punched/punchedStream.ts'
import { BLIND_RELAY, PUNCHED } from '../../../protocol/defaults/punched.ts'

/** A stream of hyperdht, which behaves as streamx does: nothing is emitted while it is paused. */
class FakeSecretStream extends EventEmitter {
  readonly rawStream = { remoteHost: '203.0.113.9', remotePort: 20_000 }
  readonly written: Buffer[] = []
  destroyed = false
  isPaused = true
  isEnded = false
  isFull = false

  write(chunk: Buffer): boolean {
    this.written.push(chunk)
    return !this.isFull
  }

  pause(): void {
    this.isPaused = true
  }

  resume(): void {
    this.isPaused = false
    this.emit('resume')
  }

  end(): void {
    this.isEnded = true
  }

  destroy(): void {
    if (this.destroyed) return
    this.destroyed = true
    queueMicrotask(() => this.emit('close'))
  }
}

const RELAY = { host: '198.51.100.1', port: 49_737 }

function open() {
  const secret = new FakeSecretStream()
  const stream = new PunchedStream(secret as unknown as SecretStream, {
    where: 'punched://198.51.100.1:49737',
    isRelay: (host, port) => host === RELAY.host && port === RELAY.port,
  })
  stream.on('error', () => {})
  return { secret, stream, sent: () => Buffer.concat(secret.written).length }
}

const settled = () => new Promise<void>((resolve) => setImmediate(resolve))

test('bytes arrive in order, a reader that pauses holds the peer back, and half-close is kept', async () => {
  const { secret, stream } = open()
  const chunks = Array.from({ length: 8 }, () => randomBytes(PUNCHED.chunkBytes / 2))
  stream.read(0)
  for (const chunk of chunks) secret.emit('data', chunk)
  assert.equal(secret.isPaused, true, 'nobody reads, and more has come than the buffer holds')
  const received: Buffer[] = []
  stream.on('data', (chunk: Buffer) => received.push(chunk))
  await settled()
  assert.equal(secret.isPaused, false)
  secret.emit('end')
  await once(stream, 'end')
  assert.deepEqual(Buffer.concat(received), Buffer.concat(chunks))
  assert.equal(stream.destroyed, false)
  stream.end('answer')
  await once(stream, 'close')
  assert.deepEqual([String(secret.written[0]), secret.isEnded, secret.destroyed], ['answer', true, false])
  // As hyperdht does when the peer has everything.
  secret.emit('close')
})

test('a large write goes in pieces, each of which waits until the stream takes it', async () => {
  const { secret, stream } = open()
  secret.isFull = true
  const bytes = randomBytes(2.5 * PUNCHED.chunkBytes)
  let isWritten = false
  stream.write(bytes, () => {
    isWritten = true
  })
  for (const pieces of [1, 2, 3]) {
    await settled()
    assert.deepEqual([secret.written.length, isWritten], [pieces, false])
    secret.emit('drain')
  }
  await settled()
  assert.equal(isWritten, true)
  assert.deepEqual(Buffer.concat(secret.written), bytes)
})

test('over the relay it keeps to a part of the rate, and on the direct path to none', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  // The rate is counted by this clock, which must not go on beside the timers.
  let now = 1_000_000
  t.mock.method(performance, 'now', () => now)
  const pass = async (ms: number) => {
    now += ms
    t.mock.timers.tick(ms)
    await settled()
  }
  const { secret, stream, sent } = open()
  Object.assign(secret.rawStream, { remoteHost: RELAY.host, remotePort: RELAY.port })
  assert.deepEqual([stream.isRelayed, stream.remoteAddress, stream.remotePort], [true, RELAY.host, RELAY.port])
  stream.write(randomBytes(BLIND_RELAY.burstBytes))
  await settled()
  const first = sent()
  assert.ok(first > 0 && first < BLIND_RELAY.burstBytes / 2, `${first} bytes at once`)
  await pass(1)
  assert.equal(sent(), first)
  await pass(10_000)
  assert.ok(sent() > first)

  Object.assign(secret.rawStream, { remoteHost: '203.0.113.9' })
  assert.equal(stream.isRelayed, false)
  await pass(10_000)
  assert.equal(sent(), BLIND_RELAY.burstBytes, 'the rest goes at once')
  stream.destroy()
})

test('a stream that the peer closes before its end fails, and so does the write that waits for it', async () => {
  const { secret, stream } = open()
  secret.isFull = true
  const failed = new Promise<Error | null | undefined>((resolve) => stream.write('x', resolve))
  const errored = once(stream, 'error')
  secret.emit('close')
  assert.match((await failed)?.message ?? '', /lost/)
  assert.equal((await errored)[0].code, 'connection_lost')
  assert.equal(stream.destroyed, true)
})

test('an error of hyperdht names the peer, and an owner that lets go ends it', async () => {
  const failing = open()
  const errored = once(failing.stream, 'error')
  failing.secret.emit('error', Object.assign(new Error('timed out'), { code: 'ETIMEDOUT' }))
  assert.match((await errored)[0].message, /punched:\/\/198\.51\.100\.1:49737/)
  assert.equal(failing.secret.destroyed, true)

  const left = open()
  left.stream.destroy()
  await once(left.stream, 'close')
  assert.equal(left.secret.destroyed, true)
})

test('a peer that never takes the end is not waited for', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const { secret, stream } = open()
  stream.resume()
  secret.emit('end')
  stream.end()
  await once(stream, 'close')
  assert.equal(secret.destroyed, false)
  t.mock.timers.tick(PUNCHED.lingerMs)
  assert.equal(secret.destroyed, true)
})
