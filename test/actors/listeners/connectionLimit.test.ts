import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { readdirSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { connectionLimits, createConnectionLimit } from '../../../actors/listeners/connectionLimit.ts'
import { bareHome } from '../../support/cliHomes.ts'
import { http } from '../../support/httpHarness.ts'
import { until } from '../../support/lender.ts'
import { p2prc, startNodeWithOpenFiles } from '../../support/processes.ts'

const from = (remoteAddress: string) => Object.assign(new EventEmitter(), { remoteAddress }) as unknown as Socket

test('one address has its own limit, one subscriber of IPv6 too, and a closed connection makes room', () => {
  const count = createConnectionLimit({ perAddress: 2, total: 100 })
  const isWithinLimit = (socket: Socket) => count(socket) !== undefined
  for (const [one, other] of [
    ['93.184.1.1', '93.184.1.2'],
    ['2a00:1::1', '2a00:2::1'],
    ['::ffff:93.184.1.3', '::ffff:93.184.1.4'],
  ] as const) {
    const first = from(one)
    assert.deepEqual([first, from(one), from(one)].map(isWithinLimit), [true, true, false])
    assert.equal(isWithinLimit(from(other)), true)
    first.emit('close')
    assert.deepEqual([from(one), from(one)].map(isWithinLimit), [true, false])
  }
  assert.deepEqual([from('2a00:3::1'), from('2a00:3::2'), from('2a00:3::ffff')].map(isWithinLimit), [true, true, false])
})

test('loopback counts only towards the total', () => {
  const count = createConnectionLimit({ perAddress: 1, total: 3 })
  const isWithinLimit = (socket: Socket) => count(socket) !== undefined
  assert.deepEqual(
    [1, 2, 3, 4].map(() => isWithinLimit(from('127.0.0.1'))),
    [true, true, true, false],
  )
  assert.equal(isWithinLimit(from('93.184.1.1')), false)
})

test('a connection that another limit counts makes room, once', () => {
  const count = createConnectionLimit({ perAddress: 2, total: 2 })
  const first = from('93.184.1.1')
  const release = count(first)
  assert.ok(release && count(from('93.184.1.1')))
  release()
  first.emit('close')
  assert.deepEqual([count(from('93.184.1.1')) !== undefined, count(from('93.184.1.1'))], [true, undefined])
})

test('half of the file descriptors remain for the owner', () => {
  assert.deepEqual(connectionLimits(512), { perAddress: 64, total: 256 })
  assert.deepEqual(connectionLimits(1_000_000), { perAddress: 64, total: 1_024 })
  assert.deepEqual(connectionLimits(Number.POSITIVE_INFINITY), { perAddress: 64, total: 1_024 })
})

const UPGRADE =
  'GET /api/v1/gossip HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
  'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'

test('1,000 refused upgrades whose clients never close, and 1,000 silent connections, do not silence the owner', async (t) => {
  const env = bareHome()
  const node = await startNodeWithOpenFiles(t, env, 512)
  const descriptors = () => readdirSync(`/proc/${node.process.pid}/fd`).length
  const idle = descriptors()

  await floods(t, node.port, UPGRADE)
  // The node reads the requests one after another, so this response comes after all refusals.
  await until(async () => descriptors() < idle + 20, 20_000)

  await floods(t, node.port, '')
  await until(async () => descriptors() > idle + 200, 20_000)
  assert.ok(descriptors() < idle + 260, `${descriptors()} descriptors, ${idle} of them without connections`)
  const { code, stderr } = await p2prc(env, 'ls')
  assert.equal(code, 0, stderr)
  // The silent ones time out.
  await until(async () => {
    const reply = await http(node.port, { path: '/server_info' }).catch(() => undefined)
    return reply?.status === 200
  }, 20_000)
})

/** Opens 1,000 connections that send `opening`, read nothing to its end and never close their side. */
async function floods(t: TestContext, port: number, opening: string): Promise<void> {
  const sockets = Array.from({ length: 1_000 }, () => connect({ port, host: '127.0.0.1', allowHalfOpen: true }))
  t.after(() => {
    for (const socket of sockets) socket.destroy()
  })
  await Promise.all(
    sockets.map(async (socket) => {
      socket.on('error', () => {})
      if (socket.connecting) await once(socket, 'connect').catch(() => {})
      if (opening) socket.write(opening)
    }),
  )
}
