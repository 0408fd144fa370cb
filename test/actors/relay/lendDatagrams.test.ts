import assert from 'node:assert/strict'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { type TestContext, test } from 'node:test'
import { createFrpChannel, type FrpChannel } from '../../../actors/frp/frpChannel.ts'
import { once as onlyOnce } from '../../../actors/once.ts'
import { createDatagramUsers } from '../../../actors/relay/datagramUsers.ts'
import { lendDatagrams } from '../../../actors/relay/lendDatagrams.ts'
import { createWorkPool } from '../../../actors/relay/workPool.ts'
import { UDP_USERS_REMEMBERED, UDP_WORK_RETRY_MS } from '../../../protocol/defaults/turnClient.ts'
import type { FrpMessage } from '../../../protocol/wire/frp/message.ts'
import { connectionPair } from '../../support/connectionPair.ts'
import { until } from '../../support/lender.ts'

const base64 = (text: string) => Buffer.from(text).toString('base64')
const immediate = () => new Promise<void>((resolve) => setImmediate(resolve))
const sockets = () => process.getActiveResourcesInfo().filter((name) => /UDP/.test(name)).length

async function socketAt(t: TestContext, host = '127.0.0.1'): Promise<Socket> {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4')
  socket.bind(0, host)
  await once(socket, 'listening')
  t.after(() => socket.close())
  return socket
}

/** A lent port, and the client, which gets a work connection whenever the relay asks for one. */
async function start(
  t: TestContext,
  { host = '127.0.0.1', pass = () => 0 }: { host?: string; pass?: () => number } = {},
) {
  const works: { channel: FrpChannel; received: FrpMessage[] }[] = []
  const pool = createWorkPool(() => {
    const [near, far] = connectionPair()
    const received: FrpMessage[] = []
    works.push({
      channel: createFrpChannel(far, { onMessage: (one) => received.push(one), onEnd: () => {} }),
      received,
    })
    queueMicrotask(() => pool.add(near))
  })
  const meter = { since: 0, connections: 0, bytes: 0 }
  const takeUser = () => undefined
  const lent = await lendDatagrams({ name: 'dns', host, port: 0, work: pool, key: undefined, takeUser, pass, meter })
  const close = onlyOnce(async () => lent.close())
  t.after(close)
  const kinds = (at: number) => works[at]?.received.map(({ kind }) => kind) ?? []
  await until(async () => kinds(0).length === 1, 5_000)
  const answer = (text: string, IP: string, Port: number, at = 0) =>
    works[at]?.channel.send({ kind: 'UDPPacket', body: { c: base64(text), r: { IP, Port, Zone: '' } } })
  return { lent, works, kinds, answer, close }
}

test('a user reaches the client through one work connection, and gets the answer back', async (t) => {
  for (const host of ['127.0.0.1', '::']) {
    const { lent, works, kinds, answer } = await start(t, { host })
    const user = await socketAt(t)
    user.send('question', lent.port, '127.0.0.1')
    await until(async () => kinds(0).length === 2, 5_000)
    assert.deepEqual(kinds(0), ['StartWorkConn', 'UDPPacket'])
    // Go's client returns an IPv4 address without the prefix that it has on a socket of both families.
    const body = { c: base64('question'), r: { IP: '127.0.0.1', Port: user.address().port, Zone: '' } }
    assert.deepEqual(works[0]?.received[1]?.body, body)
    const answered = once(user, 'message')
    answer('answer', '127.0.0.1', user.address().port)
    assert.equal(String((await answered)[0]), 'answer')
  }
})

test('a client that names another address than a user of the port sends nothing there, loopback and metadata included', async (t) => {
  const { lent, answer, kinds } = await start(t)
  const [user, outsider] = [await socketAt(t), await socketAt(t)]
  outsider.on('message', (payload) => assert.fail(`the outsider got ${payload}`))
  answer('nobody', '127.0.0.1', outsider.address().port)
  answer('nobody', '169.254.169.254', 80)
  user.send('question', lent.port, '127.0.0.1')
  await until(async () => kinds(0).length === 2, 5_000)
  answer('nobody', '127.0.0.1', outsider.address().port)
  const answered = once(user, 'message')
  answer('answer', '127.0.0.1', user.address().port)
  assert.equal(String((await answered)[0]), 'answer')
  // A datagram that the outsider sends itself arrives after whatever was sent to it before.
  const own = once(outsider.removeAllListeners('message'), 'message')
  outsider.send('own', outsider.address().port, '127.0.0.1')
  assert.equal(String((await own)[0]), 'own')
})

test('the latest users are remembered, and those to whom something was sent count as late', () => {
  const users = createDatagramUsers()
  const user = (port: number) => ({ IP: '203.0.113.9', Port: port, Zone: '' })
  for (let port = 1; port <= UDP_USERS_REMEMBERED; port++)
    assert.deepEqual(users.add('::ffff:203.0.113.9', port), user(port))
  assert.equal(users.addressOf(user(1)), '::ffff:203.0.113.9')
  users.add('::ffff:203.0.113.9', 60_000)
  assert.deepEqual(
    [1, 2, 3, 60_000].map((port) => users.addressOf(user(port))),
    ['::ffff:203.0.113.9', undefined, '::ffff:203.0.113.9', '::ffff:203.0.113.9'],
  )
  assert.equal(users.addressOf({ IP: '::ffff:203.0.113.9', Port: 3, Zone: '' }), '::ffff:203.0.113.9')
})

test('what exceeds the rate is lost in both directions', async (t) => {
  let wait = 1
  let counted = 0
  const pass = () => {
    counted += 1
    return wait
  }
  const { lent, kinds, answer } = await start(t, { pass })
  const user = await socketAt(t)
  user.send('too much', lent.port, '127.0.0.1')
  await until(async () => counted === 1, 5_000)
  wait = 0
  user.send('in time', lent.port, '127.0.0.1')
  await until(async () => kinds(0).length === 2, 5_000)
  wait = 1
  answer('too much', '127.0.0.1', user.address().port)
  await until(async () => counted === 3, 5_000)
  wait = 0
  const answered = once(user, 'message')
  answer('in time', '127.0.0.1', user.address().port)
  assert.equal(String((await answered)[0]), 'in time')
})

test('a work connection that ends is replaced, and the end of the port ends what is left', async (t) => {
  await until(async () => sockets() === 0, 5_000)
  const { lent, works, kinds, close } = await start(t)
  t.mock.timers.enable({ apis: ['setTimeout'] })
  works[0]?.channel.close()
  for (let turns = 0; turns < 5; turns++) await immediate()
  assert.equal(works.length, 1, 'not at once: the client may have lost its connection')
  t.mock.timers.tick(UDP_WORK_RETRY_MS)
  while (kinds(1).length === 0) await immediate()
  const user = await socketAt(t)
  user.send('question', lent.port, '127.0.0.1')
  while (kinds(1).length < 2) await immediate()
  assert.deepEqual(kinds(1), ['StartWorkConn', 'UDPPacket'])
  await close()
  t.mock.timers.tick(10 * UDP_WORK_RETRY_MS)
  for (let turns = 0; turns < 5; turns++) await immediate()
  assert.equal(works.length, 2)
  while (sockets() > 1) await immediate()
})
