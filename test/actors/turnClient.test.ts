import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtemp } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { createActor } from 'xstate'
import { openListener } from '../../actors/listeners/tcp.ts'
import { createDialer } from '../../actors/net/dialer.ts'
import { createRelayServer } from '../../actors/relay/frpServer.ts'
import { createRelayQuota } from '../../actors/relay/quota.ts'
import { openStore } from '../../actors/store.ts'
import { createTurnClient } from '../../actors/turnClient.ts'
import type { Relay } from '../../machines/turnClient/relays.ts'
import { createBus } from '../../protocol/bus.ts'
import { RELAY_LIMITS } from '../../protocol/defaults/relay.ts'
import { emptyMappings, mappingsFile } from '../../protocol/files/mappings.ts'
import type { BusEvent } from '../../protocol/index.ts'
import { directEndpoint } from '../../protocol/net/endpoint.ts'
import type { TurnClientEmits } from '../../protocol/turnClient.ts'
import { newIdentity } from '../support/httpHarness.ts'

const folder = await mkdtemp(join(tmpdir(), 'p2prc-'))
const owner = { caller: 'owner', requestId: 'r1' } as const

/** A node that lends any port of 127.0.0.1. */
async function openRelay(latencyNs: number) {
  const identity = await newIdentity(folder, 'relay')
  const quota = createRelayQuota(RELAY_LIMITS, () => false)
  const server = createRelayServer({ token: '', host: '127.0.0.1', quota })
  const listener = await openListener({
    identity,
    host: '127.0.0.1',
    port: 0,
    handle: (_request, response) => response.end(),
    acceptFrp: (connection, { caller, address }) => server.accept(connection, { caller, address }),
  })
  const endpoints = [directEndpoint({ host: '127.0.0.1', port: listener.port })]
  const relay: Relay = { id: identity.id, endpoints, latencyNs, names: [], isForTrusted: false }
  const kill = async () => {
    server.close()
    await listener.close()
  }
  return { relay, kill }
}

/** Starts the concern with these relays. `next` resolves with the next fact of a type. */
async function startClient(relays: Relay[], file: string) {
  const store = await openStore(file, { schema: mappingsFile, empty: emptyMappings, indent: '  ' })
  const dialer = createDialer({ identity: await newIdentity(folder, 'client'), test: true })
  const { logic, input } = createTurnClient({
    bus: createBus<BusEvent>({ onError: (error) => assert.fail(String(error)) }),
    store,
    dialer,
    resolve: async (where) => assert.fail(where),
    listening: () => ({ host: '127.0.0.1', port: 1 }),
    isBehindNat: false,
    findRelays: async (names) => ({
      relays: relays.map((one) => ({ ...one, names: names.filter((name) => name === one.id) })),
      unresolved: {},
    }),
  })
  const abort = new AbortController()
  const actor = createActor(logic, { input: input(abort.signal, {}) })
  const next = <T extends TurnClientEmits['type']>(type: T) =>
    new Promise<Extract<TurnClientEmits, { type: T }>>((resolve, reject) => {
      const listening = actor.on('*', (fact) => {
        if (fact.type !== type && !/Failed$/.test(fact.type)) return
        listening.unsubscribe()
        if (fact.type === type) resolve(fact as Extract<TurnClientEmits, { type: T }>)
        else reject(new Error(JSON.stringify(fact)))
      })
    })
  return {
    actor,
    next,
    async stop() {
      actor.stop()
      abort.abort()
      await store.settled()
    },
  }
}

test('a mapped port is reached through the nearest relay, moves when that is killed, and comes back after a restart', async (t) => {
  const service = createServer((_request, response) => response.end('hello'))
  await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve))
  t.after(() => service.close())
  const { port } = service.address() as AddressInfo
  const [near, far] = [await openRelay(1), await openRelay(9)]
  t.after(far.kill)
  const file = join(folder, 'mappings.json')
  const client = await startClient([far.relay, near.relay], file)
  const fetchFrom = async (outside: number | undefined) => (await fetch(`http://127.0.0.1:${outside}/`)).text()

  const mapped = client.next('port.mapped')
  client.actor.start()
  client.actor.send({ ...owner, type: 'port.map', port, protocol: 'tcp' })
  const { mapping } = await mapped
  assert.equal(mapping.relay, near.relay.id)
  assert.equal(await fetchFrom(mapping.address?.port), 'hello')

  const restored = client.next('port.restored')
  const killedAt = performance.now()
  await near.kill()
  const moved = (await restored).mapping
  assert.ok(performance.now() - killedAt < 5_000)
  assert.equal(moved.relay, far.relay.id)
  assert.equal(await fetchFrom(moved.address?.port), 'hello')
  await client.stop()

  const again = await startClient([far.relay], file)
  const back = again.next('port.restored')
  again.actor.start()
  const { mapping: same } = await back
  assert.deepEqual(same.address, moved.address)
  assert.equal(await fetchFrom(same.address?.port), 'hello')
  await again.stop()
})

test('a mapped UDP port answers users through a relay, and the probe that has confirmed it stays from the service', async (t) => {
  const service = createSocket('udp4')
  service.bind(0, '127.0.0.1')
  await once(service, 'listening')
  t.after(() => service.close())
  const arrived: string[] = []
  service.on('message', (payload, { address, port }) => {
    arrived.push(String(payload))
    service.send(`${payload}!`, port, address)
  })
  const relay = await openRelay(1)
  t.after(relay.kill)
  const client = await startClient([relay.relay], join(folder, 'mappingsOfUdp.json'))
  t.after(client.stop)
  const mapped = client.next('port.mapped')
  client.actor.start()
  client.actor.send({ ...owner, type: 'port.map', port: service.address().port, protocol: 'udp' })
  const { mapping } = await mapped
  const user = createSocket('udp4')
  t.after(() => user.close())
  const answered = once(user, 'message')
  user.send('question', mapping.address?.port ?? 0, '127.0.0.1')
  assert.equal(String((await answered)[0]), 'question!')
  assert.deepEqual(arrived, ['question'])
  assert.equal(client.actor.getSnapshot().status, 'active')
})
