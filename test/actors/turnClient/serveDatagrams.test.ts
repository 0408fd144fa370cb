import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { type TestContext, test } from 'node:test'
import { createFrpChannel } from '../../../actors/frp/frpChannel.ts'
import { serveDatagrams } from '../../../actors/turnClient/serveDatagrams.ts'
import { UDP_IDLE_TIMEOUT_MS } from '../../../protocol/defaults/turnClient.ts'
import type { FrpMessage } from '../../../protocol/wire/frp/message.ts'
import { connectionPair } from '../../support/connectionPair.ts'
import { until } from '../../support/lender.ts'

const base64 = (text: string) => Buffer.from(text).toString('base64')
const sockets = () => process.getActiveResourcesInfo().filter((name) => /UDP/.test(name)).length

/** A service that answers with what it got and from where, and the relay's end of a work connection to it. */
async function start(t: TestContext, isProbe?: (payload: Buffer) => boolean) {
  const service = createSocket('udp4')
  service.bind(0, '127.0.0.1')
  await once(service, 'listening')
  const arrived: [text: string, port: number][] = []
  service.on('message', (payload, { port, address }) => {
    arrived.push([String(payload), port])
    service.send(`${payload}!`, port, address)
  })
  const [near, far] = connectionPair()
  const received: FrpMessage[] = []
  const relay = createFrpChannel(far, { onMessage: (message) => received.push(message), onEnd: () => {} })
  serveDatagrams(near, service.address().port, isProbe)
  t.after(() => {
    relay.close()
    service.close()
  })
  const send = (text: string, port: number) =>
    relay.send({ kind: 'UDPPacket', body: { c: base64(text), r: { IP: '203.0.113.9', Port: port, Zone: '' } } })
  const answers = () =>
    received.flatMap((one) => (one.kind === 'UDPPacket' ? [[atob(one.body.c), one.body.r?.Port] as const] : []))
  return { service, arrived, relay, received, send, answers, near }
}

test('each user has a socket of its own, and answers go to the user to whom they belong', async (t) => {
  const { arrived, send, answers } = await start(t)
  send('a', 1_001)
  send('b', 1_002)
  send('c', 1_001)
  await until(async () => answers().length === 3, 5_000)
  assert.deepEqual(answers().sort(), [
    ['a!', 1_001],
    ['b!', 1_002],
    ['c!', 1_001],
  ])
  const from = new Map(arrived)
  assert.equal(from.get('a'), from.get('c'))
  assert.notEqual(from.get('a'), from.get('b'))
})

test('a probe does not reach the service, and what is no datagram of a user does nothing', async (t) => {
  const { arrived, send, relay, answers } = await start(t, (payload) => String(payload) === 'probe')
  relay.send({ kind: 'UDPPacket', body: { c: base64('nobody') } })
  relay.send({ kind: 'Pong', body: {} })
  send('probe', 1_001)
  send('user', 1_001)
  await until(async () => answers().length === 1, 5_000)
  assert.deepEqual(
    arrived.map(([text]) => text),
    ['user'],
  )
})

test('at the end of the work connection every socket is closed, and an idle user loses theirs before', async (t) => {
  await until(async () => sockets() === 0, 5_000)
  const { send, answers, relay } = await start(t)
  t.mock.timers.enable({ apis: ['setTimeout'] })
  send('a', 1_001)
  send('b', 1_002)
  while (answers().length < 2) await new Promise<void>((resolve) => setImmediate(resolve))
  assert.equal(sockets(), 3)
  t.mock.timers.tick(UDP_IDLE_TIMEOUT_MS)
  while (sockets() > 1) await new Promise<void>((resolve) => setImmediate(resolve))
  send('c', 1_001)
  while (answers().length < 3) await new Promise<void>((resolve) => setImmediate(resolve))
  relay.close()
  while (sockets() > 1) await new Promise<void>((resolve) => setImmediate(resolve))
})

test('a work connection without a port leads nowhere', async () => {
  await until(async () => sockets() === 0, 5_000)
  const [near, far] = connectionPair()
  const relay = createFrpChannel(far, { onMessage: () => {}, onEnd: () => {} })
  serveDatagrams(near, undefined)
  relay.send({ kind: 'UDPPacket', body: { c: base64('x'), r: { IP: '203.0.113.9', Port: 1, Zone: '' } } })
  await new Promise<void>((resolve) => setImmediate(() => setImmediate(resolve)))
  assert.equal(sockets(), 0)
  const closed = once(near, 'close')
  relay.close()
  await closed
})
