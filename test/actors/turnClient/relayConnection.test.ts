import assert from 'node:assert/strict'
import { type Duplex, PassThrough } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { createFrpChannel, type FrpChannel } from '../../../actors/frp/frpChannel.ts'
import { unmultiplexed } from '../../../actors/turnClient/frpTransport.ts'
import type { RelayConnectionOptions } from '../../../actors/turnClient/relayConnection.ts'
import { startSession } from '../../../actors/turnClient/startSession.ts'
import { frpKey } from '../../../protocol/wire/frp/cipher.ts'
import type { FrpMessage } from '../../../protocol/wire/frp/message.ts'
import { connectionPair } from '../../support/connectionPair.ts'
import { until } from '../../support/lender.ts'

/** A session with one tunnel at a relay that does what the test says. */
async function start(t: TestContext, options: Partial<RelayConnectionOptions> = {}) {
  const connections: { channel: FrpChannel; received: FrpMessage[]; far: Duplex; end?: string }[] = []
  const reached: string[] = []
  const session = startSession(
    {
      transport: async () =>
        unmultiplexed(async () => {
          const [near, far] = connectionPair()
          const received: FrpMessage[] = []
          const channel = createFrpChannel(far, {
            onMessage: (message) => received.push(message),
            onEnd: (why) => Object.assign(connection, { end: why }),
          })
          const connection = { channel, received, far }
          connections.push(connection)
          return near
        }),
      token: () => '',
      async connectLocal(name) {
        reached.push(name)
        return new PassThrough()
      },
      localUdpPort: () => undefined,
      ...options,
    },
    [{ name: 'tcp/8080', protocol: 'tcp', remotePort: 0 }],
  )
  t.after(() => session.stop())
  const opened: number[] = []
  session.actor.on('tunnel.opened', ({ remotePort }) => opened.push(remotePort))
  const [control] = await waitFor(() => connections[0]?.received.length === 1 && connections)
  control?.channel.send({ kind: 'LoginResp', body: { run_id: 'r' } })
  control?.channel.encrypt(frpKey(''))
  const proxy = await waitFor(() => control?.received.find(({ kind }) => kind === 'NewProxy'))
  /** Lets the relay request a work connection and say for which proxy it is. */
  async function startWork(proxy_name: string) {
    const at = connections.length
    control?.channel.send({ kind: 'ReqWorkConn', body: {} })
    const work = await waitFor(() => connections[at]?.received.length === 1 && connections[at])
    work.channel.send({ kind: 'StartWorkConn', body: { proxy_name } })
    return work
  }
  return { session, control, proxy, connections, reached, opened, startWork }
}

async function waitFor<T>(find: () => T | undefined | false): Promise<T> {
  let found: T | undefined | false
  await until(async () => {
    found = find()
    return found !== undefined && found !== false
  }, 5_000)
  return found as T
}

test('a relay that names a port which nobody has mapped, or a tunnel that is closed, reaches nothing', async (t) => {
  const { session, startWork, reached, control } = await start(t)
  for (const name of ['tcp/22', 'udp/2375', 'node', '', '__proto__']) {
    const work = await startWork(name)
    await until(async () => work.far.destroyed, 5_000)
    assert.deepEqual(reached, [], name)
  }
  await startWork('tcp/8080')
  await waitFor(() => reached.length === 1)
  session.close('tcp/8080')
  await waitFor(() => control?.received.some(({ kind }) => kind === 'CloseProxy'))
  const work = await startWork('tcp/8080')
  await until(async () => work.far.destroyed, 5_000)
  assert.deepEqual(reached, ['tcp/8080'])
})

test("at stock frp the user's name stands before that of the tunnel, and is taken off again", async (t) => {
  const { control, proxy, startWork, reached, opened } = await start(t, { user: () => 'alice' })
  assert.deepEqual(
    control?.received.map(({ body }) => ('user' in body ? body.user : '')),
    ['alice', ''],
  )
  assert.equal('proxy_name' in proxy.body && proxy.body.proxy_name, 'alice.tcp/8080')
  for (const [proxy_name, remote_addr] of [
    ['bob.tcp/8080', ':1'],
    ['tcp/8080', ':2'],
    ['alice.tcp/8080', ':20000'],
  ] as const)
    control?.channel.send({ kind: 'NewProxyResp', body: { proxy_name, remote_addr } })
  await waitFor(() => opened.length > 0)
  assert.deepEqual(opened, [20_000])
  await startWork('tcp/8080')
  await startWork('alice.tcp/8080')
  await waitFor(() => reached.length > 0)
  assert.deepEqual(reached, ['tcp/8080'])
})
