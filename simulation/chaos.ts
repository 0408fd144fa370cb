import type { GossipEmits } from '../protocol/gossip.ts'
import { CALM, createSimulation, type SimulatedNode, type Simulation, versionOf } from './simulation.ts'
import { mulberry32 } from './tools.ts'

/**
 * A bad day for a network, made from a seed: loss, delay, doubling, reordering, stalls, partitions, kills, machines going
 * dark, farewells, restarts with and without their file, changes of records. Then the network recovers, and all who run
 * must come to agree. What must hold at any time is checked as it happens.
 */

export interface ChaosOptions {
  seed: number
  nodes?: number
  minutes?: number
  /** Called with a line of text for each fault and each death that a node declares. */
  log?: (line: string) => void
  /** Handed the simulation before it runs, to look into it. */
  watch?: (simulation: Simulation) => void
}

export interface ChaosResult {
  seed: number
  /** From healing until all running nodes listed exactly the running nodes, and did so to the end; undefined: never. */
  agreedAfterMs: number | undefined
  /** Broken invariants as text; none in a sound build. */
  violations: string[]
  /** Drops of nodes that ran, did not stand still and could be reached by the dropping node. */
  falseDeaths: number
  faults: Record<string, number>
  largestMessage: number
  trace: string
}

/** The calm at the end in which agreement must come, and then stay. */
const CALM_MS = 90_000

/** By when all have started for the first time. */
const STARTED_MS = 20_000

/** Average time between two faults. */
const FAULT_EVERY_MS = 10_000

/** Standing still or being cut off this lately excuses a death. */
const EXCUSE_MS = 30_000

export function runChaos({ seed, nodes: count = 50, minutes = 10, log = () => {}, watch }: ChaosOptions): ChaosResult {
  const random = mulberry32(seed ^ 0x5eed)
  const between = (from: number, to: number) => from + random() * (to - from)
  const someone = () => Math.floor(random() * count)
  const violations: string[] = []
  const faults: Record<string, number> = {}
  /** Last time that something was done to a node, or to the whole network. */
  const troubled = new Float64Array(count).fill(Number.NEGATIVE_INFINITY)
  let networkTroubledAt = 0
  let falseDeaths = 0
  /** Nodes that are gone for good, by when. */
  const removed = new Map<number, number>()
  const droppedBy = new Map<number, Set<number>>()
  const highest = new Float64Array(count)

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
      if (seq > (highest[author] ?? 0)) violate(`node ${node.host} has node ${author} at ${seq}, which it never said`)
      if (removed.has(author) && droppedBy.get(author)?.has(node.host))
        violate(`node ${author} is gone for good, and rejoined on node ${node.host}`)
    } else if (fact.type === 'record.ownSigned') {
      if (fact.record.seq <= (highest[node.host] ?? 0) && !lostFile.has(node.host))
        violate(`node ${node.host} repeats a seq`)
      highest[node.host] = Math.max(highest[node.host] ?? 0, fact.record.seq)
    } else if (fact.type === 'record.dropped') {
      const target = hostOf.get(fact.id) ?? -1
      const dropped = droppedBy.get(target) ?? new Set()
      if (removed.has(target) && now - (removed.get(target) ?? 0) > SETTLE_MS) dropped.add(node.host)
      droppedBy.set(target, dropped)
      const quiet = now - Math.max(networkTroubledAt, troubled[target] ?? 0, troubled[node.host] ?? 0) > EXCUSE_MS
      if (fact.why === 'silent' && nodes[target]?.state && quiet) {
        falseDeaths += 1
        report(`node ${node.host} declares node ${target} dead, wrongly`)
      }
    } else if (fact.type === 'gossip.banned') violate(`node ${node.host} bans an honest node: ${fact.why}`)
  }

  const lostFile = new Set<number>()

  function start(host: number, without: boolean): void {
    if (nodes[host]?.state || removed.has(host)) return
    if (without) lostFile.add(host)
    troubled[host] = simulation.now
    if (simulation.now > STARTED_MS) report(`node ${host} starts again${without ? ', without its file' : ''}`)
    simulation.start(host, { lostFile: without })
    const seq = nodes[host]?.state?.self.record.seq ?? 0
    highest[host] = Math.max(highest[host] ?? 0, seq)
  }

  function end(host: number, how: 'kill' | 'vanish' | 'leave', healAt: number): void {
    if (!nodes[host]?.state) return
    report(`node ${host} ${{ kill: 'is killed', vanish: 'goes dark', leave: 'leaves' }[how]}`)
    troubled[host] = simulation.now
    simulation[how](host)
    if (random() < 0.15 && host > 1 && removed.size < count / 5) removed.set(host, simulation.now)
    else {
      const without = random() < 0.3
      simulation.at(Math.min(healAt - 1_000, simulation.now + between(500, 120_000)), () => start(host, without))
    }
  }

  const healAt = minutes * 60_000 - CALM_MS
  let cutUntil = 0
  let stormUntil = 0

  const kinds: Record<string, () => void> = {
    kill: () => end(someone(), 'kill', healAt),
    vanish: () => end(someone(), 'vanish', healAt),
    leave: () => end(someone(), 'leave', healAt),
    pause: () => {
      const host = someone()
      const ms = Math.min(between(500, 30_000), healAt - simulation.now)
      if (!nodes[host]?.state) return
      report(`node ${host} stands still for ${(ms / 1_000).toFixed(1)} s`)
      simulation.pause(host, ms)
      troubled[host] = simulation.now + ms
    },
    cut: () => {
      if (simulation.now < cutUntil) return
      const share = between(0.1, 0.5)
      const group = Array.from({ length: count }, () => (random() < share ? 1 : 0))
      cutUntil = Math.min(healAt, simulation.now + between(5_000, 90_000))
      networkTroubledAt = cutUntil
      const apart = group.filter((side) => side === 1).length
      report(`${apart} nodes are cut off from the others for ${((cutUntil - simulation.now) / 1_000).toFixed(1)} s`)
      network.cut((host) => group[host] ?? 0)
      simulation.at(cutUntil, () => network.cut())
    },
    networkConditions: () => {
      const loss = [0, 0, 0, 0.05, 0.1, 0.3][Math.floor(random() * 6)] ?? 0
      network.networkConditions = {
        delay: [1, between(5, 300)],
        loss,
        double: between(0, 0.05),
        reorder: between(0, 0.1),
      }
      const until = Math.min(healAt, simulation.now + between(10_000, 60_000))
      networkTroubledAt = Math.max(networkTroubledAt, until)
      const lasts = ((until - simulation.now) / 1_000).toFixed(1)
      report(
        `bad network for ${lasts} s: ${loss * 100} % lost, up to ${network.networkConditions.delay[1].toFixed(0)} ms one way`,
      )
      stormUntil = until
      simulation.at(until, () => {
        if (stormUntil === until) network.networkConditions = { ...CALM }
      })
    },
    updateRecord: () => {
      const host = someone()
      if (!nodes[host]?.state || (nodes[host]?.pausedUntil ?? 0) > simulation.now) return
      report(`node ${host} has a new text`)
      simulation.dispatch(host, { type: 'recordUpdated', fields: { customInformation: `text ${simulation.now}` } })
    },
  }
  const names = ['kill', 'vanish', 'leave', 'pause', 'updateRecord']
    .flatMap((name) => [name, name])
    .concat('cut', 'networkConditions')

  for (let host = 0; host < count; host += 1) simulation.at(between(0, STARTED_MS), () => start(host, false))
  for (let time = 25_000; time < healAt - 1_000; time += -Math.log(1 - random()) * FAULT_EVERY_MS) {
    const name = names[Math.floor(random() * names.length)] as string
    simulation.at(time, () => {
      faults[name] = (faults[name] ?? 0) + 1
      kinds[name]?.()
    })
  }
  simulation.at(healAt, () => {
    report('all heals')
    network.cut()
    network.networkConditions = { ...CALM }
    networkTroubledAt = healAt
  })

  simulation.runUntil(healAt)
  // The last disagreement counts: a suspicion from the storm may still be refuted after a first agreement.
  let agreedAfterMs: number | undefined = 0
  for (let time = healAt + 500; time <= healAt + CALM_MS; time += 500) {
    simulation.runUntil(time)
    if (!simulation.agrees()) agreedAfterMs = time + 500 - healAt
  }
  if (!simulation.agrees()) {
    agreedAfterMs = undefined
    violate(`no agreement: ${simulation.disagreement()}`)
  }
  for (const { state, host } of nodes) {
    if (!state) continue
    if (state.links.size > state.config.socketsMost) violate(`node ${host} has ${state.links.size} links`)
    if (versionOf(state, { id: state.self.record.id }) !== state.self.record.seq) violate(`node ${host} lost itself`)
  }
  const { trace } = simulation
  return { seed, agreedAfterMs, violations, falseDeaths, faults, largestMessage: network.largest, trace }
}

/** After this, who is gone for good has been dropped by all who could know, and may not rejoin. */
const SETTLE_MS = 60_000
