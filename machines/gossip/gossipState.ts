import { GOSSIP } from '../../protocol/defaults/gossip.ts'
import type { GossipEmits } from '../../protocol/gossip.ts'
import type { NodeId } from '../../protocol/ids.ts'
import type { Endpoint } from '../../protocol/net/endpoint.ts'
import type { WireMessage } from '../../protocol/wire/gossip.ts'
import {
  type RecordFields,
  type ShortId,
  type Sign,
  type SignedRecord,
  shortOf,
  signRecord,
} from '../../protocol/wire/record.ts'
import type { Digest, Members, Version } from './digest.ts'
import type { LinkPhase } from './linkPhase.ts'
import { PersistentMap } from './persistentMap.ts'
import { emptyShardedMap, type ShardedMap, setEntry } from './shardedMap.ts'
import type { TokenBucket } from './tokenBucket.ts'

export type GossipConfig = { readonly [K in keyof typeof GOSSIP]: number }

export type LinkId = string

interface LinkData {
  readonly id: LinkId
  readonly peer: ShortId
  readonly nodeId: NodeId
  readonly dialled: boolean
  readonly openedAt: number
  readonly receivedAt: number
  /** The name of the peer's subnet, see `protocol/net/subnet.ts`. */
  readonly subnet: string
  /** The address at which the peer appears to this node. */
  readonly observedAddress: string
  /** The peer's latest root hash. */
  readonly root: string
  /** When bucket hashes were sent that the peer has not answered yet; 0 if there are none. */
  readonly syncAt: number
  /** The pair of roots that the last comparison started from. Until `syncBackoffUntil` the same pair is not compared again. */
  readonly failedSyncRoots: string
  readonly syncBackoffUntil: number
  /** Versions that are newer at the peer and have not been requested yet. */
  readonly missing: readonly Version[]
  readonly penalties: number
  readonly recordTokens: TokenBucket
  readonly suspicionTokens: TokenBucket
  readonly servedTokens: TokenBucket
  readonly digestTokens: TokenBucket
}

/** An open link: what is known of it, and its phase. */
export type Link = LinkData & LinkPhase

/** A peer that is being dialled, under the id that its link will have. `active`: it is to be an active link. */
export interface Dial {
  readonly phase: 'dialing'
  readonly id: LinkId
  /** The first of the endpoints that are tried. */
  readonly endpoint: Endpoint | undefined
  readonly target: ShortId | undefined
  readonly active: boolean
}

/** A probe of one member, first direct and then through other nodes. `indirectFor` is set if another node requested it. */
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

/** The suspicion of a member at one seq. It ends with an answer, with a newer record, or with the member's removal. */
export interface Suspicion {
  readonly status: 'suspected'
  readonly target: ShortId
  readonly seq: number
  readonly since: number
  /** The nodes that suspect it, this node included. */
  readonly by: readonly ShortId[]
  /** Result of this node's own probe. While it is `pending`, the suspect is not removed. */
  readonly ownResult: 'pending' | 'failed' | 'refused'
  readonly probeAt: number
  /** When the timeout passes, computed at the last change. */
  readonly endsAt: number
}

/** A removed member. It rejoins only with a newer record, or by answering this node itself. */
export interface Tombstone {
  /** Whether it said goodbye, or was removed because it did not answer. */
  readonly status: 'left' | 'dead'
  readonly signed: SignedRecord
  readonly at: number
}

/**
 * Everything that a gossiping node knows. The state is immutable: a step returns the next state and a list of effects. All
 * times are monotonic milliseconds, which come with the events, and random numbers follow from a seed in the state, so the
 * same events give the same run.
 */
export interface GossipState {
  readonly config: GossipConfig
  readonly self: SignedRecord
  /** The records of all live members, this node's own included. Nodes that agree have equal digests of it. */
  readonly members: Members
  /** Number of members in each subnet. */
  readonly subnetCounts: ShardedMap<string, number>
  readonly tombstones: ShardedMap<ShortId, Tombstone>
  /** The seq of each record that had no room, see `subnetQuota.ts`. */
  readonly rejected: ShardedMap<ShortId, number>
  /** When each member last renewed its record, as far as this node knows, counted from `startedAt`. See `renewal.ts`. */
  readonly renewedAt: ShardedMap<ShortId, number>
  /** When this process started, later by the time for which it has stalled. */
  readonly startedAt: number
  readonly links: PersistentMap<LinkId, Link>
  readonly linkOf: PersistentMap<ShortId, LinkId>
  readonly dials: PersistentMap<LinkId, Dial>
  readonly dialledAt: PersistentMap<string, number>
  readonly dialTokens: TokenBucket
  readonly dialCount: number
  /** Endpoints from the owner and from the file: they are dialled, and never listed as members. */
  readonly bootstrapAddresses: readonly { readonly endpoints: readonly Endpoint[]; readonly id?: NodeId }[]
  /** The nodes that the owner trusts. */
  readonly trusted: ReadonlySet<ShortId>
  readonly probes: PersistentMap<number, Probe>
  readonly suspects: PersistentMap<ShortId, Suspicion>
  readonly recentlyConfirmed: PersistentMap<ShortId, { readonly seq: number; readonly until: number }>
  /** The members with which this node has had a link from or to an address that their record names. See `isLocated`. */
  readonly locatedAt: ShardedMap<ShortId, string>
  /** Members that accepted a link and closed it before the handshake, with the time until which that counts. */
  readonly failedHandshakes: PersistentMap<ShortId, number>
  readonly banned: PersistentMap<ShortId, number>
  /** Recently merged records, latest first, and how often each was forwarded. */
  readonly recent: readonly { readonly short: ShortId; readonly at: number; readonly hops: number }[]
  readonly pendingRequests: ReadonlyMap<ShortId, number>
  readonly localHealth: number
  readonly nextRoundAt: number
  readonly nextEphemeralAt: number
  /** When links are dialled again. `linkBackoffMs` grows while peers reject this node. */
  readonly nextLinkAt: number
  readonly linkBackoffMs: number
  readonly nextRetryAt: number
  /** The last backoff of a node without links between two dials. */
  readonly isolatedBackoffMs: number
  readonly refutedAt: number
  /** Number of ever newer copies of the own record that this process has not signed. */
  readonly identityConflicts: number
  /** The seq at which other nodes suspect this node; 0 if none does. */
  readonly refuteSeq: number
  /** When the next tick is due. */
  readonly dueAt: number
  readonly randomState: number
  readonly left: boolean
}

/** The pure functions that the actor provides; they may cache. */
export interface Tools {
  /** Parses a record from the wire without verifying it. Returns undefined if the text is not a valid record. */
  read(text: string, signature: string): SignedRecord | undefined
  hasValidSignature(signed: SignedRecord): boolean
  sign: Sign
  digest: Digest
}

/** An event of the step. `at` is in monotonic milliseconds and never decreases. */
export type GossipEvent =
  | { type: 'tick'; at: number }
  | { type: 'opened'; at: number; link: LinkId; id: NodeId; dialled: boolean; address: string }
  | { type: 'closed'; at: number; link: LinkId }
  /** A dial has failed. `withheld`: this node itself did not let it happen, which says nothing of the member. */
  | { type: 'failed'; at: number; link: LinkId; refused: boolean; withheld?: boolean }
  | { type: 'received'; at: number; link: LinkId; message: WireMessage }
  | { type: 'protocolError'; at: number; link: LinkId }
  | { type: 'addressDiscovered'; at: number; endpoints: readonly Endpoint[]; id?: NodeId }
  | { type: 'seedsListed'; at: number; seeds: GossipState['bootstrapAddresses'] }
  | { type: 'trustChanged'; at: number; trusted: readonly NodeId[] }
  | { type: 'recordUpdated'; at: number; fields: Partial<RecordFields> }
  | { type: 'leaving'; at: number }

export type GossipEffect =
  | { type: 'send'; link: LinkId; message: WireMessage }
  /** Answered by `opened` or `failed` with the same link. The best endpoint is first; `unverified` ones come from other nodes. */
  | { type: 'dial'; link: LinkId; endpoints: readonly Endpoint[]; unverified: boolean; id?: NodeId; timeoutMs: number }
  /** Closes the link after everything that was sent has gone out. No `closed` event follows. */
  | { type: 'close'; link: LinkId }
  | { type: 'emit'; fact: GossipEmits }

export interface GossipStart {
  id: NodeId
  key: string
  fields: RecordFields
  /** The highest seq under which this key may have signed; 0 for none. */
  lastSeq: number
  bootstrapAddresses: GossipState['bootstrapAddresses']
  trusted?: readonly NodeId[]
  now: number
  /** 32 random bits. */
  seed: number
  config?: Partial<GossipConfig>
}

export function startGossip(start: GossipStart, { sign }: Pick<Tools, 'sign'>): GossipState {
  const { now, fields, bootstrapAddresses } = start
  const config = { ...GOSSIP, ...start.config }
  const full = { at: now, left: 1 }
  const self = signRecord({ ...fields, id: start.id, key: start.key, seq: start.lastSeq + 1, left: false }, sign)
  return {
    config,
    self,
    members: setEntry(emptyShardedMap<ShortId, SignedRecord>(), self.short, self),
    subnetCounts: emptyShardedMap(),
    tombstones: emptyShardedMap(),
    rejected: emptyShardedMap(),
    renewedAt: emptyShardedMap(),
    startedAt: now,
    links: PersistentMap.empty(),
    linkOf: PersistentMap.empty(),
    dials: PersistentMap.empty(),
    dialledAt: PersistentMap.empty(),
    dialTokens: full,
    dialCount: 0,
    bootstrapAddresses,
    trusted: new Set(start.trusted?.map(shortOf)),
    probes: PersistentMap.empty(),
    suspects: PersistentMap.empty(),
    recentlyConfirmed: PersistentMap.empty(),
    locatedAt: emptyShardedMap(),
    failedHandshakes: PersistentMap.empty(),
    banned: PersistentMap.empty(),
    recent: [],
    pendingRequests: new Map(),
    localHealth: 0,
    nextRoundAt: now,
    // The random offset keeps nodes that start together from opening ephemeral links together.
    nextEphemeralAt: now + config.ephemeralIntervalMs * (0.5 + (start.seed >>> 0) / 0x2_0000_0000),
    nextRetryAt: now,
    nextLinkAt: now,
    linkBackoffMs: config.roundMs,
    isolatedBackoffMs: config.isolatedInitialBackoffMs,
    refutedAt: Number.NEGATIVE_INFINITY,
    identityConflicts: 0,
    refuteSeq: 0,
    dueAt: now,
    randomState: start.seed | 0,
    left: false,
  }
}
