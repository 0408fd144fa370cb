import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createNatWorld } from '../../simulation/nat.ts'
import { createSimulation } from '../../simulation/simulation.ts'

test('70 % of the hosts are behind routers, some two behind one, and an address in a LAN means another host in the next', () => {
  const { routerOf, addressOf, observedAddress } = createNatWorld(200, 0.7)
  const behind = Array.from({ length: 200 }, (_, host) => host).filter((host) => routerOf(host) !== undefined)
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
