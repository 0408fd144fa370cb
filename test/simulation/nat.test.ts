import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { GossipEmits } from '../../protocol/gossip.ts'
import { createNatWorld } from '../../simulation/nat.ts'
import type { SimulatedNode } from '../../simulation/simulatedNode.ts'
import { createSimulation } from '../../simulation/simulation.ts'

/** The nodes and the virtual minutes; a soak runs more of both. */
const [NODES, MINUTES] = process.env.P2PRC_SOAK ? [1_000, 30] : [200, 1]

test('70 % of the hosts are behind routers, some two behind one, and an address in a LAN means another host in the next', () => {
  const { routerOf, addressOf, observedAddress } = createNatWorld(200, 0.7)
  const routers = Array.from({ length: 200 }, (_, host) => routerOf(host))
  const behind = routers.flatMap((router, host) => (router === undefined ? [] : [host]))
  assert.equal(behind.length, 140)
  assert.equal(routerOf(0), undefined)
  const shared = behind.filter((host) => behind.some((other) => other !== host && routerOf(other) === routerOf(host)))
  assert.equal(shared.length, 70)
  const [first, second] = shared as [number, number]
  assert.equal(new Set(behind.map(addressOf)).size, 2)
  assert.equal(observedAddress(first, second), addressOf(first))
  assert.equal(observedAddress(first, 0), observedAddress(second, 0))
  assert.notEqual(observedAddress(first, 0), addressOf(first))
})

test('nobody opens a link to a host behind a router, except the host beside it', () => {
  const nodes = 40
  const { routerOf } = createNatWorld(nodes, 0.7)
  const dialled = { public: 0, beside: 0, behind: 0 }
  const hostOf = new Map<string, number>()
  const simulation = createSimulation({
    nodes,
    seed: 70,
    nat: 0.7,
    onFact: (fact, node) => {
      if (fact.type !== 'link.opened' || !fact.dialled) return
      const router = routerOf(hostOf.get(fact.id) as number)
      if (router === undefined) dialled.public += 1
      else dialled[router === routerOf(node.host) ? 'beside' : 'behind'] += 1
    },
  })
  for (const { id, host } of simulation.nodes) hostOf.set(id, host)
  for (let host = 0; host < nodes; host += 1) simulation.start(host)
  simulation.runUntil(10_000)
  assert.equal(dialled.behind, 0)
  assert.ok(dialled.public > 0 && dialled.beside > 0, JSON.stringify(dialled))
})

test(`${NODES} nodes of which 70 % are behind NAT all list each other, and none is suspected because it cannot be dialled`, () => {
  const facts: Partial<Record<GossipEmits['type'], number>> = {}
  const simulation = createSimulation({
    nodes: NODES,
    seed: 70,
    nat: 0.7,
    onFact: (fact) => {
      facts[fact.type] = (facts[fact.type] ?? 0) + 1
    },
  })
  for (let host = 0; host < NODES; host += 1) simulation.at(host * 10, () => simulation.start(host))
  const startedMs = NODES * 10
  simulation.runUntil(startedMs + 10_000)
  assert.equal(simulation.disagreement(), '')
  simulation.runUntil(startedMs + MINUTES * 60_000)
  assert.equal(simulation.disagreement(), '')
  assert.equal(facts['record.dropped'] ?? 0, 0)
  assert.equal(facts['record.suspected'] ?? 0, 0)
})

test('a node behind NAT that is killed or loses power is dropped by all, nobody else is, and both come back', () => {
  const nodes = 60
  const dropped = new Map<string, number>()
  const simulation = createSimulation({
    nodes,
    seed: 7,
    nat: 0.7,
    onFact: (fact) => fact.type === 'record.dropped' && dropped.set(fact.id, (dropped.get(fact.id) ?? 0) + 1),
  })
  const { routerOf } = createNatWorld(nodes, 0.7)
  for (let host = 0; host < nodes; host += 1) simulation.start(host)
  simulation.runUntil(20_000)
  assert.equal(simulation.disagreement(), '')
  const behind = simulation.nodes.filter(({ host }) => routerOf(host) !== undefined)
  const [killed, dark] = behind as [SimulatedNode, SimulatedNode]
  simulation.kill(killed.host)
  simulation.powerOff(dark.host)
  simulation.runUntil(35_000)
  assert.equal(simulation.disagreement(), '')
  assert.deepEqual([...dropped].sort(), [killed, dark].map(({ id }) => [id, nodes - 2]).sort())
  for (const { host } of [killed, dark]) simulation.start(host)
  simulation.runUntil(50_000)
  assert.equal(simulation.disagreement(), '')
})

test('a lost farewell of a node behind NAT costs one newer record, and no suspicion outlives that', () => {
  const nodes = 100
  let signed = 0
  const simulation = createSimulation({
    nodes,
    seed: 3,
    nat: 0.7,
    networkConditions: { loss: 0.01 },
    onFact: ({ type }) => {
      if (type === 'record.ownSigned') signed += 1
    },
  })
  for (let host = 0; host < nodes; host += 1) simulation.start(host)
  simulation.runUntil(60_000)
  assert.ok(signed > 0 && signed < nodes / 4, `${signed} records`)
})
