import { createHash } from 'node:crypto'
import { type GossipState, startGossip } from '../machines/gossip/gossipState.ts'
import { stepGossip } from '../machines/gossip/gossipStep.ts'
import { mergeRecord } from '../machines/gossip/membership.ts'
import { beginTx } from '../machines/gossip/tx.ts'
import type { NodeId } from '../protocol/ids.ts'
import { encode } from '../protocol/wire/gossip.ts'
import { FRAME_BYTES } from '../simulation/network.ts'
import type { SimulatedNode } from '../simulation/simulatedNode.ts'
import { createSimulation } from '../simulation/simulation.ts'
import { createTools, mulberry32 } from '../simulation/tools.ts'
import { type Bench, type Figure, figure, median } from './measure.ts'

const MEMBERS = 1_000

/**
 * Simulates ideal push-pull gossip: in each synchronous round, every node exchanges records with `fanout` random nodes, at
 * no cost and within the round. Returns the rounds until all nodes have a record, and the copies of it sent per node.
 */
export function idealPushPull(nodes: number, fanout: number, random: () => number): { rounds: number; copies: number } {
  let knows = new Uint8Array(nodes)
  knows[0] = 1
  let known = 1
  let rounds = 0
  let copies = 0
  while (known < nodes) {
    rounds += 1
    const next = Uint8Array.from(knows)
    for (let node = 0; node < nodes; node += 1) {
      for (let calls = 0; calls < fanout; calls += 1) {
        const index = Math.floor(random() * (nodes - 1))
        const partner = index >= node ? index + 1 : index
        if (knows[node] === knows[partner]) continue
        copies += 1
        next[node] = 1
        next[partner] = 1
      }
    }
    knows = next
    known = knows.reduce((sum, one) => sum + one, 0)
  }
  return { rounds, copies: copies / nodes }
}

interface Spread {
  rounds: number[]
  copies: number[]
}

/**
 * Measures, for each of `updates` record updates, the rounds until the last node has the new record and the copies of it
 * received per node. Links have a one-way delay of a quarter of a round, so that a round has the same meaning as in
 * `idealPushPull`: ping, ack, request and record fill it.
 */
export function measureSpread(
  fanout: number,
  probesPerRound: number,
  updates: number,
  seed = 7,
  nodes = MEMBERS,
): Spread {
  const roundMs = 200
  let mark = ''
  let knowing = new Set<number>()
  let lastAt = 0
  let arrived = 0
  const simulation = createSimulation({
    nodes,
    seed,
    converged: true,
    networkConditions: { delay: [roundMs / 4, roundMs / 4] },
    config: { roundMs, fanout, probesPerRound },
    onFact(fact, node, now) {
      if (fact.type !== 'record.merged' || mark === '' || fact.record.customInformation !== mark) return
      knowing.add(node.host)
      lastAt = now
    },
    onMessage(_node, message) {
      if (mark === '' || message.kind !== 'table/records') return
      for (const [text] of message.body.records) if (text.includes(mark)) arrived += 1
    },
  })
  for (let host = 0; host < nodes; host += 1) simulation.start(host)
  simulation.runUntil(6_000)
  const spread: Spread = { rounds: [], copies: [] }
  for (let update = 0; update < updates; update += 1) {
    mark = `update ${update}.`
    knowing = new Set()
    arrived = 0
    const begun = simulation.now
    const author = Math.floor(simulation.random() * nodes)
    simulation.dispatch(author, { type: 'recordUpdated', fields: { customInformation: mark } })
    while (knowing.size < nodes - 1 && simulation.now < begun + 20_000)
      simulation.runUntil(simulation.now + roundMs / 8)
    spread.rounds.push((lastAt - begun) / roundMs)
    // Copies that are still in flight count too.
    simulation.runUntil(simulation.now + 6 * roundMs)
    spread.copies.push(arrived / nodes)
  }
  return spread
}

/**
 * Measures the bytes, greetings included, that two nodes with `members` records exchange until the one record in which
 * their tables differ is repaired. `table` is the size of the whole table. Throws if the tables still differ afterwards.
 */
export function measureRepair(members = MEMBERS): { repair: number; table: number } {
  const tools = createTools()()
  const begin = (host: number) =>
    startGossip(
      {
        id: `SHA256:${createHash('sha256').update(`${host}`).digest('base64').slice(0, 43)}` as NodeId,
        key: `ssh-ed25519 ${'A'.repeat(68)}`,
        fields: {
          name: `machine-${host}`,
          endpoints: [`20.${host >> 8}.${host & 255}.1:8088`],
          port: 8088,
          version: '0.1.0',
          customInformation: '',
          capabilities: [],
        },
        lastSeq: 0,
        bootstrapAddresses: [],
        now: 0,
        seed: host,
      },
      tools,
    )
  const all = Array.from({ length: members }, (_, host) => begin(host))
  const withAllRecords = (host: number): GossipState => {
    const tx = beginTx(all[host] as ReturnType<typeof begin>, 0, tools)
    for (const { self } of all) mergeRecord(tx, self)
    return { ...tx.state, recent: [] }
  }
  const states = [withAllRecords(0), withAllRecords(1)]
  const changed = stepGossip(
    begin(2),
    { type: 'recordUpdated', at: 0, fields: { customInformation: 'changed' } },
    tools,
  ).state
  const tx = beginTx(states[1] as (typeof states)[0], 0, tools)
  mergeRecord(tx, changed.self)
  states[1] = { ...tx.state, recent: [] }

  let repair = 0
  const waiting: [to: number, event: Parameters<typeof stepGossip>[1]][] = [
    [1, { type: 'opened', at: 1, link: 'x', id: all[0]?.self.record.id as NodeId, dialled: false, address: '' }],
    [0, { type: 'opened', at: 1, link: 'x', id: all[1]?.self.record.id as NodeId, dialled: true, address: '' }],
  ]
  for (let next = waiting.shift(); next; next = waiting.shift()) {
    const [to, event] = next
    const { state, effects } = stepGossip({ ...(states[to] as (typeof states)[0]), dueAt: 1e9 }, event, tools)
    states[to] = state
    for (const effect of effects) {
      if (effect.type !== 'send' || effect.link !== 'x') continue
      repair += encode(effect.message).length + FRAME_BYTES
      waiting.push([1 - to, { type: 'received', at: 2, link: 'x', message: effect.message }])
    }
  }
  const roots = states.map(({ members: table }) => tools.digest.root(table))
  if (roots[0] !== roots[1]) throw new Error('the tables still differ')
  const table = all.reduce((sum, { self }) => sum + JSON.stringify([self.text, self.signature]).length, 0)
  return { repair, table }
}

/** Measures the bytes a second, frames and handshakes included, that a node sends in a network where nothing changes. */
export function measureIdle(nodes = MEMBERS, seconds = 60): number {
  const simulation = createSimulation({ nodes, seed: 3, converged: true })
  for (let host = 0; host < nodes; host += 1) simulation.start(host)
  simulation.runUntil(30_000)
  const before = simulation.network.bytes.reduce((sum, bytes) => sum + bytes, 0)
  simulation.runUntil(30_000 + seconds * 1_000)
  return (simulation.network.bytes.reduce((sum, bytes) => sum + bytes, 0) - before) / nodes / seconds
}

/** Measures the milliseconds until every node has dropped a dead one; infinite if one does not within a minute. */
export function measureDetection(how: 'powerOff' | 'kill', seed: number, nodes = 100): number {
  let victim: SimulatedNode | undefined
  const dropped = new Set<number>()
  let lastAt = 0
  const simulation = createSimulation({
    nodes,
    seed,
    converged: true,
    onFact(fact, node, now) {
      if (fact.type !== 'record.dropped') return
      if (fact.id !== victim?.id) throw new Error(`node ${node.host} drops a live node`)
      dropped.add(node.host)
      lastAt = now
    },
  })
  for (let host = 0; host < nodes; host += 1) simulation.start(host)
  simulation.runUntil(20_000 + seed * 37)
  victim = simulation.nodes[Math.floor(simulation.random() * nodes)] as SimulatedNode
  const begun = simulation.now
  simulation[how](victim.host)
  while (dropped.size < nodes - 1 && simulation.now < begun + 60_000) simulation.runUntil(simulation.now + 50)
  return dropped.size < nodes - 1 ? Number.POSITIVE_INFINITY : lastAt - begun
}

const CRASHES = 30
const UPDATES = 7

export const bench: Bench = async () => {
  const figures: Figure[] = []
  const add = (
    what: string,
    baseline: string,
    unit: string,
    ratio: number,
    rounds: number,
    ours: number,
    theirs: number,
  ) => figures.push(figure({ what, baseline, unit, goal: { sign: '≤', ratio }, rounds }, ours, theirs))

  for (const [fanout, probesPerRound, copiesGoal] of [
    [1, 1, 1.5],
    [3, 3, 2.4],
    [3, 1, 2.4],
  ] as const) {
    const name =
      probesPerRound === fanout
        ? `fan-out ${fanout}`
        : `fan-out ${fanout}, ${probesPerRound} probed link a round (default)`
    const ideal = Array.from({ length: 50 }, (_, seed) => idealPushPull(MEMBERS, fanout, mulberry32(seed + 1)))
    const ours = measureSpread(fanout, probesPerRound, UPDATES)
    const rounds = ideal.reduce((sum, one) => sum + one.rounds, 0) / ideal.length
    add(
      `all 1,000 nodes have a record, ${name}`,
      'ideal push-pull',
      'rounds',
      1.15,
      UPDATES,
      median(ours.rounds),
      rounds,
    )
    add(`copies per node, ${name}`, 'one', 'copies', copiesGoal, UPDATES, median(ours.copies), 1)
  }
  const { repair, table } = measureRepair()
  add('repair of 1 record in 1,000', 'sending the whole table', 'B', 0.02, 1, repair, table)
  add('idle traffic of 1,000 nodes, sent per node', '1 kB/s', 'B/s', 1, 1, measureIdle(), 1_000)
  const worst = (how: 'powerOff' | 'kill') =>
    Math.max(...Array.from({ length: CRASHES }, (_, seed) => measureDetection(how, seed + 1))) / 1_000
  add('silent crash detected by all 100 nodes, worst', '8 s', 's', 1, CRASHES, worst('powerOff'), 8)
  add('killed process detected by all 100 nodes, worst', '1.5 s', 's', 1, CRASHES, worst('kill'), 1.5)
  return figures
}
