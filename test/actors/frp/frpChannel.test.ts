import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Duplex } from 'node:stream'
import { test } from 'node:test'
import { createFrpChannel, type FrpChannel } from '../../../actors/frp/frpChannel.ts'
import { FRP_BACKLOG_MAX_BYTES } from '../../../protocol/defaults/turnClient.ts'
import { createFrpDecrypter, createFrpEncrypter, frpKey } from '../../../protocol/wire/frp/cipher.ts'
import { encodeFrp, type FrpMessage, readFrp } from '../../../protocol/wire/frp/message.ts'
import { connectionPair } from '../../support/connectionPair.ts'

const key = frpKey('a token')
const settled = () => new Promise<void>((resolve) => setImmediate(() => setImmediate(resolve)))

/** A channel, the other end of its stream as bytes, and what the channel told. */
function channelOf(onMessage: (message: FrpMessage, channel: FrpChannel) => void = () => {}) {
  const [near, far] = connectionPair()
  const messages: FrpMessage[] = []
  const ends: string[] = []
  const channel = createFrpChannel(near, {
    onMessage(message) {
      messages.push(message)
      onMessage(message, channel)
    },
    onEnd: (why) => ends.push(why),
  })
  const kinds = () => messages.map(({ kind }) => kind)
  return { channel, near, far, messages, kinds, ends }
}

const ping = encodeFrp({ kind: 'Ping', body: {} })
const work = encodeFrp({ kind: 'NewWorkConn', body: { run_id: 'r' } })

test('messages arrive whole and in order, however the bytes are cut', async () => {
  const { far, messages, ends } = channelOf()
  const bytes = Buffer.concat([work, ping, work])
  for (const byte of bytes) {
    far.write(Buffer.of(byte))
    await settled()
  }
  far.write(bytes)
  await settled()
  assert.deepEqual(
    messages.map(({ kind, body }) => [kind, 'run_id' in body ? body.run_id : '']),
    [...Array(2)].flatMap(() => [
      ['NewWorkConn', 'r'],
      ['Ping', ''],
      ['NewWorkConn', 'r'],
    ]),
  )
  assert.deepEqual(ends, [])
})

test('after the login both directions are encrypted, from the byte behind the message that said so', async () => {
  const { channel, far, kinds } = channelOf(({ kind }, own) => {
    if (kind === 'LoginResp') own.encrypt(key)
  })
  channel.send({ kind: 'Ping', body: {} })
  const encrypt = createFrpEncrypter(key)
  // The answer to a login and what is encrypted behind it arrive in one piece.
  far.write(Buffer.concat([encodeFrp({ kind: 'LoginResp', body: { run_id: 'r' } }), encrypt(ping)]))
  await settled()
  far.write(encrypt(ping))
  await settled()
  assert.deepEqual(kinds(), ['LoginResp', 'Ping', 'Ping'])

  channel.send({ kind: 'Pong', body: {} })
  await settled()
  const sent: Buffer = far.read()
  assert.deepEqual(sent.subarray(0, ping.length), Buffer.from(ping), 'in clear before the login')
  const read = readFrp(createFrpDecrypter(key)(sent.subarray(ping.length)))
  assert.equal(typeof read === 'string' ? read : read.message.kind, 'Pong')
})

test('a detached stream begins with the byte behind the last message, and tells the channel nothing more', async () => {
  const given: Duplex[] = []
  const { channel, far, kinds, ends } = channelOf((_message, own) => given.push(own.detach()))
  far.write(Buffer.concat([encodeFrp({ kind: 'StartWorkConn', body: { proxy_name: 'web' } }), Buffer.from('user')]))
  await settled()
  const [stream] = given as [Duplex]
  assert.equal(String(stream.read()), 'user')
  channel.send({ kind: 'Ping', body: {} })
  channel.close()
  assert.equal(stream.destroyed, false)
  stream.end('answer')
  far.write(ping)
  far.end()
  assert.equal(String((await once(far, 'data'))[0]), 'answer', 'a channel that has ended sends nothing')
  stream.resume()
  await once(stream, 'close')
  assert.deepEqual([kinds(), ends], [['StartWorkConn'], []])
})

const broken: [title: string, hex: string, end: string][] = [
  ['an unknown type', '7e0000000000000002', 'unknownType'],
  ['a negative length', '70ffffffffffffffff', 'invalidLength'],
  ['a length beyond that of frp', '700000000000002801', 'invalidLength'],
  ['the largest length', '707fffffffffffffff', 'invalidLength'],
  ['a body that is no object', '7000000000000000027b7b', 'invalidBody'],
]

for (const [title, hex, end] of broken)
  test(`${title} ends the channel and its stream with that reason, once, and the messages before it arrive`, async () => {
    const { channel, near, far, kinds, ends } = channelOf()
    const closed = once(near, 'close')
    far.write(Buffer.concat([ping, Buffer.from(hex, 'hex'), ping]))
    await closed
    channel.close()
    channel.send({ kind: 'Ping', body: {} })
    assert.deepEqual([kinds(), ends], [['Ping'], [end]])
  })

test('the end of the connection is told once, and so is an error of it', async () => {
  for (const finish of [
    ({ far }: ReturnType<typeof channelOf>) => far.end(),
    ({ near }: ReturnType<typeof channelOf>) => near.destroy(new Error('reset')),
    ({ channel }: ReturnType<typeof channelOf>) => channel.close(),
  ]) {
    const made = channelOf()
    const closed = once(made.near, 'close').catch(() => {})
    finish(made)
    await closed
    await settled()
    assert.deepEqual([made.near.destroyed, made.ends], [true, ['closed']])
  }
})

test('an end that never reads is given up before it costs much memory', async () => {
  const { channel, near, ends } = channelOf()
  let sent = 0
  while (ends.length === 0 && sent < 100_000) {
    channel.send({ kind: 'Pong', body: { error: 'x'.repeat(1_000) } })
    sent += 1
  }
  assert.deepEqual([ends, near.destroyed], [['backlog'], true])
  assert.ok(sent * 1_000 < 2 * FRP_BACKLOG_MAX_BYTES, `${sent} messages`)
})
