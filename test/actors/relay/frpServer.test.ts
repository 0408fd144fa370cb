import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { after, test } from 'node:test'
import { createFrpChannel } from '../../../actors/frp/frpChannel.ts'
import { createYamux } from '../../../actors/frp/yamux.ts'
import { createRelayServer } from '../../../actors/relay/frpServer.ts'
import { createRelayQuota } from '../../../actors/relay/quota.ts'
import { RELAY_LIMITS } from '../../../protocol/defaults/relay.ts'
import { FRP_FIRST_MESSAGE_TIMEOUT_MS } from '../../../protocol/defaults/turnClient.ts'
import { createFrpEncrypter, frpKey, privilegeKey } from '../../../protocol/wire/frp/cipher.ts'
import { encodeFrp, type FrpMessage } from '../../../protocol/wire/frp/message.ts'
import { loginMessage } from '../../support/frpClient.ts'
import { until } from '../../support/lender.ts'

const relay = createRelayServer({
  token: '',
  host: '127.0.0.1',
  quota: createRelayQuota({ ...RELAY_LIMITS, connectionsPerClient: 2, loginsPerClient: 2 }, () => false),
})
// A client is its address here, as it is for those without a key.
const server = createServer((socket) =>
  relay.accept(socket, { caller: 'anonymous', address: socket.remoteAddress ?? '' }),
).listen(0, '127.0.0.1')
await once(server, 'listening')
const { port } = server.address() as { port: number }
const sockets = new Set<Socket>()
server.on('connection', (socket: Socket) => {
  sockets.add(socket)
  socket.on('close', () => sockets.delete(socket))
})
after(() => {
  relay.close()
  server.close()
  for (const socket of sockets) socket.destroy()
})

/** A hundred requests each. */
const rounds = process.env.P2PRC_SOAK ? 100 : 1

/** The sockets and listeners of this process, of both ends. */
const resources = () => process.getActiveResourcesInfo().filter((name) => /TCP|UDP/.test(name)).length

const addresses = { alice: '127.0.0.2', bob: '127.0.0.3', mallory: '127.0.0.4', eve: '127.0.0.5' }

type Client = keyof typeof addresses

async function connectAs(client: Client): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', localAddress: addresses[client] }).on('error', () => {})
  await once(socket, 'connect')
  return socket
}

async function logIn(client: Client, { runId = '', token = '' } = {}) {
  const socket = await connectAs(client)
  const received: FrpMessage[] = []
  const channel = createFrpChannel(socket, {
    onMessage(message) {
      received.push(message)
      if (message.kind === 'LoginResp' && message.body.error === '') channel.encrypt(frpKey(''))
    },
    onEnd: () => {},
  })
  const timestamp = 1_700_000_000
  const body = { version: '0.45.0', privilege_key: privilegeKey(token, timestamp), timestamp, run_id: runId }
  channel.send({ kind: 'Login', body })
  const bodiesOf = <K extends FrpMessage['kind']>(kind: K) =>
    received.flatMap((one) => (one.kind === kind ? [one.body as Extract<FrpMessage, { kind: K }>['body']] : []))
  await until(async () => bodiesOf('LoginResp').length > 0, 5_000)
  return {
    socket,
    login: bodiesOf('LoginResp')[0],
    /** Requests ports and resolves with the answer to each. */
    async request(...ports: number[]) {
      const before = bodiesOf('NewProxyResp').length
      for (const [at, remote_port] of ports.entries())
        channel.send({ kind: 'NewProxy', body: { proxy_name: `${before + at}`, remote_port } })
      await until(async () => bodiesOf('NewProxyResp').length === before + ports.length, 10_000)
      return bodiesOf('NewProxyResp').slice(before)
    },
    async end() {
      socket.destroy()
      await once(socket, 'close')
    },
  }
}

test(`a peer that requests ${rounds * 100} ports gets sixteen, those of others and of the system never; all end with it`, async () => {
  const idle = resources()
  const alice = await logIn('alice')
  const bob = await logIn('bob')
  const [first] = await alice.request(0)
  assert.equal((await bob.request(port))[0]?.error, 'port already used')
  const taken = Number(first?.remote_addr.slice(1))
  const refused = await bob.request(22, 2_375, taken)
  assert.deepEqual(
    refused.map(({ error }) => error),
    ['port not allowed', 'port not allowed', 'port already used'],
  )
  const answers: string[] = []
  for (let round = 0; round < rounds; round++)
    answers.push(...(await bob.request(...Array.from({ length: 100 }, () => 0))).map(({ error }) => error))
  assert.equal(answers.filter((error) => error === '').length, 16)
  assert.equal(answers.filter((error) => error === 'exceed the max_ports_per_client').length, answers.length - 16)
  await bob.end()
  await alice.end()
  await until(async () => resources() === idle, 5_000)
  const again = await logIn('bob')
  assert.equal((await again.request(taken))[0]?.error, '')
  await again.end()
  await until(async () => relay.logins.size === 0, 5_000)
})

test("another client's session id neither ends the session nor takes its users", async () => {
  const alice = await logIn('alice')
  const runId = alice.login?.run_id ?? ''
  const [lent] = await alice.request(0)
  const mallory = await logIn('mallory', { runId })
  assert.deepEqual([mallory.login?.error, relay.logins.size], ['', 2])
  const stolen = await connectAs('eve')
  stolen.write(encodeFrp({ kind: 'NewWorkConn', body: { run_id: runId } }))
  assert.match(String((await once(stolen, 'data'))[0]), /no client control info found/)
  // The client itself takes its session over, and the port is free for it.
  const again = await logIn('alice', { runId })
  assert.equal((await again.request(Number(lent?.remote_addr.slice(1))))[0]?.error, '')
  assert.equal(relay.logins.size, 2)
  for (const one of [alice, mallory, again]) one.socket.destroy()
  await until(async () => relay.logins.size === 0, 5_000)
})

test('a wrong token and too many logins are refused with a reason', async () => {
  const wrong = await logIn('alice', { token: 'other' })
  assert.equal(wrong.login?.error, "token in login doesn't match token from configuration")
  const some = [await logIn('alice'), await logIn('alice'), await logIn('alice')]
  assert.deepEqual(
    some.map(({ login }) => login?.error),
    ['', '', 'too many logins'],
  )
  for (const { socket } of some) socket.destroy()
  await until(async () => relay.logins.size === 0, 5_000)
})

test('users beyond the limit of a client are turned away, and one that leaves makes room', async () => {
  const alice = await logIn('alice')
  const [lent] = await alice.request(0)
  const user = async () => {
    const socket = connect(Number(lent?.remote_addr.slice(1)), '127.0.0.1').on('error', () => {})
    await once(socket, 'connect')
    return socket.resume()
  }
  const [one, two] = [await user(), await user()]
  await once(await user(), 'close')
  assert.deepEqual([one.destroyed, two.destroyed], [false, false])
  await alice.end()
  await Promise.all([one, two].map((socket) => socket.closed || once(socket, 'close')))
  await until(async () => relay.logins.size === 0, 5_000)
})

test('a client that requests without ever reading an answer is given up, and all that it had is free again', async () => {
  const idle = resources()
  const socket = await connectAs('alice')
  socket.write(loginMessage(''))
  await once(socket, 'data')
  socket.pause()
  assert.equal(relay.logins.size, 1)
  const encrypt = createFrpEncrypter(frpKey(''))
  let sent = 0
  const send = () => {
    if (socket.destroyed || relay.logins.size === 0) return
    for (let count = 0; count < 100; count++, sent++)
      socket.write(encrypt(encodeFrp({ kind: 'NewProxy', body: { proxy_name: `${'x'.repeat(9_000)}${sent}` } })))
    if (socket.writableNeedDrain) socket.once('drain', send)
    else setImmediate(send)
  }
  send()
  await until(async () => relay.logins.size === 0, 10_000)
  assert.ok(sent < 10_000, `${sent} requests`)
  // What it has not read hides the end from the client.
  socket.destroy()
  await until(async () => resources() === idle, 5_000)
})

test('a multiplexed session without a login, or whose login has ended, is closed', async (t) => {
  const immediate = () => new Promise<void>((resolve) => setImmediate(resolve))
  const [silent, active] = [await connectAs('alice'), await connectAs('bob')]
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const ended: string[] = []
  const sessions = [silent, active].map((socket, at) => {
    socket.once('close', () => ended.push(at === 0 ? 'silent' : 'active'))
    return createYamux(socket, { role: 'client' })
  })
  const [waiting, control] = sessions.map((session) => session.open())
  control?.write(loginMessage(''))
  control?.resume()
  while (relay.logins.size === 0) await immediate()
  // Work connections alone are no login.
  waiting?.write(encodeFrp({ kind: 'NewWorkConn', body: { run_id: 'unknown' } }))
  waiting?.resume()
  for (let turns = 0; turns < 20; turns++) await immediate()
  t.mock.timers.tick(FRP_FIRST_MESSAGE_TIMEOUT_MS)
  while (ended.length === 0) await immediate()
  for (let turns = 0; turns < 20; turns++) await immediate()
  assert.deepEqual(ended, ['silent'])
  control?.end()
  while (ended.length === 1) await immediate()
  assert.equal(relay.logins.size, 0)
})
