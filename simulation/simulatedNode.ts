import type { Members } from '../machines/gossip/digest.ts'
import type { GossipState } from '../machines/gossip/gossipState.ts'
import { getEntry } from '../machines/gossip/shardedMap.ts'
import type { NodeId } from '../protocol/ids.ts'
import { shortOf } from '../protocol/wire/record.ts'

export interface SimulatedNode {
  readonly host: number
  readonly id: NodeId
  readonly address: string
  /** The state of the running process; undefined while none runs. */
  state: GossipState | undefined
  /** The process is paused until this time. */
  pausedUntil: number
  /** The highest seq in the node's file, from which a restart continues. */
  storedSeq: number
  /** When it signed its latest record, and the latest that it signed because the former one had grown old. */
  signedAt: number
  renewedAt: number
  /** Added to the simulation's time, because the monotonic clocks of different machines are unrelated. */
  readonly clockOffset: number
}

/** Time in which a renewed record reaches all nodes even where messages are lost. */
const RENEWAL_MS = 10_000

/** Describes the first difference between what the running nodes list and what is running; empty if there is none. */
export function disagreementOf(
  nodes: readonly SimulatedNode[],
  now: number,
  rootOf: (host: number, members: Members) => string | undefined,
): string {
  const running = nodes.filter(({ state }) => state)
  const roots = new Set(running.map(({ state, host }) => state && rootOf(host, state.members)))
  // If all roots are equal, so are the tables, and it is enough to check one.
  for (const { state, host } of roots.size === 1 ? running.slice(0, 1) : running) {
    if (!state) continue
    for (const other of running) {
      const seq = seqOf(state, other)
      const newest = other.state?.self.record.seq ?? 0
      // At any time some node has just renewed its record, as each does now and then, and the former one is as good.
      const isSpreading = seq === newest - 1 && now - other.renewedAt < RENEWAL_MS
      if (seq !== newest && !isSpreading)
        return `node ${host} lists node ${other.host} at seq ${seq} instead of ${newest}`
    }
    if (state.members.size !== running.length)
      return `node ${host} lists ${state.members.size} nodes, but ${running.length} are running`
  }
  return ''
}

/** The seq at which a state lists `other`; 0 if it does not list that node. */
export function seqOf(state: GossipState, other: Pick<SimulatedNode, 'id'>): number {
  return getEntry(state.members, shortOf(other.id))?.record.seq ?? 0
}
