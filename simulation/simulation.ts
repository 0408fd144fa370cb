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
import { deleteEntry, setEntry } from '../machines/gossip/shardedMap.ts'
import { beginTx } from '../machines/gossip/tx.ts'
import { GOSSIP } from '../protocol/defaults/gossip.ts'
import type { GossipEmits } from '../protocol/gossip.ts'
import type { NodeId } from '../protocol/ids.ts'
import { formatEndpoint, parseEndpoints } from '../protocol/net/endpoint.ts'
import type { WireMessage } from '../protocol/wire/gossip.ts'
import { createNatWorld } from './nat.ts'
import { createEventQueue, createNetwork, type Network, type NetworkConditions, type NetworkEvent } from './network.ts'
import { disagreementOf, type SimulatedNode } from './simulatedNode.ts'
import { createTools, mulberry32 } from './tools.ts'

export interface SimulationOptions {
  nodes: number
  seed: number
  networkConditions?: Partial<NetworkConditions>
  config?: Partial<GossipConfig>
  /** Called with every fact that a node emits. */
  onFact?: (fact: GossipEmits, node: SimulatedNode, now: number) => void
  /** Called with each message that a node receives. */
  onMessage?: (node: SimulatedNode, message: WireMessage, now: number) => void
  /** The hosts whose addresses a node knows when it starts; node 0 by default. */
  seeds?: (host: number) => number[]
  /** Whether every node starts with the record of every other node, which skips the bootstrap. */
  converged?: boolean
  addressOf?: (host: number) => string
  /** The part of the nodes that are behind a router, from 0 to below 1; 0 by default. Node 0 is public. */
  nat?: number
}

/**
 * Many gossiping nodes in one process. They run the same step as real nodes, on an in-memory network and a simulated
 * clock. The run is deterministic: the same seed gives the same `trace`. All times are simulated milliseconds.
 */
export interface Simulation {
  readonly nodes: readonly SimulatedNode[]
  readonly network: Network
  readonly now: number
  /** A hash of everything that any node has received so far. */
  readonly trace: string
  /** The run's random number generator, from 0 to 1. */
  random(): number
  at(time: number, run: () => void): void
  runUntil(time: number): void
  /** Starts a process. With `lostFile` it starts without its file, and therefore at seq 1. */
  start(host: number, options?: { lostFile?: boolean }): void
  /** Ends a process without a farewell; its machine resets its connections. */
  kill(host: number): void
  /** Switches a machine off, so that nothing there answers. */
  powerOff(host: number): void
  /** Ends a process with a farewell. */
  leave(host: number): void
  /** Pauses a process; what arrives meanwhile is delivered afterwards. */
  pause(host: number, ms: number): void
  dispatch(host: number, event: Untimed): void
  /** Whether every running node lists exactly the running nodes, each with the newest record of its author, or one just renewed. */
  agrees(): boolean
  /** Describes the first disagreement; empty if there is none. */
  disagreement(): string
}

type Untimed = GossipEvent extends infer E ? (E extends GossipEvent ? Omit<E, 'at'> : never) : never

export const DEFAULT_CONDITIONS: NetworkConditions = { delay: [5, 40], loss: 0, duplicate: 0, reorder: 0 }

export function createSimulation(options: SimulationOptions): Simulation {
  const { config, onFact = () => {}, onMessage = () => {}, seeds = () => [0] } = options
  const world = createNatWorld(options.nodes, options.nat ?? 0)
  const { addressOf = world.addressOf } = options
  const random = mulberry32(options.seed)
  const queue = createEventQueue()
  const toolsFor = createTools()
  const tools = Array.from({ length: options.nodes }, toolsFor)
  let trace = 0x811c9dc5
  let known: Pick<GossipState, 'members' | 'subnetCounts' | 'renewedAt'> | undefined

  const nodes: SimulatedNode[] = Array.from({ length: options.nodes }, (_, host) => ({
    host,
    id: `SHA256:${createHash('sha256').update(`${options.seed} ${host}`).digest('base64').slice(0, 43)}` as NodeId,
    address: addressOf(host),
    state: undefined,
    pausedUntil: 0,
    storedSeq: 0,
    signedAt: 0,
    renewedAt: Number.NEGATIVE_INFINITY,
    clockOffset: Math.floor(random() * 1e9),
  }))
  const hostOf = new Map<NodeId, number>(nodes.map(({ id, host }) => [id, host]))
  const scheduled = new Float64Array(options.nodes).fill(Number.POSITIVE_INFINITY)
  const deferred: (() => void)[][] = nodes.map(() => [])

  const network = createNetwork({
    hosts: options.nodes,
    clock: queue,
    networkConditions: { ...DEFAULT_CONDITIONS, ...options.networkConditions },
    random,
    nat: options.addressOf ? { ...world, addressOf, observedAddress: addressOf } : world,
    onEvent,
  })

  function onEvent(host: number, event: NetworkEvent, text: string): void {
    const node = nodes[host] as SimulatedNode
    if (queue.now < node.pausedUntil) {
      deferred[host]?.push(() => onEvent(host, event, text))
      return
    }
    updateTrace(host, Math.round(queue.now * 1_000), event.type)
    updateTrace(host, text.length, event.link)
    if (text !== '') updateTrace(host, text.length, text)
    const { link } = event
    const at = queue.now + node.clockOffset
    if (event.type === 'received') {
      onMessage(node, event.message, queue.now)
      apply(node, { type: 'received', at, link, message: event.message })
    } else if (event.type === 'opened') {
      const { from, dialled, address } = event
      apply(node, { type: 'opened', at, link, id: (nodes[from] as SimulatedNode).id, dialled, address })
    } else apply(node, { ...event, at })
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
    else if (effect.type === 'dial')
      network.dial(
        host,
        effect.link,
        effect.endpoints.map(formatEndpoint),
        effect.timeoutMs,
        effect.id && hostOf.get(effect.id),
      )
    else if (effect.type === 'close') network.close(host, effect.link)
    else {
      if (effect.fact.type === 'record.ownSigned') recordSigned(node, effect.fact.record.seq)
      onFact(effect.fact, node, queue.now)
    }
  }

  function recordSigned(node: SimulatedNode, seq: number): void {
    const { renewIntervalMs } = { ...GOSSIP, ...config }
    if (queue.now - node.signedAt >= renewIntervalMs) node.renewedAt = queue.now
    node.signedAt = queue.now
    node.storedSeq = seq
  }

  function scheduleTick(node: SimulatedNode): void {
    const { host, state, clockOffset } = node
    if (!state) return
    const due = Math.max(state.dueAt - clockOffset, queue.now)
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
      deferred[host]?.push(() => tick(node))
      return
    }
    if (state.dueAt - node.clockOffset > queue.now + 1e-6) scheduleTick(node)
    else tick(node)
  }

  function tick(node: SimulatedNode): void {
    apply(node, { type: 'tick', at: queue.now + node.clockOffset })
  }

  function dispatch(host: number, event: Untimed): void {
    const node = nodes[host] as SimulatedNode
    apply(node, { ...event, at: queue.now + node.clockOffset } as GossipEvent)
  }

  function updateTrace(host: number, micros: number, text: string): void {
    let hash = Math.imul(Math.imul(trace ^ host, 0x01000193) ^ micros, 0x01000193)
    // Three characters at a time, because this runs for every character of every message.
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
      node.state = begin(node, lostFile ? 0 : node.storedSeq)
      if (options.converged && node.storedSeq === 0) converge(node)
      node.storedSeq = node.state.self.record.seq
      node.signedAt = queue.now
      tick(node)
    },
    kill(host) {
      network.stop(host)
      forget(host)
    },
    powerOff(host) {
      network.powerOff(host)
      forget(host)
    },
    leave: (host) => dispatch(host, { type: 'leaving' }),
    pause(host, ms) {
      const node = nodes[host] as SimulatedNode
      if (node.pausedUntil > queue.now) return
      node.pausedUntil = queue.now + ms
      const { state } = node
      queue.at(node.pausedUntil, () => {
        const callbacks = deferred[host]?.splice(0) ?? []
        if (node.state && state) for (const run of callbacks) run()
        if (node.state) scheduleTick(node)
      })
    },
    dispatch,
    agrees: () => simulation.disagreement() === '',
    disagreement: () => disagreementOf(nodes, queue.now, (host, members) => tools[host]?.digest.root(members)),
  }
  return simulation

  function begin(node: SimulatedNode, lastSeq: number): GossipState {
    return startGossip(
      {
        id: node.id,
        key: `ssh-ed25519 ${node.id.slice(7).padEnd(68, 'A')}`,
        fields: {
          name: `node${node.host}`,
          endpoints: [node.address],
          port: 8088,
          version: '0.1.0',
          customInformation: '',
          capabilities: [],
        },
        lastSeq,
        bootstrapAddresses: seeds(node.host)
          .filter((other) => other !== node.host)
          .map((other) => ({ endpoints: parseEndpoints([addressOf(other)]) })),
        now: queue.now + node.clockOffset,
        seed: Math.floor(random() * 0x1_0000_0000),
        ...(config && { config }),
      },
      tools[node.host] as Tools,
    )
  }

  function converge(node: SimulatedNode): void {
    if (!node.state) return
    known ??= mergeAll(nodes.map((other) => begin(other, 0)))
    const { nextRoundAt, config, self } = node.state
    const later = nextRoundAt + random() * config.roundMs
    const renewedAt = deleteEntry(known.renewedAt, self.short)
    node.state = { ...node.state, ...known, renewedAt, nextRoundAt: later, dueAt: later }
  }

  function mergeAll(states: readonly GossipState[]): NonNullable<typeof known> {
    const first = states[0] as GossipState
    const tx = beginTx(first, first.startedAt, tools[0] as Tools)
    for (const { self } of states) mergeRecord(tx, self)
    const { members, subnetCounts } = tx.state
    return { members, subnetCounts, renewedAt: setEntry(tx.state.renewedAt, first.self.short, 0) }
  }

  function forget(host: number): void {
    const node = nodes[host] as SimulatedNode
    node.state = undefined
    node.pausedUntil = 0
    deferred[host] = []
    scheduled[host] = Number.POSITIVE_INFINITY
  }
}
