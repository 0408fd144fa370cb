import { createHash } from 'node:crypto'
import {
  type GossipConfig,
  type GossipEffect,
  type GossipEvent,
  type GossipState,
  startGossip,
  type Tools,
} from '../machines/gossip/gossipState.ts'
import { stepGossip } from '../machines/gossip/gossipStep.ts'
import { mergeRecord } from '../machines/gossip/membership.ts'
import { getEntry } from '../machines/gossip/shardedMap.ts'
import { beginTx } from '../machines/gossip/tx.ts'
import type { GossipEmits } from '../protocol/gossip.ts'
import type { NodeId } from '../protocol/ids.ts'
import type { WireMessage } from '../protocol/wire/gossip.ts'
import { shortOf } from '../protocol/wire/record.ts'
import { type Arrival, createNetwork, createQueue, type Network, type NetworkConditions } from './network.ts'
import { createTools, mulberry32 } from './tools.ts'

/**
 * Many gossiping nodes in one process: the step that real nodes run, on a network in memory and a clock of its own. Same
 * seed, same run: `trace` is a hash of everything that arrived anywhere.
 */

export interface SimulatedNode {
  readonly host: number
  readonly id: NodeId
  readonly address: string
  /** Undefined while its process does not run. */
  state: GossipState | undefined
  /** Until when its process stands still. */
  pausedUntil: number
  /** The highest seq it has stored, which a restart with its file begins from. */
  stored: number
  /** Monotonic clocks of different machines have nothing to do with each other. */
  readonly offset: number
}

export interface SimulationOptions {
  nodes: number
  seed: number
  networkConditions?: Partial<NetworkConditions>
  config?: Partial<GossipConfig>
  /** Called with every fact of every node. */
  onFact?: (fact: GossipEmits, node: SimulatedNode, now: number) => void
  /** Called with each message that arrives. */
  onMessage?: (node: SimulatedNode, message: WireMessage, now: number) => void
  /** Whom a node knows at its start; default: node 0. */
  seeds?: (host: number) => number[]
  /** Every node starts with the record of every other node, which skips the bootstrap. */
  converged?: boolean
  addressOf?: (host: number) => string
}

export interface Simulation {
  readonly nodes: readonly SimulatedNode[]
  readonly network: Network
  readonly now: number
  /** Hash of the run so far. */
  readonly trace: string
  /** The random numbers of this run, for scripts over it. */
  random(): number
  at(time: number, run: () => void): void
  runUntil(time: number): void
  /** Starts a process. `lostFile`: without its file, so that it begins at seq 1. */
  start(host: number, options?: { lostFile?: boolean }): void
  kill(host: number): void
  vanish(host: number): void
  leave(host: number): void
  pause(host: number, ms: number): void
  dispatch(host: number, event: Untimed): void
  /** Whether all running nodes list exactly the running nodes, each at its author's own version. */
  agrees(): boolean
  /** The first disagreement as text, for people. */
  disagreement(): string
}

type Untimed = GossipEvent extends infer E ? (E extends GossipEvent ? Omit<E, 'at'> : never) : never

export const CALM: NetworkConditions = { delay: [5, 40], loss: 0, double: 0, reorder: 0 }

export function createSimulation(options: SimulationOptions): Simulation {
  const { config, onFact = () => {}, onMessage = () => {}, seeds = () => [0] } = options
  const { addressOf = (host: number) => `${20 + (host >> 16)}.${(host >> 8) & 255}.${host & 255}.1:8088` } = options
  const random = mulberry32(options.seed)
  const queue = createQueue()
  const toolsFor = createTools()
  const tools = Array.from({ length: options.nodes }, toolsFor)
  let trace = 0x811c9dc5
  let known: Pick<GossipState, 'members' | 'subnetCounts'> | undefined

  const nodes: SimulatedNode[] = Array.from({ length: options.nodes }, (_, host) => ({
    host,
    id: `SHA256:${createHash('sha256').update(`${options.seed} ${host}`).digest('base64').slice(0, 43)}` as NodeId,
    address: addressOf(host),
    state: undefined,
    pausedUntil: 0,
    stored: 0,
    offset: Math.floor(random() * 1e9),
  }))
  const scheduled = new Float64Array(options.nodes).fill(Number.POSITIVE_INFINITY)
  const waiting: (() => void)[][] = nodes.map(() => [])

  const network = createNetwork({
    hosts: options.nodes,
    clock: queue,
    networkConditions: { ...CALM, ...options.networkConditions },
    random,
    addressOf,
    arrive,
  })

  function arrive(host: number, arrival: Arrival, text: string): void {
    const node = nodes[host] as SimulatedNode
    if (queue.now < node.pausedUntil) {
      waiting[host]?.push(() => arrive(host, arrival, text))
      return
    }
    updateTrace(host, Math.round(queue.now * 1_000), arrival.type)
    updateTrace(host, text.length, arrival.link)
    if (text !== '') updateTrace(host, text.length, text)
    const { link } = arrival
    const at = queue.now + node.offset
    if (arrival.type === 'received') {
      onMessage(node, arrival.message, queue.now)
      apply(node, { type: 'received', at, link, message: arrival.message })
    } else if (arrival.type === 'opened') {
      const { from, dialled, address } = arrival
      apply(node, { type: 'opened', at, link, id: (nodes[from] as SimulatedNode).id, dialled, address })
    } else apply(node, { ...arrival, at })
  }

  function apply(node: SimulatedNode, event: GossipEvent): void {
    if (!node.state) return
    const { state, effects } = stepGossip(node.state, event, tools[node.host] as Tools)
    node.state = state
    for (const effect of effects) perform(node, effect)
    if (node.state?.left) {
      node.state = undefined
      queue.at(queue.now + 100, () => node.state ?? network.stop(node.host))
    }
    scheduleTick(node)
  }

  function perform(node: SimulatedNode, effect: GossipEffect): void {
    const { host } = node
    if (effect.type === 'send') network.send(host, effect.link, effect.message)
    else if (effect.type === 'dial') network.dial(host, effect.link, effect.addresses, effect.timeoutMs)
    else if (effect.type === 'close') network.close(host, effect.link)
    else {
      if (effect.fact.type === 'record.ownSigned') node.stored = effect.fact.record.seq
      onFact(effect.fact, node, queue.now)
    }
  }

  function scheduleTick(node: SimulatedNode): void {
    const { host, state, offset } = node
    if (!state) return
    const due = Math.max(state.dueAt - offset, queue.now)
    if (due >= (scheduled[host] as number)) return
    scheduled[host] = due
    queue.at(due, () => wake(node, due))
  }

  function wake(node: SimulatedNode, due: number): void {
    const { host, state } = node
    if (scheduled[host] !== due) return
    scheduled[host] = Number.POSITIVE_INFINITY
    if (!state) return
    if (queue.now < node.pausedUntil) {
      waiting[host]?.push(() => tick(node))
      return
    }
    if (state.dueAt - node.offset > queue.now + 1e-6) scheduleTick(node)
    else tick(node)
  }

  function tick(node: SimulatedNode): void {
    apply(node, { type: 'tick', at: queue.now + node.offset })
  }

  function dispatch(host: number, event: Untimed): void {
    const node = nodes[host] as SimulatedNode
    apply(node, { ...event, at: queue.now + node.offset } as GossipEvent)
  }

  function updateTrace(host: number, micros: number, text: string): void {
    let hash = Math.imul(Math.imul(trace ^ host, 0x01000193) ^ micros, 0x01000193)
    // Three letters at a time: it is done for every letter that arrives anywhere.
    let at = 2
    for (; at < text.length; at += 3) {
      const letters = text.charCodeAt(at - 2) | (text.charCodeAt(at - 1) << 8) | (text.charCodeAt(at) << 16)
      hash = Math.imul(hash ^ letters ^ (hash >>> 15), 0x01000193)
    }
    for (at -= 2; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
    trace = hash
  }

  const simulation: Simulation = {
    nodes,
    network,
    random,
    get now() {
      return queue.now
    },
    get trace() {
      return (trace >>> 0).toString(16).padStart(8, '0')
    },
    at: queue.at,
    runUntil: queue.runUntil,
    start(host, { lostFile = false } = {}) {
      const node = nodes[host] as SimulatedNode
      network.start(host)
      node.pausedUntil = 0
      node.state = begin(node, lostFile ? 0 : node.stored)
      if (options.converged && node.stored === 0) converge(node)
      node.stored = node.state.self.record.seq
      tick(node)
    },
    kill(host) {
      network.stop(host)
      end(host)
    },
    vanish(host) {
      network.vanish(host)
      end(host)
    },
    leave: (host) => dispatch(host, { type: 'leaving' }),
    pause(host, ms) {
      const node = nodes[host] as SimulatedNode
      if (node.pausedUntil > queue.now) return
      node.pausedUntil = queue.now + ms
      const { state } = node
      queue.at(node.pausedUntil, () => {
        const late = waiting[host]?.splice(0) ?? []
        if (node.state && state) for (const run of late) run()
        if (node.state) scheduleTick(node)
      })
    },
    dispatch,
    agrees: () => simulation.disagreement() === '',
    disagreement() {
      const alive = nodes.filter(({ state }) => state)
      const roots = new Set(alive.map(({ state, host }) => state && tools[host]?.digest.root(state.members)))
      // Equal digests are equal tables, so one of them stands for all.
      for (const { state, host } of roots.size === 1 ? alive.slice(0, 1) : alive) {
        if (!state) continue
        for (const other of alive) {
          const seq = versionOf(state, other)
          if (seq !== other.state?.self.record.seq)
            return `node ${host} has node ${other.host} at ${seq}, not ${other.state?.self.record.seq}`
        }
        if (state.members.size !== alive.length)
          return `node ${host} lists ${state.members.size} nodes, ${alive.length} run`
      }
      return ''
    },
  }
  return simulation

  function begin(node: SimulatedNode, lastSeq: number): GossipState {
    return startGossip(
      {
        id: node.id,
        key: `ssh-ed25519 ${node.id.slice(7).padEnd(68, 'A')}`,
        fields: {
          name: `node${node.host}`,
          addresses: [node.address],
          port: 8088,
          version: '0.1.0',
          customInformation: '',
          capabilities: [],
        },
        lastSeq,
        bootstrapAddresses: seeds(node.host)
          .filter((other) => other !== node.host)
          .map((other) => ({ addresses: [addressOf(other)] })),
        now: queue.now + node.offset,
        seed: Math.floor(random() * 0x1_0000_0000),
        ...(config && { config }),
      },
      tools[node.host] as Tools,
    )
  }

  function converge(node: SimulatedNode): void {
    if (!node.state) return
    known ??= mergeAll(nodes.map((other) => begin(other, 0)))
    const { nextRoundAt, config } = node.state
    const later = nextRoundAt + random() * config.roundMs
    node.state = { ...node.state, ...known, nextRoundAt: later, dueAt: later }
  }

  function mergeAll(states: readonly GossipState[]): Pick<GossipState, 'members' | 'subnetCounts'> {
    const tx = beginTx(states[0] as GossipState, 0, tools[0] as Tools)
    for (const { self } of states) mergeRecord(tx, self)
    return { members: tx.state.members, subnetCounts: tx.state.subnetCounts }
  }

  function end(host: number): void {
    const node = nodes[host] as SimulatedNode
    node.state = undefined
    node.pausedUntil = 0
    waiting[host] = []
    scheduled[host] = Number.POSITIVE_INFINITY
  }
}

/** The version of `other` that a state lists; 0 where it lists none. */
export function versionOf(state: GossipState, other: Pick<SimulatedNode, 'id'>): number {
  return getEntry(state.members, shortOf(other.id))?.record.seq ?? 0
}
