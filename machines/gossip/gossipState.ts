import { GOSSIP } from '../../protocol/defaults/gossip.ts'
import type { GossipEmits } from '../../protocol/gossip.ts'
import type { NodeId } from '../../protocol/ids.ts'
import type { WireMessage } from '../../protocol/wire/gossip.ts'
import {
  type NodeRecord,
  type RecordWords,
  type ShortId,
  type Sign,
  type SignedRecord,
  signRecord,
} from '../../protocol/wire/record.ts'
import type { Allowance } from './allowance.ts'
import type { Digest, Members, Version } from './digest.ts'
import { noShards, put, type Shards } from './shards.ts'
import { SmallMap } from './smallMap.ts'

/**
 * What a gossiping node knows, and the turn in which it changes. A state is never changed: a step makes the next one and
 * a list of effects. Times are monotonic milliseconds given with each event; chance comes from a seed in the state, so
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
  readonly heardAt: number
  /** Whether this end, and as far as known the other, counts the link among its lasting ones. */
  readonly mine: boolean
  readonly theirs: boolean
  readonly greeted: boolean
  /** See `neighbourhood.ts`. */
  readonly neighbourhood: string
  /** The address at which its other end appears. */
  readonly seen: string
  /** The peer's latest root hash. */
  readonly root: string
  /** When buckets were last sent and are still unanswered; 0 for none. */
  readonly syncAt: number
  /** Two roots that a full comparison could not bring together, and until when to leave it at that. */
  readonly settled: string
  readonly settledUntil: number
  /** Records known to be newer there, still to be asked for. */
  readonly missing: readonly Version[]
  readonly bye: string
  readonly strikes: number
  readonly records: Allowance
  readonly doubts: Allowance
  readonly served: Allowance
  readonly digests: Allowance
}

export interface Dial {
  readonly target: ShortId | undefined
  readonly keep: boolean
}

/** A look at one member: directly, then through others. `errand` is the node on whose behalf. */
export interface Probe {
  readonly nonce: number
  readonly target: ShortId
  readonly startedAt: number
  readonly deadline: number
  readonly stage: 'direct' | 'again' | 'indirect'
  readonly asked: number
  readonly reports: number
  readonly errand: { readonly link: LinkId; readonly nonce: number } | undefined
}

/** A suspicion of one member at one seq. It ends in an answer, a newer record, or death. */
export interface Doubt {
  readonly target: ShortId
  readonly seq: number
  readonly since: number
  /** Who says so, this node included. */
  readonly by: readonly ShortId[]
  /** What this node's own look has given: only `failed` or `refused` may end in death. */
  readonly own: 'waiting' | 'failed' | 'refused'
  readonly lookAt: number
  /** When its time is up, as things stood when it last changed. */
  readonly endsAt: number
}

/** A departed member, kept so that only a proof of life brings it back. */
export interface Grave {
  readonly signed: SignedRecord
  readonly at: number
}

export interface GossipState {
  readonly config: GossipConfig
  readonly self: SignedRecord
  /** Everybody who counts as alive, this node included: two nodes that agree have equal digests. */
  readonly members: Members
  /** How many members each neighbourhood has. */
  readonly crowds: Shards<string, number>
  readonly graves: Shards<ShortId, Grave>
  /** Records for which there was no room, by seq, so that they are not fetched again and again. */
  readonly declined: Shards<ShortId, number>
  readonly links: SmallMap<LinkId, Link>
  readonly linkOf: SmallMap<ShortId, LinkId>
  readonly dials: SmallMap<LinkId, Dial>
  readonly dialled: SmallMap<string, number>
  readonly dialAllowance: Allowance
  readonly dialCount: number
  /** Addresses from the owner and from the file: a way in, never a fact. */
  readonly meetings: readonly { readonly addresses: readonly string[]; readonly id?: NodeId }[]
  readonly probes: SmallMap<number, Probe>
  readonly doubts: SmallMap<ShortId, Doubt>
  readonly vouched: SmallMap<ShortId, { readonly seq: number; readonly until: number }>
  /** Members that took a link and closed it without a greeting, and until when that counts. */
  readonly hollow: SmallMap<ShortId, number>
  readonly banned: SmallMap<ShortId, number>
  /** What was learned lately, latest first, and how many hands it went through. */
  readonly recent: readonly { readonly short: ShortId; readonly at: number; readonly hops: number }[]
  readonly wanted: ReadonlyMap<ShortId, number>
  readonly health: number
  readonly nextRoundAt: number
  readonly nextVisitAt: number
  /** When links are looked for again, and how long that pause was: it grows while others turn this node down. */
  readonly nextLinkAt: number
  readonly linkPauseMs: number
  readonly nextRetryAt: number
  /** How long a node without links waited last before it tried again. */
  readonly lonelyMs: number
  readonly deniedAt: number
  /** Own records heard that this life did not write, each newer than the last. */
  readonly twins: number
  /** The seq at which others doubt this node; 0 for none. */
  readonly denySeq: number
  /** When the next tick is due. */
  readonly dueAt: number
  readonly chance: number
  readonly left: boolean
}

/** The pure powers that the world lends. */
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
  | { type: 'heard'; at: number; link: LinkId; message: WireMessage }
  | { type: 'garbled'; at: number; link: LinkId }
  | { type: 'met'; at: number; addresses: readonly string[]; id?: NodeId }
  | { type: 'reworded'; at: number; words: Partial<RecordWords> }
  | { type: 'leaving'; at: number }

export type GossipEffect =
  | { type: 'send'; link: LinkId; message: WireMessage }
  /** Answered by `opened` or `failed` with the same link. Best address first; `hearsay`: others named them. */
  | { type: 'dial'; link: LinkId; addresses: readonly string[]; hearsay: boolean; id?: NodeId; timeoutMs: number }
  /** Close after what was sent; no `closed` need follow. */
  | { type: 'hangUp'; link: LinkId }
  | { type: 'say'; fact: GossipEmits }

/** A state in the making. */
export type Draft = { -readonly [K in keyof GossipState]: GossipState[K] }

/** Field by field, here and below, so that all have one hidden class: else each step pays ten times for its copies. */
export function shapedLink(link: Link): Link {
  return {
    id: link.id,
    peer: link.peer,
    nodeId: link.nodeId,
    dialled: link.dialled,
    openedAt: link.openedAt,
    heardAt: link.heardAt,
    mine: link.mine,
    theirs: link.theirs,
    greeted: link.greeted,
    neighbourhood: link.neighbourhood,
    seen: link.seen,
    root: link.root,
    syncAt: link.syncAt,
    settled: link.settled,
    settledUntil: link.settledUntil,
    missing: link.missing,
    bye: link.bye,
    strikes: link.strikes,
    records: link.records,
    doubts: link.doubts,
    served: link.served,
    digests: link.digests,
  }
}

export function draftOf(state: GossipState): Draft {
  return {
    config: state.config,
    self: state.self,
    members: state.members,
    crowds: state.crowds,
    graves: state.graves,
    declined: state.declined,
    links: state.links,
    linkOf: state.linkOf,
    dials: state.dials,
    dialled: state.dialled,
    dialAllowance: state.dialAllowance,
    dialCount: state.dialCount,
    meetings: state.meetings,
    probes: state.probes,
    doubts: state.doubts,
    vouched: state.vouched,
    hollow: state.hollow,
    banned: state.banned,
    recent: state.recent,
    wanted: state.wanted,
    health: state.health,
    nextRoundAt: state.nextRoundAt,
    nextVisitAt: state.nextVisitAt,
    nextLinkAt: state.nextLinkAt,
    linkPauseMs: state.linkPauseMs,
    nextRetryAt: state.nextRetryAt,
    lonelyMs: state.lonelyMs,
    deniedAt: state.deniedAt,
    twins: state.twins,
    denySeq: state.denySeq,
    dueAt: state.dueAt,
    chance: state.chance,
    left: state.left,
  }
}

export interface GossipStart {
  id: NodeId
  key: string
  words: RecordWords
  /** The highest seq under which this key may have spoken; 0 for none. */
  lastSeq: number
  meetings: GossipState['meetings']
  now: number
  /** 32 bits of chance. */
  seed: number
  config?: Partial<GossipConfig>
}

export function startGossip(start: GossipStart, { sign }: Pick<Tools, 'sign'>): GossipState {
  const { now, words, meetings } = start
  const config = { ...GOSSIP, ...start.config }
  const full = { at: now, left: 1 }
  const self = signOwn({ ...words, id: start.id, key: start.key, seq: start.lastSeq + 1, left: false }, sign)
  return {
    config,
    self,
    members: put(noShards<ShortId, SignedRecord>(), self.short, self),
    crowds: noShards(),
    graves: noShards(),
    declined: noShards(),
    links: SmallMap.none(),
    linkOf: SmallMap.none(),
    dials: SmallMap.none(),
    dialled: SmallMap.none(),
    dialAllowance: full,
    dialCount: 0,
    meetings,
    probes: SmallMap.none(),
    doubts: SmallMap.none(),
    vouched: SmallMap.none(),
    hollow: SmallMap.none(),
    banned: SmallMap.none(),
    recent: [],
    wanted: new Map(),
    health: 0,
    nextRoundAt: now,
    // Not all who start together visit together.
    nextVisitAt: now + config.ephemeralEveryMs * (0.5 + (start.seed >>> 0) / 0x2_0000_0000),
    nextRetryAt: now,
    nextLinkAt: now,
    linkPauseMs: config.roundMs,
    lonelyMs: config.isolatedFirstMs,
    deniedAt: Number.NEGATIVE_INFINITY,
    twins: 0,
    denySeq: 0,
    dueAt: now,
    chance: start.seed | 0,
    left: false,
  }
}

export function signOwn(record: NodeRecord, sign: Sign): SignedRecord {
  return signRecord(record, sign)
}
