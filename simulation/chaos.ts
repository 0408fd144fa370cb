import type { GossipEmits } from '../protocol/gossip.ts'
import { type SimulatedNode, seqOf } from './simulatedNode.ts'
import { createSimulation, DEFAULT_CONDITIONS, type Simulation } from './simulation.ts'
import { mulberry32 } from './tools.ts'

export interface ChaosOptions {
  seed: number
  nodes?: number
  minutes?: number
  /** Called with a line of text for each fault and each false positive. */
  log?: (line: string) => void
  /** Called with the simulation before it runs, for inspection. */
  watch?: (simulation: Simulation) => void
}

export interface ChaosResult {
  seed: number
  /** Time from the end of the faults until all running nodes agreed to the end of the run; undefined if they never did. */
  agreedAfterMs: number | undefined
  /** Violated invariants as text; a correct build has none. */
  violations: string[]
  /** How often a node declared another dead that was running, not paused, and reachable from it. */
  falsePositives: number
  faults: Record<string, number>
  largestMessage: number
  trace: string
}

/** Length of the phase without faults at the end, in which the nodes must reach agreement and keep it. */
const RECOVERY_MS = 90_000

/** All nodes have started for the first time by then. */
const STARTED_MS = 20_000

/** Mean time between two faults. */
const FAULT_INTERVAL_MS = 10_000

/** A fault that is at most this old explains why a node was declared dead. */
const GRACE_MS = 30_000

/** After this time, every node must have dropped a decommissioned node, which may not rejoin. */
const SETTLE_MS = 60_000

/**
 * Runs a network under faults that follow from a seed: loss, delay, duplication and reordering of messages, paused
 * processes, partitions, crashes, machines that lose power, farewells, restarts with and without the file, and changed
 * records. The faults then end, and all running nodes must agree. Invariants are checked on every fact.
 */
export function runChaos({ seed, nodes: count = 50, minutes = 10, log = () => {}, watch }: ChaosOptions): ChaosResult {
  const random = mulberry32(seed ^ 0x5eed)
  const uniform = (from: number, to: number) => from + random() * (to - from)
  const randomHost = () => Math.floor(random() * count)
  const violations: string[] = []
  const faults: Record<string, number> = {}
  /** When the latest fault of a node, or of the network, ends or ended. */
  const disturbedAt = new Float64Array(count).fill(Number.NEGATIVE_INFINITY)
  let networkDisturbedAt = 0
  let falsePositives = 0
  /** Nodes that will never start again, and when each was stopped. */
  const decommissioned = new Map<number, number>()
  const droppedBy = new Map<number, Set<number>>()
  const startedWithoutFile = new Set<number>()
  const highestSeq = new Float64Array(count)

  const simulation = createSimulation({
    nodes: count,
    seed,
    seeds: (host) => [0, 1, (host * 7 + 3) % count],
    onFact: (fact, node, now) => check(fact, node, now),
  })
  const { nodes, network } = simulation
  watch?.(simulation)
  const hostOf = new Map(nodes.map(({ id, host }) => [id, host]))

  const seconds = () => `${(simulation.now / 1_000).toFixed(1)} s`
  const report = (what: string) => log(`${seconds()}: ${what}`)

  function violate(what: string): void {
    if (violations.length < 20) violations.push(`${seconds()}: ${what}`)
  }

  function check(fact: GossipEmits, node: SimulatedNode, now: number): void {
    if (fact.type === 'record.merged') {
      const author = hostOf.get(fact.record.id) ?? -1
      const { seq } = fact.record
      if (seq > (highestSeq[author] ?? 0))
        violate(`node ${node.host} has seq ${seq} of node ${author}, which never signed it`)
      if (decommissioned.has(author) && droppedBy.get(author)?.has(node.host))
        violate(`node ${author} is decommissioned, but rejoined on node ${node.host}`)
    } else if (fact.type === 'record.ownSigned') {
      if (fact.record.seq <= (highestSeq[node.host] ?? 0) && !startedWithoutFile.has(node.host))
        violate(`node ${node.host} reuses a seq`)
      highestSeq[node.host] = Math.max(highestSeq[node.host] ?? 0, fact.record.seq)
    } else if (fact.type === 'record.dropped') {
      const target = hostOf.get(fact.id) ?? -1
      const dropped = droppedBy.get(target) ?? new Set()
      if (decommissioned.has(target) && now - (decommissioned.get(target) ?? 0) > SETTLE_MS) dropped.add(node.host)
      droppedBy.set(target, dropped)
      const undisturbed =
        now - Math.max(networkDisturbedAt, disturbedAt[target] ?? 0, disturbedAt[node.host] ?? 0) > GRACE_MS
      if (fact.why === 'silent' && nodes[target]?.state && undisturbed) {
        falsePositives += 1
        report(`node ${node.host} falsely declares node ${target} dead`)
      }
    } else if (fact.type === 'gossip.banned') violate(`node ${node.host} bans an honest node: ${fact.why}`)
  }

  function start(host: number, lostFile: boolean): void {
    if (nodes[host]?.state || decommissioned.has(host)) return
    if (lostFile) startedWithoutFile.add(host)
    disturbedAt[host] = simulation.now
    if (simulation.now > STARTED_MS) report(`node ${host} restarts${lostFile ? ' without its file' : ''}`)
    simulation.start(host, { lostFile })
    const seq = nodes[host]?.state?.self.record.seq ?? 0
    highestSeq[host] = Math.max(highestSeq[host] ?? 0, seq)
  }

  function stop(host: number, how: 'kill' | 'powerOff' | 'leave', recoverAt: number): void {
    if (!nodes[host]?.state) return
    report(`node ${host} ${{ kill: 'is killed', powerOff: 'loses power', leave: 'leaves' }[how]}`)
    disturbedAt[host] = simulation.now
    simulation[how](host)
    if (random() < 0.15 && host > 1 && decommissioned.size < count / 5) decommissioned.set(host, simulation.now)
    else {
      const lostFile = random() < 0.3
      simulation.at(Math.min(recoverAt - 1_000, simulation.now + uniform(500, 120_000)), () => start(host, lostFile))
    }
  }

  const recoverAt = minutes * 60_000 - RECOVERY_MS
  let partitionedUntil = 0
  let degradedUntil = 0

  const injectFault: Record<string, () => void> = {
    kill: () => stop(randomHost(), 'kill', recoverAt),
    powerOff: () => stop(randomHost(), 'powerOff', recoverAt),
    leave: () => stop(randomHost(), 'leave', recoverAt),
    pause: () => {
      const host = randomHost()
      const ms = Math.min(uniform(500, 30_000), recoverAt - simulation.now)
      if (!nodes[host]?.state) return
      report(`node ${host} is paused for ${(ms / 1_000).toFixed(1)} s`)
      simulation.pause(host, ms)
      disturbedAt[host] = simulation.now + ms
    },
    partition: () => {
      if (simulation.now < partitionedUntil) return
      const probability = uniform(0.1, 0.5)
      const group = Array.from({ length: count }, () => (random() < probability ? 1 : 0))
      partitionedUntil = Math.min(recoverAt, simulation.now + uniform(5_000, 90_000))
      networkDisturbedAt = partitionedUntil
      const apart = group.filter((side) => side === 1).length
      report(`${apart} nodes are partitioned off for ${((partitionedUntil - simulation.now) / 1_000).toFixed(1)} s`)
      network.partition((host) => group[host] ?? 0)
      simulation.at(partitionedUntil, () => network.heal())
    },
    degradeNetwork: () => {
      const loss = [0, 0, 0, 0.05, 0.1, 0.3][Math.floor(random() * 6)] ?? 0
      network.networkConditions = {
        delay: [1, uniform(5, 300)],
        loss,
        duplicate: uniform(0, 0.05),
        reorder: uniform(0, 0.1),
      }
      const until = Math.min(recoverAt, simulation.now + uniform(10_000, 60_000))
      networkDisturbedAt = Math.max(networkDisturbedAt, until)
      const lasts = ((until - simulation.now) / 1_000).toFixed(1)
      report(
        `the network is degraded for ${lasts} s: ${loss * 100} % loss, at most ${network.networkConditions.delay[1].toFixed(0)} ms of delay`,
      )
      degradedUntil = until
      simulation.at(until, () => {
        if (degradedUntil === until) network.networkConditions = { ...DEFAULT_CONDITIONS }
      })
    },
    updateRecord: () => {
      const host = randomHost()
      if (!nodes[host]?.state || (nodes[host]?.pausedUntil ?? 0) > simulation.now) return
      report(`node ${host} updates its record`)
      simulation.dispatch(host, { type: 'recordUpdated', fields: { customInformation: `text ${simulation.now}` } })
    },
  }
  const weightedFaults = ['kill', 'powerOff', 'leave', 'pause', 'updateRecord']
    .flatMap((name) => [name, name])
    .concat('partition', 'degradeNetwork')

  for (let host = 0; host < count; host += 1) simulation.at(uniform(0, STARTED_MS), () => start(host, false))
  for (let time = 25_000; time < recoverAt - 1_000; time += -Math.log(1 - random()) * FAULT_INTERVAL_MS) {
    const name = weightedFaults[Math.floor(random() * weightedFaults.length)] as string
    simulation.at(time, () => {
      faults[name] = (faults[name] ?? 0) + 1
      injectFault[name]?.()
    })
  }
  simulation.at(recoverAt, () => {
    report('all faults end')
    network.heal()
    network.networkConditions = { ...DEFAULT_CONDITIONS }
    networkDisturbedAt = recoverAt
  })

  simulation.runUntil(recoverAt)
  // The last disagreement counts, because a suspicion that began under faults may still be refuted after a first agreement.
  let agreedAfterMs: number | undefined = 0
  for (let time = recoverAt + 500; time <= recoverAt + RECOVERY_MS; time += 500) {
    simulation.runUntil(time)
    if (!simulation.agrees()) agreedAfterMs = time + 500 - recoverAt
  }
  if (!simulation.agrees()) {
    agreedAfterMs = undefined
    violate(`the nodes do not agree: ${simulation.disagreement()}`)
  }
  for (const { state, host } of nodes) {
    if (!state) continue
    if (state.links.size > state.config.maxSockets) violate(`node ${host} has ${state.links.size} links`)
    if (seqOf(state, { id: state.self.record.id }) !== state.self.record.seq)
      violate(`node ${host} does not list itself`)
  }
  const { trace } = simulation
  return { seed, agreedAfterMs, violations, falsePositives, faults, largestMessage: network.largest, trace }
}
