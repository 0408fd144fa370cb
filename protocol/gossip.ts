import { z } from 'zod'
import type { NodeId } from './ids.ts'
import type { NodeSays } from './node.ts'
import { type NodeRecord, SEQ_MAX, type SignedRecord } from './record.ts'

/** The WebSocket of a link: over mutual TLS only, text frames, deflate off. */
export const GOSSIP_PATH = '/api/v1/gossip'

/** What the gossip concern hears and says on the bus. What it says to other nodes is in `wire.ts`. */

export type GossipSays =
  /** A lasting or a visiting connection stands. `id` is proved, `address` is where the other end appears. */
  | { type: 'link.opened'; link: string; id: NodeId; dialled: boolean; address: string }
  | { type: 'link.closed'; link: string; id: NodeId; why: string }
  /** The author of this record is a member, or has changed its record. Its signature was checked. */
  | { type: 'record.learned'; record: NodeRecord }
  /** Its author may be dead; it stays a member until `record.dropped`, or is `record.cleared` by an answer. */
  | { type: 'record.doubted'; id: NodeId }
  | { type: 'record.cleared'; id: NodeId }
  /** `left`: its own farewell. `silent`: it answered nobody, this node included. `crowded`: it gave way to a nearer one. */
  | { type: 'record.dropped'; id: NodeId; why: 'left' | 'silent' | 'crowded' }
  /** This node's own record, newly signed. To be stored before the next start: its seq must never fall. */
  | { type: 'record.authored'; record: NodeRecord; signed: Pick<SignedRecord, 'text' | 'signature'> }
  /** A peer sees this node at `address`. */
  | { type: 'gossip.seen'; address: string; by: NodeId }
  /** A peer broke the rules and was sent away for a while. */
  | { type: 'gossip.banned'; id: NodeId; why: string }

/** Somewhere a node may be found, given by the owner, a file or the local network. Said by whoever knows. */
export type MetFact = { type: 'gossip.met'; addresses: string[]; id?: NodeId }

/** New words for the own record, said by whoever owns them: addresses by the doors, free text by the owner. */
export type WordsFact = { type: 'gossip.reworded'; addresses?: string[]; customInformation?: string; name?: string }

export type GossipHears = MetFact | WordsFact | Extract<NodeSays, { type: 'node.stopping' }>

/** `gossip.json`: the highest seq under which this key has spoken. Lost, it is learned from others again. */
export const gossipFile = z.looseObject({ version: z.literal(1), seq: z.int().min(0).max(SEQ_MAX) })

export type GossipFile = z.infer<typeof gossipFile>

export function emptyGossip(): GossipFile {
  return { version: 1, seq: 0 }
}
