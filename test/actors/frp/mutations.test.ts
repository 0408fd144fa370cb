import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { duplexPair } from 'node:stream'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createFrpChannel } from '../../../actors/frp/frpChannel.ts'
import { createYamux } from '../../../actors/frp/yamux.ts'
import { createFrpDecrypter, frpKey } from '../../../protocol/wire/frp/cipher.ts'
import { readFrp } from '../../../protocol/wire/frp/message.ts'

/** `npm run soak -- frp` runs a million for each codec. */
const MUTATIONS = process.env.P2PRC_SOAK ? 1_000_000 : 10_000

/** What the heap may grow between the first tenth and the end, in bytes: what the first tenth compiles is in both. */
const GROWTH_MAX_BYTES = 4_000_000

setFlagsFromString('--expose-gc')
const collectGarbage: () => void = runInNewContext('gc')

const path = resolve(import.meta.dirname, '../../fixtures/frpVectors.json')
const vectors = JSON.parse(readFileSync(path, 'utf8'))
const frames: Buffer[] = Object.values<string>(vectors.frames).map((hex) => Buffer.from(hex, 'hex'))
const sessions: Buffer[] = Object.values<Record<string, string>>(vectors.sessions).flatMap((session) =>
  Object.values(session).map((hex) => Buffer.from(hex, 'hex')),
)

/** Numbers from a seed (xorshift32): returns one from 0 to `below` - 1. */
function seeded(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}

/** Changes, inserts, removes, repeats or cuts bytes, one to four times. */
function mutated(seed: Buffer, random: (below: number) => number): Buffer {
  let bytes = Buffer.from(seed)
  for (let edits = 1 + random(4); edits > 0 && bytes.length > 0; edits--) {
    const at = random(bytes.length)
    const end = at + random(bytes.length - at + 1)
    const kind = random(5)
    if (kind === 0) bytes[at] = random(256)
    else if (kind === 1) bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random(5)] as number
    else if (kind === 2) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(end)])
    else if (kind === 3) bytes = Buffer.concat([bytes.subarray(0, end), bytes.subarray(at)])
    else bytes = bytes.subarray(0, at)
  }
  return bytes
}

/** Gives a codec mutations of what stock frp sends. Returns how often each result came. */
async function play(
  seeds: readonly Buffer[],
  read: (bytes: Buffer, random: (below: number) => number) => string | Promise<string>,
): Promise<Map<string, number>> {
  const random = seeded(0x5eed)
  const results = new Map<string, number>()
  let before = 0
  for (let count = 0; count < MUTATIONS; count++) {
    const result = await read(mutated(seeds[random(seeds.length)] as Buffer, random), random)
    results.set(result, (results.get(result) ?? 0) + 1)
    if (count !== MUTATIONS / 10) continue
    collectGarbage()
    before = process.memoryUsage().heapUsed
  }
  collectGarbage()
  const growth = process.memoryUsage().heapUsed - before
  assert.ok(growth < GROWTH_MAX_BYTES, `the heap has grown by ${growth} bytes`)
  return results
}

function assertSeen(results: Map<string, number>, ...expected: string[]): void {
  for (const result of expected) assert.ok(results.has(result), `${result}, of ${[...results.keys()]}`)
}

test('messages: any bytes are a message, incomplete or a failure with a name', async () => {
  const results = await play(frames, (bytes) => {
    const read = readFrp(bytes)
    return typeof read === 'string' ? read : 'message'
  })
  assertSeen(results, 'message', 'incomplete', 'unknownType', 'invalidLength', 'invalidBody')
})

test('cipher: any bytes decrypt to as many, in any pieces, without the initialization vector', async () => {
  const key = frpKey('')
  const results = await play([...frames, ...sessions], (bytes, random) => {
    const decrypt = createFrpDecrypter(key)
    const cut = random(bytes.length + 1)
    const clear = decrypt(bytes.subarray(0, cut)).length + decrypt(bytes.subarray(cut)).length
    return clear === Math.max(0, bytes.length - 16) ? 'decrypted' : `${clear} of ${bytes.length} bytes`
  })
  assert.deepEqual([...results.keys()], ['decrypted'])
})

test('yamux: any bytes are streams or end the session', async () => {
  const results = await play(sessions, async (bytes) => {
    const [near, far] = duplexPair()
    far.resume()
    const session = createYamux(near, { role: 'server', onStream: (stream) => stream.resume() })
    let end = 'goes on'
    void session.ended.then((reason) => {
      end = reason
    })
    far.write(bytes)
    await new Promise<void>((resolve) => setImmediate(resolve))
    session.close()
    assert.equal(session.size, 0, 'no stream outlives its session')
    return end
  })
  assertSeen(results, 'goes on', 'protocolError')
})

test('channel: any bytes of a control stream, before and after its login, end it with a reason', async () => {
  const results = await play(frames, async (bytes, random) => {
    const [near, far] = duplexPair()
    far.resume()
    let end = ''
    const channel = createFrpChannel(near, {
      onMessage: () => {
        if (random(2) === 0) channel.encrypt(frpKey(''))
      },
      onEnd: (why) => {
        end = why
      },
    })
    far.write(bytes)
    await new Promise<void>((resolve) => setImmediate(resolve))
    channel.close()
    return end
  })
  assertSeen(results, 'closed', 'unknownType', 'invalidLength', 'invalidBody')
})
