import { GOSSIP } from '../../protocol/defaults/gossip.ts'
import type { GossipEmits } from '../../protocol/gossip.ts'
import type { NodeId } from '../../protocol/ids.ts'
import type { WireMessage } from '../../protocol/wire/gossip.ts'
import {
  type NodeRecord,
  type RecordFields,
  type ShortId,
  type Sign,
  type SignedRecord,
  signRecord,
} from '../../protocol/wire/record.ts'
import type { Digest, Members, Version } from './digest.ts'
import { PersistentMap } from './persistentMap.ts'
import { emptyShardedMap, type ShardedMap, setEntry } from './shardedMap.ts'
import type { TokenBucket } from './tokenBucket.ts'

/**
 * What a gossiping node knows, and the transaction in which it changes. A state is never changed: a step makes the next one and
 * a list of effects. Times are monotonic milliseconds given with each event; random numbers come from a seed in the state, so
 * the same events give the same run.
 */

export type GossipConfig = { readonly [K in keyof typeof GOSSIP]: number }

export type LinkId = string

export interface Link {
  readonly id: LinkId
  readonly peer: ShortId
  readonly nodeId: NodeId
  readonly dialled: boolean
  readonly openedAt: number
  readonly receivedAt: number
  /** Whether this end, and as far as known the other, counts the link among its active ones. */
  readonly activeHere: boolean
  readonly activeThere: boolean
  readonly helloReceived: boolean
  /** See `subnet.ts`. */
  readonly subnet: string
  /** The address at which the other end appears. */
  readonly seen: string
  /** The peer's latest root hash. */
  readonly root: string
  /** When buckets were last sent and are still unanswered; 0 for none. */
  readonly syncAt: number
  /** Two roots that a full comparison could not make equal, and until when not to compare again. */
  readonly settled: string
  readonly settledUntil: number
  /** Records known to be newer there, not requested yet. */
  readonly missing: readonly Version[]
  readonly bye: string
  readonly penalties: number
  readonly records: TokenBucket
  readonly suspicionTokens: TokenBucket
  readonly served: TokenBucket
  readonly digests: TokenBucket
}

export interface Dial {
  readonly target: ShortId | undefined
  readonly active: boolean
}

/** A probe of one member: directly, then through others. `indirectFor` is the node that requested it. */
export interface Probe {
  readonly nonce: number
  readonly target: ShortId
  readonly startedAt: number
  readonly deadline: number
  readonly stage: 'direct' | 'retry' | 'indirect'
  readonly requested: number
  readonly reports: number
  readonly indirectFor: { readonly link: LinkId; readonly nonce: number } | undefined
}

/** A suspicion of one member at one seq. It ends in an answer, a newer record, or death. */
export interface Suspicion {
  readonly target: ShortId
  readonly seq: number
  readonly since: number
  /** The nodes that suspect it, this node included. */
  readonly by: readonly ShortId[]
  /** What this node's own probe has given: only `failed` or `refused` may end in death. */
  readonly ownResult: 'pending' | 'failed' | 'refused'
  readonly probeAt: number
  /** When its timeout passes, as of its last change. */
  readonly endsAt: number
}

/** A removed member, kept so that only a proof of life brings it back. */
export interface Tombstone {
  readonly signed: SignedRecord
  readonly at: number
}

export interface GossipState {
  readonly config: GossipConfig
  readonly self: SignedRecord
  /** Everybody who counts as alive, this node included: two nodes that agree have equal digests. */
  readonly members: Members
  /** How many members each subnet has. */
  readonly subnetCounts: ShardedMap<string, number>
  readonly tombstones: ShardedMap<ShortId, Tombstone>
  /** Records for which there was no room, by seq, so that they are not fetched again and again. */
  readonly rejected: ShardedMap<ShortId, number>
  readonly links: PersistentMap<LinkId, Link>
  readonly linkOf: PersistentMap<ShortId, LinkId>
  readonly dials: PersistentMap<LinkId, Dial>
  readonly dialledAt: PersistentMap<string, number>
  readonly dialTokens: TokenBucket
  readonly dialCount: number
  /** Addresses from the owner and from the file: they are dialled, and never listed as members. */
  readonly bootstrapAddresses: readonly { readonly addresses: readonly string[]; readonly id?: NodeId }[]
  readonly probes: PersistentMap<number, Probe>
  readonly suspects: PersistentMap<ShortId, Suspicion>
  readonly recentlyConfirmed: PersistentMap<ShortId, { readonly seq: number; readonly until: number }>
  /** Members that accepted a link and closed it before the handshake, and until when that counts. */
  readonly failedHandshakes: PersistentMap<ShortId, number>
  readonly banned: PersistentMap<ShortId, number>
  /** What was merged lately, latest first, and how often it was forwarded. */
  readonly recent: readonly { readonly short: ShortId; readonly at: number; readonly hops: number }[]
  readonly pendingRequests: ReadonlyMap<ShortId, number>
  readonly localHealth: number
  readonly nextRoundAt: number
  readonly nextEphemeralAt: number
  /** When links are dialled again, and how long that pause was: it grows while others reject this node. */
  readonly nextLinkAt: number
  readonly linkBackoffMs: number
  readonly nextRetryAt: number
  /** How long a node without links waited last before it tried again. */
  readonly isolatedBackoffMs: number
  readonly refutedAt: number
  /** Copies of the own record that this process did not sign, each newer than the last. */
  readonly identityConflicts: number
  /** The seq at which others suspect this node; 0 for none. */
  readonly refuteSeq: number
  /** When the next tick is due. */
  readonly dueAt: number
  readonly randomState: number
  readonly left: boolean
}

/** The pure functions that the actor provides. */
export interface Tools {
  /** A record from its pair on the wire, undefined where it is none. */
  read(text: string, signature: string): SignedRecord | undefined
  /** Whether its author signed it. May remember. */
  genuine(signed: SignedRecord): boolean
  sign: Sign
  digest: Digest
}

/** What happens to a node. `at` is monotonic milliseconds and never falls. */
export type GossipEvent =
  | { type: 'tick'; at: number }
  | { type: 'opened'; at: number; link: LinkId; id: NodeId; dialled: boolean; address: string }
  | { type: 'closed'; at: number; link: LinkId }
  | { type: 'failed'; at: number; link: LinkId; refused: boolean }
  | { type: 'received'; at: number; link: LinkId; message: WireMessage }
  | { type: 'protocolError'; at: number; link: LinkId }
  | { type: 'addressDiscovered'; at: number; addresses: readonly string[]; id?: NodeId }
  | { type: 'recordUpdated'; at: number; fields: Partial<RecordFields> }
  | { type: 'leaving'; at: number }

export type GossipEffect =
  | { type: 'send'; link: LinkId; message: WireMessage }
  /** Answered by `opened` or `failed` with the same link. Best address first; `unverified`: other nodes named them. */
  | { type: 'dial'; link: LinkId; addresses: readonly string[]; unverified: boolean; id?: NodeId; timeoutMs: number }
  /** Close after what was sent; no `closed` need follow. */
  | { type: 'close'; link: LinkId }
  | { type: 'emit'; fact: GossipEmits }

/** A state that is being changed. */
export type Draft = { -readonly [K in keyof GossipState]: GossipState[K] }

/** Field by field, here and below, so that all have one hidden class: else each step pays ten times for its copies. */
export function shapedLink(link: Link): Link {
  return {
    id: link.id,
    peer: link.peer,
    nodeId: link.nodeId,
    dialled: link.dialled,
    openedAt: link.openedAt,
    receivedAt: link.receivedAt,
    activeHere: link.activeHere,
    activeThere: link.activeThere,
    helloReceived: link.helloReceived,
    subnet: link.subnet,
    seen: link.seen,
    root: link.root,
    syncAt: link.syncAt,
    settled: link.settled,
    settledUntil: link.settledUntil,
    missing: link.missing,
    bye: link.bye,
    penalties: link.penalties,
    records: link.records,
    suspicionTokens: link.suspicionTokens,
    served: link.served,
    digests: link.digests,
  }
}

export function draftOf(state: GossipState): Draft {
  return {
    config: state.config,
    self: state.self,
    members: state.members,
    subnetCounts: state.subnetCounts,
    tombstones: state.tombstones,
    rejected: state.rejected,
    links: state.links,
    linkOf: state.linkOf,
    dials: state.dials,
    dialledAt: state.dialledAt,
    dialTokens: state.dialTokens,
    dialCount: state.dialCount,
    bootstrapAddresses: state.bootstrapAddresses,
    probes: state.probes,
    suspects: state.suspects,
    recentlyConfirmed: state.recentlyConfirmed,
    failedHandshakes: state.failedHandshakes,
    banned: state.banned,
    recent: state.recent,
    pendingRequests: state.pendingRequests,
    localHealth: state.localHealth,
    nextRoundAt: state.nextRoundAt,
    nextEphemeralAt: state.nextEphemeralAt,
    nextLinkAt: state.nextLinkAt,
    linkBackoffMs: state.linkBackoffMs,
    nextRetryAt: state.nextRetryAt,
    isolatedBackoffMs: state.isolatedBackoffMs,
    refutedAt: state.refutedAt,
    identityConflicts: state.identityConflicts,
    refuteSeq: state.refuteSeq,
    dueAt: state.dueAt,
    randomState: state.randomState,
    left: state.left,
  }
}

export interface GossipStart {
  id: NodeId
  key: string
  fields: RecordFields
  /** The highest seq under which this key may have signed; 0 for none. */
  lastSeq: number
  bootstrapAddresses: GossipState['bootstrapAddresses']
  now: number
  /** 32 random bits. */
  seed: number
  config?: Partial<GossipConfig>
}

export function startGossip(start: GossipStart, { sign }: Pick<Tools, 'sign'>): GossipState {
  const { now, fields, bootstrapAddresses } = start
  const config = { ...GOSSIP, ...start.config }
  const full = { at: now, left: 1 }
  const self = signOwn({ ...fields, id: start.id, key: start.key, seq: start.lastSeq + 1, left: false }, sign)
  return {
    config,
    self,
    members: setEntry(emptyShardedMap<ShortId, SignedRecord>(), self.short, self),
    subnetCounts: emptyShardedMap(),
    tombstones: emptyShardedMap(),
    rejected: emptyShardedMap(),
    links: PersistentMap.empty(),
    linkOf: PersistentMap.empty(),
    dials: PersistentMap.empty(),
    dialledAt: PersistentMap.empty(),
    dialTokens: full,
    dialCount: 0,
    bootstrapAddresses,
    probes: PersistentMap.empty(),
    suspects: PersistentMap.empty(),
    recentlyConfirmed: PersistentMap.empty(),
    failedHandshakes: PersistentMap.empty(),
    banned: PersistentMap.empty(),
    recent: [],
    pendingRequests: new Map(),
    localHealth: 0,
    nextRoundAt: now,
    // Nodes that start together do not all open ephemeral links together.
    nextEphemeralAt: now + config.ephemeralEveryMs * (0.5 + (start.seed >>> 0) / 0x2_0000_0000),
    nextRetryAt: now,
    nextLinkAt: now,
    linkBackoffMs: config.roundMs,
    isolatedBackoffMs: config.isolatedFirstMs,
    refutedAt: Number.NEGATIVE_INFINITY,
    identityConflicts: 0,
    refuteSeq: 0,
    dueAt: now,
    randomState: start.seed | 0,
    left: false,
  }
}

export function signOwn(record: NodeRecord, sign: Sign): SignedRecord {
  return signRecord(record, sign)
}
