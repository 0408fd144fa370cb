import { parseEndpoints } from '../../protocol/net/endpoint.ts'
import { type NodeRecord, type ShortId, type SignedRecord, signRecord } from '../../protocol/wire/record.ts'
import type { Draft } from './gossipDraft.ts'
import type { Link } from './gossipState.ts'
import { signedAt } from './recordAge.ts'
import { deleteEntry, getEntry, sample, setEntry } from './shardedMap.ts'
import { addToSubnets, rejectRecord, roomFor, wasRejected } from './subnetQuota.ts'
import { emit, linkTo, random, send, setLink, type Tx } from './tx.ts'

// The table of members. A record is merged if its author signed it, if it is newer than the known one, and if its subnet
// has room (`subnetQuota.ts`). A removed member rejoins only with a newer record, or by answering this node itself.

/** After this many foreign copies of the own record, another running node must be using this key. */
const MIN_CONFLICTS = 3

/** Returns the minimum time between two refutations. */
export function refuteInterval({ identityConflicts, config }: Pick<Draft, 'identityConflicts' | 'config'>): number {
  return Math.min(
    config.maxRefuteIntervalMs,
    config.refuteIntervalMs * 2 ** Math.max(0, Math.min(identityConflicts - MIN_CONFLICTS, 20)),
  )
}

/** Largest hop count of a record. */
export const MAX_HOPS = 255

/**
 * The result of a merge. Only `new` changes the table. `conflict` means that the author has signed two records with this
 * seq because it lost its file; it must be told, or parts of the network would keep different records forever.
 */
export type MergeResult = 'new' | 'conflict' | 'known' | 'removed' | 'forged' | 'overSubnetQuota'

/**
 * Merges a record into the table. `from` is the link over which it arrived, `hops` its distance from the author, and `ageMs`
 * how old the sender says that it is.
 */
export function mergeRecord(tx: Tx, signed: SignedRecord, from?: Link, hops = MAX_HOPS, ageMs = 0): MergeResult {
  const { state, tools } = tx
  const { record, short } = signed
  if (short === state.self.short) return mergeOwnRecord(tx, signed)
  const known = getEntry(state.members, short)
  if (known && (known.record.id !== record.id || known.record.seq > record.seq)) return 'known'
  if (known?.record.seq === record.seq)
    return known.text !== signed.text && tools.hasValidSignature(signed) ? 'conflict' : 'known'
  const tombstone = getEntry(state.tombstones, short)
  const isFromAuthor = from?.peer === short
  const wasDialled = isFromAuthor && from.dialled
  if (
    tombstone &&
    (tombstone.signed.record.seq > record.seq || (tombstone.signed.record.seq === record.seq && !isFromAuthor))
  )
    return 'removed'
  if (isBanned(tx, short) || (!isFromAuthor && ageMs >= state.config.maxRecordAgeMs)) return 'removed'
  if (!known && wasRejected(state, short, record.seq) && !wasDialled) return 'overSubnetQuota'
  if (!tools.hasValidSignature(signed)) return 'forged'
  if (record.left) {
    remove(tx, short, 'left', signed)
    addRecent(tx, short, hops)
    return 'new'
  }
  const room = known !== undefined || roomFor(tx, signed, wasDialled)
  if (room === false) {
    rejectRecord(tx, signed)
    return 'overSubnetQuota'
  }
  if (room !== true) {
    remove(tx, room.short, 'overSubnetQuota')
    rejectRecord(tx, room)
  }
  if (known) addToSubnets(tx, known.record, -1)
  addToSubnets(tx, record, 1)
  state.members = setEntry(state.members, short, signed)
  state.renewedAt = setEntry(state.renewedAt, short, signedAt(tx, isFromAuthor ? 0 : ageMs))
  state.tombstones = deleteEntry(state.tombstones, short)
  // Its author is alive, so what this node tried before to find that out no longer matters.
  endProbes(tx, short)
  if (state.suspects.has(short)) {
    state.suspects = state.suspects.delete(short)
    emit(tx, { type: 'record.cleared', id: record.id })
  }
  state.recentlyConfirmed = state.recentlyConfirmed.delete(short)
  addRecent(tx, short, hops)
  if (!known || !isRenewal(known.record, record)) emit(tx, { type: 'record.merged', record })
  return 'new'
}

/** Removes a member. `signed` is the newer record that is the reason, if there is one. */
export function remove(
  tx: Tx,
  short: ShortId,
  why: 'left' | 'silent' | 'overSubnetQuota' | 'banned',
  signed?: SignedRecord,
): void {
  const { state } = tx
  const known = getEntry(state.members, short)
  const last = signed ?? known
  if (last && why !== 'overSubnetQuota') {
    if (state.tombstones.size >= state.config.maxTombstones) evictTombstone(tx)
    state.tombstones = setEntry(state.tombstones, short, {
      status: last.record.left ? 'left' : 'dead',
      signed: last,
      at: tx.now,
    })
  }
  if (known) {
    state.members = deleteEntry(state.members, short)
    state.renewedAt = deleteEntry(state.renewedAt, short)
    state.locatedAt = deleteEntry(state.locatedAt, short)
    addToSubnets(tx, known.record, -1)
    emit(tx, { type: 'record.dropped', id: known.record.id, why })
  }
  state.suspects = state.suspects.delete(short)
  endProbes(tx, short)
  const link = linkTo(tx, short)
  if (link) closeLink(tx, link, why)
}

/** Ends this node's own probes of a member without a result. */
export function endProbes({ state }: Tx, target: ShortId): void {
  for (const probe of state.probes.values())
    if (probe.target === target && !probe.indirectFor) state.probes = state.probes.delete(probe.nonce)
}

/** Signs the own record with a higher seq. */
export function signOwnRecord(tx: Tx, change: Partial<NodeRecord> = {}): SignedRecord {
  const { state, tools } = tx
  const { record } = state.self
  const seq = Math.max(record.seq, state.refuteSeq) + 1
  const self = signRecord({ ...record, ...change, seq }, tools.sign)
  state.self = self
  state.refuteSeq = 0
  state.members = setEntry(state.members, self.short, self)
  addRecent(tx, self.short, 0)
  const { text, signature } = self
  emit(tx, { type: 'record.ownSigned', record: self.record, signed: { text, signature } })
  return self
}

/** Returns the newest known record of a member or removed member. */
export function newestRecord({ state }: Tx, short: ShortId): SignedRecord | undefined {
  return getEntry(state.members, short) ?? getEntry(state.tombstones, short)?.signed
}

/** Sends `link/bye` and closes the link. */
export function closeLink(tx: Tx, link: Link, why: string): void {
  send(tx, link.id, { kind: 'link/bye', body: { why } })
  tx.effects.push({ type: 'close', link: link.id })
  removeLink(tx, link, why)
}

/** Removes a closed link from the state. */
export function removeLink(tx: Tx, link: Link, why: string): void {
  const { state } = tx
  state.links = state.links.delete(link.id)
  if (state.linkOf.get(link.peer) === link.id) state.linkOf = state.linkOf.delete(link.peer)
  emit(tx, { type: 'link.closed', link: link.id, id: link.nodeId, why })
}

/** Whether a peer may neither be linked nor be a member, because it has violated the protocol. */
export function isBanned({ state, now }: Tx, short: ShortId): boolean {
  return (state.banned.get(short) ?? 0) > now
}

/** Counts a protocol violation of a peer. A peer with `maxPenalties` of them is banned for a while, and no member meanwhile. */
export function penalize(tx: Tx, link: Link, why: string): void {
  const { state, now } = tx
  const present = state.links.get(link.id)
  if (!present) return
  const penalties = present.penalties + 1
  if (penalties < state.config.maxPenalties) {
    setLink(tx, { ...present, penalties })
    return
  }
  state.banned = state.banned.set(link.peer, now + state.config.banMs)
  emit(tx, { type: 'gossip.banned', id: link.nodeId, why })
  closeLink(tx, present, 'banned')
  remove(tx, link.peer, 'banned')
}

/**
 * Handles a copy of the own record from another node. If its seq is not below the current one, an earlier process of this
 * node or another node with this key has signed it, and this node supersedes it.
 */
function mergeOwnRecord(tx: Tx, signed: SignedRecord): MergeResult {
  const { state, tools } = tx
  const { record } = state.self
  if (signed.record.seq < record.seq || signed.text === state.self.text) return 'known'
  if (!tools.hasValidSignature(signed)) return 'forged'
  if (signed.record.seq > state.refuteSeq) {
    // The first copy may come from an earlier process; copies newer than what this process signs come from a running node.
    state.identityConflicts += 1
    if (state.identityConflicts === MIN_CONFLICTS)
      emit(tx, { type: 'gossip.identityConflict', endpoints: parseEndpoints(signed.record.endpoints) })
  }
  state.refuteSeq = Math.max(state.refuteSeq, signed.record.seq)
  return 'known'
}

/** Whether a newer record only renews the older one. */
function isRenewal(older: NodeRecord, newer: NodeRecord): boolean {
  return JSON.stringify({ ...older, seq: newer.seq }) === JSON.stringify(newer)
}

function addRecent({ state, now }: Tx, short: ShortId, hops: number): void {
  state.recent = [{ short, at: now, hops }, ...state.recent.filter((each) => each.short !== short)].slice(0, 64)
}

/** Evicts the oldest of a few random tombstones to make room for another. */
function evictTombstone(tx: Tx): void {
  const { state } = tx
  const few = Array.from({ length: 8 }, () => sample(state.tombstones, () => random(tx)))
  const oldest = few.reduce((one, other) => (other && one && other.at < one.at ? other : one))
  if (oldest) state.tombstones = deleteEntry(state.tombstones, oldest.signed.short)
}
