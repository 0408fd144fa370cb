import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { FRP_MESSAGE_MAX_BYTES } from '../../../../protocol/defaults/turnClient.ts'
import { createFrpDecrypter, createFrpEncrypter, frpKey, privilegeKey } from '../../../../protocol/wire/frp/cipher.ts'
import { encodeFrp, type FrpOutgoing, readFrp } from '../../../../protocol/wire/frp/message.ts'
import { messagesIn, streamsOf, vectors } from '../../../support/frpRecording.ts'

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const bytesOf = (text: string) => Buffer.from(text, 'hex')

test('the key of a token and the proof in a login are those of stock frp', () => {
  for (const [token, key] of Object.entries(vectors.keys)) assert.equal(hex(frpKey(token)), key, token)
  for (const { token, ts, key } of vectors.privilegeKeys) assert.equal(privilegeKey(token, ts), key)
  assert.ok(Object.keys(vectors.keys).length >= 4 && vectors.privilegeKeys.length >= 3)
})

const goldenMessages: Record<string, FrpOutgoing> = {
  ReqWorkConn: { kind: 'ReqWorkConn', body: {} },
  Ping: { kind: 'Ping', body: {} },
  Pong: { kind: 'Pong', body: {} },
  NewWorkConn: { kind: 'NewWorkConn', body: { run_id: 'b05c2d488b17eb96', privilege_key: '', timestamp: 0 } },
  NewProxy: { kind: 'NewProxy', body: { proxy_name: 'web', proxy_type: 'tcp', remote_port: 6000 } },
  Udp: { kind: 'UDPPacket', body: { c: 'aGk=', r: { IP: '127.0.0.1', Port: 5353, Zone: '' } } },
}

test('messages have the bytes of stock frp', () => {
  assert.deepEqual(Object.keys(vectors.frames).sort(), Object.keys(goldenMessages).sort())
  for (const [name, message] of Object.entries(goldenMessages)) {
    assert.equal(hex(encodeFrp(message)), vectors.frames[name], name)
    const read = readFrp(bytesOf(vectors.frames[name] as string))
    assert.ok(typeof read === 'object' && read.message.kind === message.kind)
    assert.equal(hex(encodeFrp(read.message)), vectors.frames[name], `${name}, read and written again`)
  }
})

test('encryption has the bytes of stock frp, in any pieces', () => {
  for (const { token, iv, plain, wire } of vectors.cfb) {
    const key = frpKey(token)
    assert.equal(hex(createFrpEncrypter(key, bytesOf(iv))(bytesOf(plain))), wire)
    for (const size of [1, 15, 16, 17, 1_000]) {
      const decrypt = createFrpDecrypter(key)
      const encrypt = createFrpEncrypter(key, bytesOf(iv))
      assert.equal(hex(Buffer.concat(pieces(bytesOf(wire), size).map(decrypt))), plain, `${size} bytes at a time`)
      assert.equal(hex(Buffer.concat(pieces(bytesOf(plain), size).map(encrypt))), wire, `${size} bytes at a time`)
    }
  }
  const [one, other] = [0, 1].map(() => hex(createFrpEncrypter(frpKey(''))(bytesOf('00'))).slice(0, 32))
  assert.notEqual(one, other, 'each direction has its own initialization vector')
})

function pieces(bytes: Uint8Array, size: number): Uint8Array[] {
  const found = []
  for (let at = 0; at < bytes.length; at += size) found.push(bytes.subarray(at, at + size))
  return found
}

for (const [version, session] of Object.entries(vectors.sessions)) {
  test(`a recorded session of frp ${version} reads as what happened in it`, () => {
    const [fromClient, fromServer] = [session['C>S'], session['S>C']].map((raw) => streamsOf(bytesOf(raw)))
    assert.ok(fromClient && fromServer)
    // The first message of each direction of the control stream is clear, the others are encrypted.
    const control = (streams: Map<number, Buffer>) => {
      const bytes = streams.get(1) as Buffer
      const first = readFrp(bytes)
      assert.ok(typeof first === 'object')
      const decrypt = createFrpDecrypter(frpKey(''))
      return [first.message.kind, ...messagesIn(decrypt(bytes.subarray(first.size))).kinds]
    }
    assert.deepEqual(control(fromClient), ['Login', 'NewProxy'])
    assert.deepEqual(control(fromServer).sort(), ['LoginResp', 'NewProxyResp', 'ReqWorkConn', 'ReqWorkConn'])
    const work = messagesIn(fromServer.get(3) as Buffer)
    assert.deepEqual(work.kinds, ['StartWorkConn'])
    assert.match(work.rest, /^GET \/\w* HTTP\/1\.1\r\n/, 'the bytes of the user follow the message at once')
    assert.match(messagesIn(fromClient.get(3) as Buffer).rest, /^HTTP\/1\.[01] 200 OK\r\n/)
  })
}

test('an absent field is empty, an unknown one is ignored, and a wrong type is an error', () => {
  const frame = (type: string, json: string) => {
    const bytes = Buffer.alloc(9 + Buffer.byteLength(json))
    bytes.write(type, 0)
    bytes.writeBigInt64BE(BigInt(Buffer.byteLength(json)), 1)
    bytes.write(json, 9)
    return bytes
  }
  const read = readFrp(frame('p', '{"remote_port":19001,"headers":{"a":"b"}}'))
  assert.ok(typeof read === 'object')
  assert.deepEqual(read.message.body, {
    proxy_name: '',
    proxy_type: '',
    use_encryption: false,
    use_compression: false,
    remote_port: 19_001,
  })
  for (const json of ['{"remote_port":"1"}', '{"remote_port":65536}', '{"remote_port":-1}', '[]', '', '{', '\uffff'])
    assert.equal(readFrp(frame('p', json)), 'invalidBody', json)
  assert.equal(readFrp(frame('?', '{}')), 'unknownType')
})

test('the length has limits at both ends, and what was cut is incomplete', () => {
  const whole = encodeFrp({ kind: 'Pong', body: { error: 'x'.repeat(FRP_MESSAGE_MAX_BYTES - 12) } })
  assert.equal(whole.length, FRP_MESSAGE_MAX_BYTES + 9)
  for (let size = 0; size < whole.length; size += size < 12 ? 1 : 997)
    assert.equal(readFrp(whole.subarray(0, size)), 'incomplete', `${size} bytes`)
  assert.ok(typeof readFrp(whole) === 'object')
  for (const length of ['000000000000 2801', 'ffffffffffffffff', '8000000000000000', '7fffffffffffffff'])
    assert.equal(readFrp(bytesOf(`34${length.replace(' ', '')}7b7d`)), 'invalidLength', length)
  assert.throws(() => encodeFrp({ kind: 'Pong', body: { error: 'x'.repeat(FRP_MESSAGE_MAX_BYTES) } }), RangeError)
})

test('any bytes are read without an exception, and what is read is written as it was meant', () => {
  const seeds = Object.values(vectors.frames).map(bytesOf)
  const mutated = fc
    .tuple(fc.constantFrom(...seeds), fc.array(fc.tuple(fc.nat(200), fc.nat(255)), { maxLength: 4 }), fc.nat(3))
    .map(([seed, edits, cut]) => {
      const bytes = Buffer.from(seed)
      for (const [at, value] of edits) bytes[at % bytes.length] = value
      return bytes.subarray(0, bytes.length - cut)
    })
  const property = fc.property(fc.oneof(mutated, fc.uint8Array({ maxLength: 64 })), (bytes) => {
    const read = readFrp(bytes)
    if (typeof read !== 'object') return
    assert.ok(read.size <= bytes.length)
    const again = readFrp(encodeFrp(read.message))
    assert.ok(typeof again === 'object')
    assert.deepEqual(again.message, read.message)
  })
  fc.assert(property, { numRuns: 10_000 })
})
