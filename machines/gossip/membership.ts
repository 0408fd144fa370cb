import { type Neighbourhood, neighbourhoodOf } from '../../protocol/net/neighbourhood.ts'
import type { NodeRecord, ShortId, SignedRecord } from '../../protocol/wire/record.ts'
import { type Draft, type Link, signOwn } from './gossipState.ts'
import { all, cut, keyOf, look, noShards, put, sample } from './shards.ts'
import { draw, isLasting, linkTo, putLink, say, send, type Turn } from './turn.ts'

/**
 * Who is a member. A record enters because its author signed it, is newer than what was known, and its neighbourhood
 * has room. A departed author comes back only by a newer record or by answering this node itself.
 */

const PRIVATE = '-'

/** Own records from elsewhere after which another node must be using this key. */
const TWINS = 3

/** Least time until the own word is said again. */
export function denyPause({ twins, config }: Pick<Draft, 'twins' | 'config'>): number {
  return Math.min(config.twinRefuteIntervalMs, config.refuteIntervalMs * 2 ** Math.max(0, Math.min(twins - TWINS, 20)))
}

/** As far from its author as a record may say that it is. */
export const HOPS_MOST = 255

/**
 * `new` changed the table; all else left it as it was. `twin`: its author has used this seq twice, having lost its file;
 * it must hear of that, or two halves of the network would hold two texts for good.
 */
export type Verdict = 'new' | 'twin' | 'known' | 'buried' | 'forged' | 'crowded'

/** `from`: the link over which its author itself says so. */
export function learn(turn: Turn, signed: SignedRecord, from?: Link, hops = HOPS_MOST): Verdict {
  const { state, tools } = turn
  const { record, short } = signed
  if (short === state.self.short) return learnOwn(turn, signed)
  const known = look(state.members, short)
  if (known && (known.record.id !== record.id || known.record.seq > record.seq)) return 'known'
  if (known?.record.seq === record.seq) return known.text !== signed.text && tools.genuine(signed) ? 'twin' : 'known'
  const grave = look(state.graves, short)
  const answers = from?.peer === short
  const invited = answers && from.dialled
  if (grave && (grave.signed.record.seq > record.seq || (grave.signed.record.seq === record.seq && !answers)))
    return 'buried'
  if (!known && look(state.declined, short) === record.seq && !invited) return 'crowded'
  if (!tools.genuine(signed)) return 'forged'
  if (record.left) {
    bury(turn, short, 'left', signed)
    remember(turn, short, hops)
    return 'new'
  }
  if (!known && !hasRoom(turn, record, invited)) {
    state.declined = put(state.declined.size > state.config.tableMost ? noShards() : state.declined, short, record.seq)
    return 'crowded'
  }
  if (known) count(turn, known.record, -1)
  count(turn, record, 1)
  state.members = put(state.members, short, signed)
  state.graves = cut(state.graves, short)
  if (state.doubts.has(short)) {
    state.doubts = state.doubts.without(short)
    say(turn, { type: 'record.cleared', id: record.id })
  }
  state.vouched = state.vouched.without(short)
  remember(turn, short, hops)
  say(turn, { type: 'record.learned', record })
  return 'new'
}

/** Takes a member out. `signed` where a newer record is the reason. */
export function bury(turn: Turn, short: ShortId, why: 'left' | 'silent' | 'crowded', signed?: SignedRecord): void {
  const { state } = turn
  const known = look(state.members, short)
  const last = signed ?? known
  if (last && why !== 'crowded') {
    if (state.graves.size >= state.config.tombstonesMost) dig(turn)
    state.graves = put(state.graves, short, { signed: last, at: turn.now })
  }
  if (known) {
    state.members = cut(state.members, short)
    count(turn, known.record, -1)
    say(turn, { type: 'record.dropped', id: known.record.id, why })
  }
  state.doubts = state.doubts.without(short)
  for (const probe of state.probes.values())
    if (probe.target === short && !probe.errand) state.probes = state.probes.without(probe.nonce)
  const link = linkTo(turn, short)
  if (link) hangUp(turn, link, why)
}

/** Signs a new version of the own record. */
export function author(turn: Turn, change: Partial<NodeRecord> = {}): SignedRecord {
  const { state, tools } = turn
  const { record } = state.self
  const seq = Math.max(record.seq, state.denySeq) + 1
  const self = signOwn({ ...record, ...change, seq }, tools.sign)
  state.self = self
  state.denySeq = 0
  state.members = put(state.members, self.short, self)
  remember(turn, self.short, 0)
  const { text, signature } = self
  say(turn, { type: 'record.authored', record: self.record, signed: { text, signature } })
  return self
}

/** The newest record known of it, alive or not. */
export function newestOf({ state }: Turn, short: ShortId): SignedRecord | undefined {
  return look(state.members, short) ?? look(state.graves, short)?.signed
}

/** Says goodbye and closes. */
export function hangUp(turn: Turn, link: Link, why: string): void {
  send(turn, link.id, { kind: 'link/bye', body: { why } })
  turn.effects.push({ type: 'hangUp', link: link.id })
  forget(turn, link, why)
}

/** The link is gone, whoever closed it. */
export function forget(turn: Turn, link: Link, why: string): void {
  const { state } = turn
  state.links = state.links.without(link.id)
  if (state.linkOf.get(link.peer) === link.id) state.linkOf = state.linkOf.without(link.peer)
  say(turn, { type: 'link.closed', link: link.id, id: link.nodeId, why })
}

/** A peer that breaks the rules again and again is sent away for a while. */
export function strike(turn: Turn, link: Link, why: string): void {
  const { state, now } = turn
  const present = state.links.get(link.id)
  if (!present) return
  const strikes = present.strikes + 1
  if (strikes < state.config.penaltiesMost) {
    putLink(turn, { ...present, strikes })
    return
  }
  state.banned = state.banned.with(link.peer, now + state.config.banMs)
  say(turn, { type: 'gossip.banned', id: link.nodeId, why })
  hangUp(turn, present, 'banned')
}

/** Lasting links into each neighbourhood. */
export function crowdOfLinks({ state }: Turn, neighbourhood: string): number {
  let count = 0
  for (const link of state.links.values()) if (isLasting(link) && link.neighbourhood === neighbourhood) count += 1
  return count
}

/** A copy of the own record from elsewhere with a seq not below the present one: an earlier life, or a twin. */
function learnOwn(turn: Turn, signed: SignedRecord): Verdict {
  const { state, tools } = turn
  const { record } = state.self
  if (signed.record.seq < record.seq || signed.text === state.self.text) return 'known'
  if (!tools.genuine(signed)) return 'forged'
  if (signed.record.seq > state.denySeq) {
    // The first is an earlier life of this node. Those that answer what this life says come from somebody who lives.
    state.twins += 1
    if (state.twins === TWINS) say(turn, { type: 'gossip.twin', addresses: signed.record.addresses })
  }
  state.denySeq = Math.max(state.denySeq, signed.record.seq)
  return 'known'
}

function remember({ state, now }: Turn, short: ShortId, hops: number): void {
  state.recent = [{ short, at: now, hops }, ...state.recent.filter((each) => each.short !== short)].slice(0, 64)
}

/** Forgets one of the departed to remember another: the older of a few. */
function dig(turn: Turn): void {
  const { state } = turn
  const few = Array.from({ length: 8 }, () => sample(state.graves, () => draw(turn)))
  const oldest = few.reduce((one, other) => (other && one && other.at < one.at ? other : one))
  if (oldest) state.graves = cut(state.graves, oldest.signed.short)
}

/** The key in `crowds`. All private places are one: there a crowd is no sign of one hand. */
export function crowdOf(place: Neighbourhood): string {
  return place.private ? PRIVATE : keyOf(place.name)
}

function crowdsOf(record: NodeRecord): ReadonlySet<string> {
  const known = crowds.get(record)
  if (known) return known
  const places = record.addresses.map(neighbourhoodOf)
  const made = new Set(places.length > 0 ? places.map(crowdOf) : [PRIVATE])
  crowds.set(record, made)
  return made
}

/** Records never change, and what follows from their addresses is asked at every change of the table. */
const crowds = new WeakMap<NodeRecord, ReadonlySet<string>>()

function count({ state }: Turn, record: NodeRecord, by: number): void {
  for (const crowd of crowdsOf(record)) {
    const now = (look(state.crowds, crowd) ?? 0) + by
    state.crowds = now > 0 ? put(state.crowds, crowd, now) : cut(state.crowds, crowd)
  }
}

/** Whom this node chose to dial has room: one of its crowd that has no link here gives way. */
function hasRoom(turn: Turn, record: NodeRecord, invited: boolean): boolean {
  const { state } = turn
  const { tableMost, subnetQuota, privateMost } = state.config
  const full = (crowd: string) => (look(state.crowds, crowd) ?? 0) >= (crowd === PRIVATE ? privateMost : subnetQuota)
  const crowd = [...crowdsOf(record)].find(full)
  if (crowd === undefined && state.members.size < tableMost) return true
  if (!invited) return false
  for (const member of all(state.members)) {
    const { short } = member
    if (short === state.self.short || state.linkOf.has(short)) continue
    if (crowd !== undefined && !crowdsOf(member.record).has(crowd)) continue
    bury(turn, short, 'crowded')
    return true
  }
  return false
}
