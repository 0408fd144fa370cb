import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { idealPushPull, measureDetection, measureIdle, measureRepair, measureSpread } from '../../bench/gossip.ts'
import { median } from '../../bench/measure.ts'
import { isActive } from '../../machines/gossip/linkPhase.ts'
import { GOSSIP } from '../../protocol/defaults/gossip.ts'
import type { GossipEmits } from '../../protocol/gossip.ts'
import { runChaos } from '../../simulation/chaos.ts'
import { seqOf } from '../../simulation/simulatedNode.ts'
import { createSimulation, type Simulation } from '../../simulation/simulation.ts'
import { mulberry32 } from '../../simulation/tools.ts'

function converged(
  nodes: number,
  seed: number,
  options: Partial<Parameters<typeof createSimulation>[0]> = {},
): Simulation {
  const simulation = createSimulation({ nodes, seed, converged: true, ...options })
  for (let host = 0; host < nodes; host += 1) simulation.start(host)
  return simulation
}

const range = (count: number) => Array.from({ length: count }, (_, at) => at)

test('a run is deterministic: the same seed gives the same trace, and another seed gives another', () => {
  const run = (seed: number) => runChaos({ seed, nodes: 12, minutes: 3 })
  assert.deepEqual(run(5), run(5))
  assert.notEqual(run(5).trace, run(6).trace)
})

test('if every message is delivered twice, all nodes agree and none is declared dead', () => {
  const arrived = { once: 0, twice: 0 }
  const dropped: GossipEmits[] = []
  for (const [name, duplicate] of [
    ['once', 0],
    ['twice', 1],
  ] as const) {
    const simulation = converged(40, 4, {
      networkConditions: { duplicate },
      onMessage: () => {
        arrived[name] += 1
      },
      onFact: (fact) => fact.type === 'record.dropped' && dropped.push(fact),
    })
    simulation.dispatch(7, { type: 'recordUpdated', fields: { customInformation: 'again and again' } })
    simulation.runUntil(120_000)
    assert.equal(simulation.disagreement(), '')
  }
  assert.deepEqual(dropped, [])
  assert.ok(arrived.twice > 1.9 * arrived.once, `${arrived.twice} messages, ${arrived.once} without duplication`)
})

test('jumps of the wall clock by a day in either direction change nothing, so no node is declared dead', (t) => {
  const day = 86_400_000
  const run = (jumps: boolean) => {
    let dropped = 0
    const simulation = converged(20, 14, {
      onFact: ({ type }) => {
        if (type === 'record.dropped') dropped += 1
      },
    })
    for (const [minute, ms] of [
      [1, day],
      [2, -day],
      [3, -day],
      [4, day],
    ] as const) {
      simulation.runUntil(minute * 60_000)
      if (jumps) t.mock.timers.setTime(10 * day + ms)
    }
    simulation.runUntil(300_000)
    assert.equal(simulation.disagreement(), '')
    assert.equal(dropped, 0)
    return simulation.trace
  }
  const still = run(false)
  t.mock.timers.enable({ apis: ['Date'], now: 10 * day })
  assert.equal(run(true), still)
})

test('machines read neither a clock nor a random number generator, and the transport reads only the monotonic clock', () => {
  const root = join(import.meta.dirname, '../..')
  const under = (folder: string) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => join(folder, name))
  const code = (file: string) => readFileSync(join(root, file), 'utf8').replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, '')
  for (const file of under('machines'))
    assert.doesNotMatch(code(file), /\bDate\b|\bperformance\b|\bhrtime\b|Math\.random/, file)
  for (const file of [...under('actors/gossip'), 'actors/gossip.ts']) assert.doesNotMatch(code(file), /\bDate\b/, file)
})

test('thirty nodes that each start with one address know each other within three seconds of the last start', () => {
  for (const seed of [1, 2, 3]) {
    const simulation = createSimulation({ nodes: 30, seed, networkConditions: { delay: [0.2, 2] } })
    for (const host of range(30)) simulation.at(simulation.random() * 1_000, () => simulation.start(host))
    simulation.runUntil(4_000)
    assert.equal(simulation.disagreement(), '', `seed ${seed}`)
  }
})

test('a new node joins through a node whose links are all taken', () => {
  const simulation = createSimulation({ nodes: 150, seed: 9 })
  for (const host of range(149)) simulation.at(host * 5, () => simulation.start(host))
  simulation.runUntil(30_000)
  simulation.start(149)
  simulation.runUntil(36_000)
  assert.equal(simulation.disagreement(), '')
})

test('a new record reaches all nodes in at most 1.15 times the rounds of ideal push-pull, with few copies', () => {
  for (const [fanout, copies] of [
    [1, 1.5],
    [3, 2.4],
  ] as const) {
    const ideal = range(30).map((seed) => idealPushPull(300, fanout, mulberry32(seed)).rounds)
    const ours = measureSpread(fanout, fanout, 3, 11, 300)
    const mean = ideal.reduce((sum, rounds) => sum + rounds, 0) / ideal.length
    assert.ok(median(ours.rounds) <= 1.15 * mean, `${median(ours.rounds)} rounds, ideal ${mean}`)
    assert.ok(median(ours.copies) <= copies, `${median(ours.copies)} copies`)
  }
})

test('the model of ideal push-pull reproduces the known figures', () => {
  const runs = range(20).map((seed) => idealPushPull(1_000, 1, mulberry32(seed + 1)))
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
  assert.ok(Math.abs(mean(runs.map(({ rounds }) => rounds)) - 9.1) < 0.5)
  assert.ok(Math.abs(mean(runs.map(({ copies }) => copies)) - 1.33) < 0.05)
})

test('repairing one record in a thousand costs at most 2 % of the table, and an idle node sends at most 1 kB/s', () => {
  const { repair, table } = measureRepair()
  assert.ok(repair / table <= 0.02, `${repair} of ${table} bytes`)
  const idle = measureIdle(200, 60)
  assert.ok(idle <= 1_000, `${idle} B/s`)
})

test('all of a hundred nodes detect a machine without power within 8 s, and a killed process within 1.5 s', () => {
  for (const seed of [101, 102, 103, 104]) {
    const silent = measureDetection('powerOff', seed)
    assert.ok(silent <= 8_000, `seed ${seed}: ${silent} ms`)
    const killed = measureDetection('kill', seed)
    assert.ok(killed <= 1_500, `seed ${seed}: ${killed} ms`)
  }
})

test('in five simulated minutes with 5 % loss no node is declared dead, and the number of links stays bounded', () => {
  const dropped: GossipEmits[] = []
  const simulation = converged(100, 42, {
    networkConditions: { loss: 0.05 },
    onFact: (fact) => fact.type === 'record.dropped' && dropped.push(fact),
  })
  for (let minute = 1; minute <= 5; minute += 1) {
    simulation.runUntil(minute * 60_000)
    for (const { state } of simulation.nodes) assert.ok((state?.links.size ?? 0) <= GOSSIP.maxLinks + 20)
  }
  assert.deepEqual(dropped, [])
  assert.equal(simulation.disagreement(), '')
})

test('paused nodes cause no healthy node to be dropped', () => {
  let falsePositives = 0
  const paused = new Set<string>()
  const simulation = converged(60, 8, {
    onFact: (fact) => {
      if (fact.type === 'record.dropped' && !paused.has(fact.id)) falsePositives += 1
    },
  })
  for (let second = 20; second < 600; second += 10)
    simulation.at(second * 1_000, () => {
      const host = Math.floor(simulation.random() * 3)
      paused.add(simulation.nodes[host]?.id ?? '')
      simulation.pause(host, 5_000 + simulation.random() * 25_000)
    })
  simulation.runUntil(700_000)
  assert.equal(falsePositives, 0)
  assert.equal(simulation.disagreement(), '')
})

test('if thirty of a hundred nodes die at once, all drop them within 30 s, no old record rejoins, and a restarted node does', () => {
  const simulation = converged(100, 77, { seeds: () => [0, 1] })
  simulation.runUntil(20_000)
  const victims = range(30).map((at) => at * 3)
  for (const host of victims) simulation[host % 2 === 0 ? 'powerOff' : 'kill'](host)
  simulation.runUntil(50_000)
  assert.equal(simulation.disagreement(), '')
  for (let minute = 1; minute <= 30; minute += 1) {
    simulation.runUntil(50_000 + minute * 60_000)
    for (const { state } of simulation.nodes)
      if (state) for (const host of victims) assert.equal(seqOf(state, simulation.nodes[host] as never), 0)
  }
  simulation.start(3)
  simulation.runUntil(simulation.now + 10_000)
  assert.equal(simulation.disagreement(), '')
})

test('after a partition of ten minutes into halves, all nodes agree within a minute', () => {
  const simulation = converged(50, 13)
  simulation.runUntil(20_000)
  simulation.network.partition((host) => host % 2)
  simulation.runUntil(620_000)
  for (const { state } of simulation.nodes) assert.equal(state?.members.size, 25)
  simulation.network.heal()
  simulation.runUntil(680_000)
  assert.equal(simulation.disagreement(), '')
})

test('a node that restarts without its file supersedes the records of its earlier process', () => {
  const simulation = converged(20, 21)
  simulation.runUntil(5_000)
  for (let change = 0; change < 5; change += 1) {
    simulation.dispatch(4, { type: 'recordUpdated', fields: { customInformation: `${change}` } })
    simulation.runUntil(simulation.now + 1_000)
  }
  simulation.kill(4)
  simulation.runUntil(simulation.now + 200)
  simulation.start(4, { lostFile: true })
  simulation.runUntil(simulation.now + 15_000)
  assert.equal(simulation.disagreement(), '')
  assert.ok((simulation.nodes[4]?.state?.self.record.seq ?? 0) > 6)
})

test('thirty nodes with public addresses in one subnet all list each other', () => {
  for (const seed of [1, 2, 3]) {
    const addressOf = (host: number) => `20.0.0.${host + 1}:8088`
    const simulation = createSimulation({ nodes: 30, seed, addressOf })
    for (const host of range(30)) simulation.at(host * 100, () => simulation.start(host))
    simulation.runUntil(10_000)
    assert.equal(simulation.disagreement(), '', `seed ${seed}`)
    simulation.runUntil(30_000)
    for (const { state } of simulation.nodes) {
      const links = state?.links.values().filter(isActive).length ?? 0
      assert.ok(links >= GOSSIP.minOutboundLinks, `seed ${seed}: ${links} links`)
    }
  }
})

for (const [sybils, quotaMinMembers, title] of [
  // More than the quota allows each subnet.
  [process.env.P2PRC_SOAK ? 500 : 250, 0, 'in a table that is nearly full,'],
  [150, GOSSIP.quotaMinMembers, 'in a table with room,'],
] as const)
  test(`${title} ${sybils} Sybil nodes in ten subnets do not hide fifty honest nodes from each other`, () => {
    const honest = 50
    const addressOf = (host: number) =>
      host < honest
        ? `20.0.${host}.1:8088`
        : `66.0.${(host - honest) % 10}.${1 + Math.floor((host - honest) / 10)}:8088`
    const simulation = createSimulation({
      nodes: honest + sybils,
      seed: 66,
      addressOf,
      seeds: (host) => [0, host % honest],
      config: { quotaMinMembers },
    })
    for (const host of range(honest + sybils))
      simulation.at(host < honest ? host * 20 : 5_000 + host * 5, () => simulation.start(host))
    simulation.runUntil(45_000)
    let seen = 0
    for (const { state } of simulation.nodes.slice(0, honest)) {
      assert.ok(state)
      const known = simulation.nodes.slice(0, honest).filter((other) => seqOf(state, other) > 0).length
      seen += known / honest
      const ids = new Set(simulation.nodes.slice(0, honest).map(({ id }) => id))
      const links = [...state.links.values()].filter((link) => ids.has(link.nodeId) && isActive(link))
      assert.ok(links.length >= 3, `${links.length} links to honest nodes`)
      const most = quotaMinMembers === 0 ? honest + 10 * GOSSIP.subnetQuota : honest + sybils
      assert.ok(state.members.size <= most)
    }
    assert.ok(seen / honest >= 0.95, `${seen / honest} of the honest nodes are known`)
  })
