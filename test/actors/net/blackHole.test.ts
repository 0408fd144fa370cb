import assert from 'node:assert/strict'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { createGossip, openGossipListener } from '../../../actors/gossip.ts'
import { crawl } from '../../../actors/ipTable/crawl.ts'
import { probe } from '../../../actors/ipTable/probe.ts'
import { createDialer, type DialTarget } from '../../../actors/net/dialer.ts'
import { request } from '../../../actors/request.ts'
import { createSpecs } from '../../../actors/specs.ts'
import { createSpeedTester } from '../../../actors/speedTester.ts'
import { openStore } from '../../../actors/store.ts'
import { type ConcernParts, supervise } from '../../../actors/supervise.ts'
import { createBus } from '../../../protocol/bus.ts'
import { emptyGossip, gossipFile } from '../../../protocol/files/gossip.ts'
import type { BusEvent, Command } from '../../../protocol/index.ts'
import { directEndpoint, type Endpoint, formatEndpoint } from '../../../protocol/net/endpoint.ts'
import { receivedSpecs } from '../../../protocol/wire/specs.ts'
import { openBlackHole } from '../../support/blackHole.ts'
import { openFakeBorrower } from '../../support/fakeBorrower.ts'
import { idOf } from '../../support/fakeLender.ts'
import { nextEvent, record } from '../../support/harness.ts'
import { httpHarness, newIdentity } from '../../support/httpHarness.ts'
import { startPreempted } from '../../support/ownTime.ts'

/**
 * The first endpoint of the peer never answers, the second one does. A dial of it may take this long, in
 * milliseconds.
 */
const DIAL_MAX_MS = 500

/**
 * Asserts that every recorded dial passed the black hole and reached the second endpoint in time. `preemptedMs` is the
 * time that other processes took from this one meanwhile.
 */
function assertFast(events: readonly BusEvent[], target: DialTarget, what: string, preemptedMs: number): void {
  const dials = events.flatMap((event) => (event.type === 'dial.succeeded' ? [event] : []))
  assert.ok(dials.length > 0, `${what} dialled nobody`)
  const [hole, node] = target.endpoints as [Endpoint, Endpoint]
  const first = dials[0]
  assert.equal(formatEndpoint(first?.endpoint ?? hole), formatEndpoint(node), what)
  assert.ok(Number(first?.ms) >= 240, `${what} did not try the black hole first: ${first?.ms} ms`)
  for (const { ms } of dials) assert.ok(ms - preemptedMs <= DIAL_MAX_MS, `${what}: a dial took ${ms} ms`)
}

/** Creates a client of a node whose first endpoint is a black hole. */
async function requester(t: TestContext, hole: { host: string; port: number }) {
  const gossipListener = openGossipListener()
  gossipListener.listen(() => {})
  const node = await httpHarness({ upgrade: gossipListener.upgrade })
  t.after(() => node.close())
  const identity = await newIdentity(node.dir, 'asker')
  node.rights.current = { trusted: new Set([identity.id]), open: false, relay: 'off' }
  node.bus.on('specs.get', ({ requestId }) =>
    node.bus.publish({ type: 'specs.got', requestId, specs: receivedSpecs.parse({ Hostname: 'there' }) }),
  )
  node.bus.on('table.show', ({ requestId }) => node.bus.publish({ type: 'table.shown', requestId, count: 0 }))
  node.bus.on('table.addUnverified', ({ requestId }) => node.bus.publish({ type: 'table.unverifiedAdded', requestId }))
  node.bus.publish({ type: 'specs.changed', specs: receivedSpecs.parse({ Hostname: 'there' }) })
  const bus = createBus<BusEvent>()
  const events = record(bus)
  const dialer = createDialer({ identity, test: true, publish: (fact) => bus.publish(fact) })
  const target = { id: node.identity.id, endpoints: [directEndpoint(hole), directEndpoint(node.where)] }
  const resolve = async () => target
  const run = (parts: ConcernParts) => {
    const concern = supervise(parts, { bus })
    concern.start()
    t.after(() => concern.stop())
  }
  const send = (command: object) => request(bus, { requestId: 'r', caller: 'owner', ...command } as Command)
  return { node, identity, bus, events, dialer, target, resolve, run, send }
}

type Requester = Awaited<ReturnType<typeof requester>>

const known = ({ target }: Requester) => ({
  key: target.id,
  endpoints: target.endpoints.map((at) => ({ ...at, provedAt: null, failedAt: null, trusted: true })),
  keyed: true,
  measure: true,
  specs: true,
  signal: new AbortController().signal,
})

/** The code that dials, apart from the commands of the borrower. */
const dials: [string, (requester: Requester) => Promise<unknown>][] = [
  [
    'specs.request',
    async ({ run, resolve, dialer, send }) => {
      run(createSpecs({ resolve, dialer, background: false }))
      return send({ type: 'specs.request', where: 'friend' })
    },
  ],
  [
    'speed.measure',
    async ({ run, resolve, dialer, send }) => {
      run(createSpeedTester({ resolve, dialer }))
      return send({ type: 'speed.measure', where: 'friend', direction: 'download' })
    },
  ],
  [
    'the probe of a peer',
    async (requester) => assert.equal((await probe(known(requester), requester.dialer)).kind, 'node'),
  ],
  [
    'table.update',
    async (requester) => {
      const input = { requestId: 'r', hops: 1, upload: [], signal: new AbortController().signal }
      const outcomes: unknown[] = []
      const report = (event: { type: string; outcome?: { kind: string } }) => outcomes.push(event.outcome?.kind)
      await crawl({ ...input, known: [known(requester)] }, { dialer: requester.dialer, test: true, report })
      assert.deepEqual(outcomes, ['node'])
    },
  ],
  [
    'a gossip link',
    async ({ node, identity, target, dialer, run, bus }) => {
      const store = await openStore(join(node.dir, 'gossip.json'), {
        schema: gossipFile,
        empty: emptyGossip,
        indent: ' ',
      })
      const opened = nextEvent(bus, 'link.opened')
      run(createGossip({ identity, store, links: { dialer, source: { listen: () => () => {} } } }))
      bus.publish({ type: 'peer.addressDiscovered', endpoints: target.endpoints, id: target.id })
      return opened
    },
  ],
]

for (const [what, act] of dials) {
  test(`past a black hole, the dial of ${what} takes half a second at most`, async (t) => {
    const who = await requester(t, await openBlackHole(t))
    const preempted = startPreempted()
    await act(who)
    assertFast(who.events, who.target, what, preempted())
  })
}

/** The commands of the borrower, on a loan whose lender's first endpoint is the black hole. */
const commands: [string, object][] = [
  ['loan.take', { where: 'friend' }],
  ['loan.list', {}],
  ['loan.logs', { id: idOf(1) }],
  ['loan.return', { id: idOf(1) }],
]

for (const [type, payload] of commands) {
  test(`past a black hole, the dial of ${type} takes half a second at most`, async (t) => {
    const hole = await openBlackHole(t)
    const { send, table, lender, events } = await openFakeBorrower(t)
    const target = {
      id: lender.identity.id,
      endpoints: [directEndpoint(hole), directEndpoint({ host: '127.0.0.1', port: lender.port })],
    }
    if (type !== 'loan.take') await send('loan.take', { where: lender.address })
    for (const name of ['friend', target.id]) table.set(name, target)
    events.length = 0
    const preempted = startPreempted()
    await send(type as Command['type'], payload)
    assertFast(events, target, type, preempted())
  })
}

test('a server that accepts and sends nothing does not block the race, over TLS or plain TCP', async (t) => {
  const servers: Server[] = []
  t.after(() => {
    for (const server of servers) server.close()
  })
  const silent = createServer((socket) => void t.after(() => socket.destroy()))
  servers.push(silent)
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  const at = directEndpoint({ host: '127.0.0.1', port: (silent.address() as AddressInfo).port })
  const who = await requester(t, at)
  const preempted = startPreempted()
  const { stream, peer } = await who.dialer.dial(who.target, { purpose: 'command' })
  stream.destroy()
  assert.equal(peer.id, who.target.id)
  const plain = await who.dialer.dial({ endpoints: who.target.endpoints }, { purpose: 'probe', goNode: 'expected' })
  plain.stream.destroy()
  assert.equal(plain.peer, null)
  for (const event of who.events)
    assert.ok(event.type === 'dial.succeeded' && event.ms - preempted() < DIAL_MAX_MS, JSON.stringify(event))
})
