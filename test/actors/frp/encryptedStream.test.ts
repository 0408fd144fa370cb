import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { Duplex, duplexPair } from 'node:stream'
import { test } from 'node:test'
import { encryptedStream } from '../../../actors/frp/encryptedStream.ts'
import { createFrpDecrypter, frpKey } from '../../../protocol/wire/frp/cipher.ts'

const key = frpKey('a token')

/** Reads a stream to its end, and leaves its other direction open. */
async function received(stream: Duplex): Promise<Buffer> {
  const chunks: Buffer[] = []
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  await once(stream, 'end')
  return Buffer.concat(chunks)
}

/** Both ends of an encrypted connection, and what is below them. */
function pair() {
  const [near, far] = duplexPair()
  return { one: encryptedStream(near, key), other: encryptedStream(far, key), near, far }
}

test('bytes arrive as they were sent, both ways at once, and half-close is kept', async () => {
  const { one, other } = pair()
  const [up, down] = [randomBytes(3_000_000), randomBytes(2_000_000)]
  one.end(up)
  assert.deepEqual(await received(other), up)
  assert.equal(one.destroyed, false, 'the other direction is open still')
  other.end(down)
  assert.deepEqual(await received(one), down)
})

test('what is below is the vector in clear and then the bytes in the scheme of stock frp', async () => {
  const [near, far] = duplexPair()
  const clear = encryptedStream(near, key)
  clear.end('a secret of the user')
  const bytes = await received(far)
  assert.equal(bytes.length, 16 + 'a secret of the user'.length)
  assert.ok(!bytes.includes('secret'))
  assert.equal(String(createFrpDecrypter(key)(bytes)), 'a secret of the user')
})

test('a reader that pauses holds the writer back', async () => {
  const { one, other } = pair()
  let written = 0
  while (written < 100 && one.write(Buffer.alloc(64 * 1024))) written += 1
  assert.ok(written < 100, 'the writer is held back')
  one.end()
  assert.equal((await received(other)).length, (written + 1) * 64 * 1024)
})

test('either end ends the other: an error, a loss before the end, and an owner that lets go', async () => {
  const failing = pair()
  const failed = once(failing.one, 'error')
  failing.near.destroy(new Error('reset'))
  assert.equal((await failed)[0].message, 'reset')

  const lost = pair()
  const closed = once(lost.other, 'close')
  lost.far.destroy()
  await closed
  assert.equal(lost.other.readableEnded, false, 'what was cut off is no end')

  const left = pair()
  const below = once(left.near, 'close')
  left.one.destroy()
  await below
})

test('a write that fails below ends the stream', async () => {
  const below = new Duplex({ read() {}, write: (_chunk, _encoding, callback) => callback(new Error('no space')) })
  const clear = encryptedStream(below, key)
  const failed = once(clear, 'error')
  clear.write('x')
  assert.equal((await failed)[0].message, 'no space')
})
