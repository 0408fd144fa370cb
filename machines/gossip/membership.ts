import { type Subnet, subnetOf } from '../../protocol/net/subnet.ts'
import type { NodeRecord, ShortId, SignedRecord } from '../../protocol/wire/record.ts'
import { type Draft, type Link, signOwn } from './gossipState.ts'
import { deleteEntry, emptyShardedMap, getEntry, sample, setEntry, shardKey, valuesOf } from './shardedMap.ts'
import { emit, isActive, linkTo, random, send, setLink, type Tx } from './tx.ts'

/**
 * Who is a member. A record enters because its author signed it, is newer than what was known, and its subnet
 * has room. A removed author comes back only by a newer record or by answering this node itself.
 */

const PRIVATE = '-'

/** Own records from elsewhere after which another node must be using this key. */
const MIN_CONFLICTS = 3

/** Least time between two refutations. */
export function refuteInterval({ identityConflicts, config }: Pick<Draft, 'identityConflicts' | 'config'>): number {
  return Math.min(
    config.conflictRefuteIntervalMs,
    config.refuteIntervalMs * 2 ** Math.max(0, Math.min(identityConflicts - MIN_CONFLICTS, 20)),
  )
}

/** As far from its author as a record may say that it is. */
export const HOPS_MOST = 255

/**
 * `new` changed the table; all else left it as it was. `conflict`: its author has used this seq twice, as it lost its file;
 * it must be told, or two halves of the network would hold two texts for good.
 */
export type Verdict = 'new' | 'conflict' | 'known' | 'removed' | 'forged' | 'overSubnetQuota'

/** Merges a record into the table. `from`: the link over which its author itself sent it. */
export function mergeRecord(tx: Tx, signed: SignedRecord, from?: Link, hops = HOPS_MOST): Verdict {
  const { state, tools } = tx
  const { record, short } = signed
  if (short === state.self.short) return mergeOwnRecord(tx, signed)
  const known = getEntry(state.members, short)
  if (known && (known.record.id !== record.id || known.record.seq > record.seq)) return 'known'
  if (known?.record.seq === record.seq)
    return known.text !== signed.text && tools.genuine(signed) ? 'conflict' : 'known'
  const tombstone = getEntry(state.tombstones, short)
  const answers = from?.peer === short
  const invited = answers && from.dialled
  if (
    tombstone &&
    (tombstone.signed.record.seq > record.seq || (tombstone.signed.record.seq === record.seq && !answers))
  )
    return 'removed'
  if (!known && getEntry(state.rejected, short) === record.seq && !invited) return 'overSubnetQuota'
  if (!tools.genuine(signed)) return 'forged'
  if (record.left) {
    remove(tx, short, 'left', signed)
    addRecent(tx, short, hops)
    return 'new'
  }
  if (!known && !hasRoom(tx, record, invited)) {
    state.rejected = setEntry(
      state.rejected.size > state.config.tableMost ? emptyShardedMap() : state.rejected,
      short,
      record.seq,
    )
    return 'overSubnetQuota'
  }
  if (known) addToSubnets(tx, known.record, -1)
  addToSubnets(tx, record, 1)
  state.members = setEntry(state.members, short, signed)
  state.tombstones = deleteEntry(state.tombstones, short)
  if (state.suspects.has(short)) {
    state.suspects = state.suspects.delete(short)
    emit(tx, { type: 'record.cleared', id: record.id })
  }
  state.recentlyConfirmed = state.recentlyConfirmed.delete(short)
  addRecent(tx, short, hops)
  emit(tx, { type: 'record.merged', record })
  return 'new'
}

/** Removes a member. `signed` where a newer record is the reason. */
export function remove(
  tx: Tx,
  short: ShortId,
  why: 'left' | 'silent' | 'overSubnetQuota',
  signed?: SignedRecord,
): void {
  const { state } = tx
  const known = getEntry(state.members, short)
  const last = signed ?? known
  if (last && why !== 'overSubnetQuota') {
    if (state.tombstones.size >= state.config.tombstonesMost) evictTombstone(tx)
    state.tombstones = setEntry(state.tombstones, short, { signed: last, at: tx.now })
  }
  if (known) {
    state.members = deleteEntry(state.members, short)
    addToSubnets(tx, known.record, -1)
    emit(tx, { type: 'record.dropped', id: known.record.id, why })
  }
  state.suspects = state.suspects.delete(short)
  for (const probe of state.probes.values())
    if (probe.target === short && !probe.indirectFor) state.probes = state.probes.delete(probe.nonce)
  const link = linkTo(tx, short)
  if (link) closeLink(tx, link, why)
}

/** Signs a new version of the own record. */
export function signOwnRecord(tx: Tx, change: Partial<NodeRecord> = {}): SignedRecord {
  const { state, tools } = tx
  const { record } = state.self
  const seq = Math.max(record.seq, state.refuteSeq) + 1
  const self = signOwn({ ...record, ...change, seq }, tools.sign)
  state.self = self
  state.refuteSeq = 0
  state.members = setEntry(state.members, self.short, self)
  addRecent(tx, self.short, 0)
  const { text, signature } = self
  emit(tx, { type: 'record.ownSigned', record: self.record, signed: { text, signature } })
  return self
}

/** The newest record known of it, alive or not. */
export function newestOf({ state }: Tx, short: ShortId): SignedRecord | undefined {
  return getEntry(state.members, short) ?? getEntry(state.tombstones, short)?.signed
}

/** Sends `link/bye` and closes. */
export function closeLink(tx: Tx, link: Link, why: string): void {
  send(tx, link.id, { kind: 'link/bye', body: { why } })
  tx.effects.push({ type: 'close', link: link.id })
  removeLink(tx, link, why)
}

/** Removes a link, whichever end closed it. */
export function removeLink(tx: Tx, link: Link, why: string): void {
  const { state } = tx
  state.links = state.links.delete(link.id)
  if (state.linkOf.get(link.peer) === link.id) state.linkOf = state.linkOf.delete(link.peer)
  emit(tx, { type: 'link.closed', link: link.id, id: link.nodeId, why })
}

/** A peer that breaks the protocol again and again is banned for a while. */
export function penalize(tx: Tx, link: Link, why: string): void {
  const { state, now } = tx
  const present = state.links.get(link.id)
  if (!present) return
  const penalties = present.penalties + 1
  if (penalties < state.config.penaltiesMost) {
    setLink(tx, { ...present, penalties })
    return
  }
  state.banned = state.banned.set(link.peer, now + state.config.banMs)
  emit(tx, { type: 'gossip.banned', id: link.nodeId, why })
  closeLink(tx, present, 'banned')
}

/** Number of active links into one subnet. */
export function activeLinksInSubnet({ state }: Tx, subnet: string): number {
  let addToSubnets = 0
  for (const link of state.links.values()) if (isActive(link) && link.subnet === subnet) addToSubnets += 1
  return addToSubnets
}

/** A copy of the own record from elsewhere with a seq not below the present one: an earlier process of this node, or another node with its key. */
function mergeOwnRecord(tx: Tx, signed: SignedRecord): Verdict {
  const { state, tools } = tx
  const { record } = state.self
  if (signed.record.seq < record.seq || signed.text === state.self.text) return 'known'
  if (!tools.genuine(signed)) return 'forged'
  if (signed.record.seq > state.refuteSeq) {
    // The first is an earlier process of this node. Those that answer what this process signs come from a node that runs.
    state.identityConflicts += 1
    if (state.identityConflicts === MIN_CONFLICTS)
      emit(tx, { type: 'gossip.identityConflict', addresses: signed.record.addresses })
  }
  state.refuteSeq = Math.max(state.refuteSeq, signed.record.seq)
  return 'known'
}

function addRecent({ state, now }: Tx, short: ShortId, hops: number): void {
  state.recent = [{ short, at: now, hops }, ...state.recent.filter((each) => each.short !== short)].slice(0, 64)
}

/** Evicts one tombstone to make room for another: the oldest of a few. */
function evictTombstone(tx: Tx): void {
  const { state } = tx
  const few = Array.from({ length: 8 }, () => sample(state.tombstones, () => random(tx)))
  const oldest = few.reduce((one, other) => (other && one && other.at < one.at ? other : one))
  if (oldest) state.tombstones = deleteEntry(state.tombstones, oldest.signed.short)
}

/** The key in `subnetCounts`. All private subnets are one: there, many members are no sign of a single owner. */
export function subnetKey(subnet: Subnet): string {
  return subnet.private ? PRIVATE : shardKey(subnet.name)
}

function subnetKeys(record: NodeRecord): ReadonlySet<string> {
  const known = subnetKeyCache.get(record)
  if (known) return known
  const subnets = record.addresses.map(subnetOf)
  const made = new Set(subnets.length > 0 ? subnets.map(subnetKey) : [PRIVATE])
  subnetKeyCache.set(record, made)
  return made
}

/** Records never change, and what follows from their addresses is asked at every change of the table. */
const subnetKeyCache = new WeakMap<NodeRecord, ReadonlySet<string>>()

function addToSubnets({ state }: Tx, record: NodeRecord, by: number): void {
  for (const subnet of subnetKeys(record)) {
    const now = (getEntry(state.subnetCounts, subnet) ?? 0) + by
    state.subnetCounts = now > 0 ? setEntry(state.subnetCounts, subnet, now) : deleteEntry(state.subnetCounts, subnet)
  }
}

/** A member that this node chose to dial has room: one of its subnet that has no link here gives way. */
function hasRoom(tx: Tx, record: NodeRecord, invited: boolean): boolean {
  const { state } = tx
  const { tableMost, subnetQuota, privateMost } = state.config
  const full = (subnet: string) =>
    (getEntry(state.subnetCounts, subnet) ?? 0) >= (subnet === PRIVATE ? privateMost : subnetQuota)
  const subnet = [...subnetKeys(record)].find(full)
  if (subnet === undefined && state.members.size < tableMost) return true
  if (!invited) return false
  for (const member of valuesOf(state.members)) {
    const { short } = member
    if (short === state.self.short || state.linkOf.has(short)) continue
    if (subnet !== undefined && !subnetKeys(member.record).has(subnet)) continue
    remove(tx, short, 'overSubnetQuota')
    return true
  }
  return false
}
