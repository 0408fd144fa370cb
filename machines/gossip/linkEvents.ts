import type { NodeId } from '../../protocol/ids.ts'
import { neighbourhoodOf } from '../../protocol/net/neighbourhood.ts'
import type { WireBody } from '../../protocol/wire/gossip.ts'
import { shortOf } from '../../protocol/wire/record.ts'
import { lives, lookAt, refused, suspect } from './failureDetector.ts'
import type { GossipEvent, Link } from './gossipState.ts'
import { forget, hangUp, learn, newestOf, strike } from './membership.ts'
import { accepts } from './overlay.ts'
import { look, sample } from './shards.ts'
import { compareDigests, deny, give, push } from './spread.ts'
import { draw, lasting, linkTo, putLink, say, send, type Turn } from './turn.ts'

/** A connection's life as the step sees it: opened, greeted, closed, or never come about. */

/** Members named to one who is turned away. */
const REFERRALS = 16

type Opened = Extract<GossipEvent, { type: 'opened' }>

export function open(turn: Turn, { link: id, id: nodeId, dialled, address }: Opened): void {
  const { state, now } = turn
  const dialEntry = state.dials.get(id)
  state.dials = state.dials.without(id)
  const peer = shortOf(nodeId)
  const keep = dialled && (dialEntry?.keep ?? false)
  const full = { at: now, left: 1 }
  const link: Link = {
    id,
    peer,
    nodeId,
    dialled,
    openedAt: now,
    heardAt: now,
    mine: keep,
    theirs: true,
    greeted: false,
    neighbourhood: placeOf(address, look(state.members, peer)?.record.addresses[0]),
    seen: address,
    root: '',
    syncAt: 0,
    settled: '',
    settledUntil: 0,
    missing: [],
    bye: '',
    strikes: 0,
    records: full,
    doubts: full,
    served: full,
    digests: full,
  }
  const isBanned = (state.banned.get(peer) ?? 0) > now
  const old = linkTo(turn, peer)
  // A way in that leads back to this node is none.
  if (nodeId === state.self.record.id)
    state.meetings = state.meetings.filter(({ addresses }) => !addresses.includes(address))
  if (nodeId === state.self.record.id || isBanned || (!old && state.links.size >= state.config.socketsMost)) {
    if (!isBanned) turnAway(turn, link)
    turn.effects.push({ type: 'hangUp', link: id })
    return
  }
  if (dialled && !dialEntry?.target)
    state.meetings = state.meetings.map((meeting) =>
      meeting.addresses.includes(address) ? { addresses: meeting.addresses, id: nodeId } : meeting,
    )
  say(turn, { type: 'link.opened', link: id, id: nodeId, dialled, address })
  if (old && old.dialled !== dialled && winner(state.self.record.id, nodeId) !== dialled) {
    // Both dialled at once: both ends keep the one that the smaller id dialled.
    hangUp(turn, link, 'twice')
    if (keep) putLink(turn, { ...old, mine: true })
    lives(turn, peer)
    return
  }
  if (old) hangUp(turn, old, 'twice')
  putLink(turn, old ? { ...link, mine: link.mine || old.mine } : link)
  state.linkOf = state.linkOf.with(peer, id)
  // Now that there is a link, whoever is doubted hears of it and can deny.
  lives(turn, peer)
  if (dialled) greet(turn, link)
}

export function hearHello(turn: Turn, link: Link, hello: WireBody<'link/hello'>): void {
  const { state, tools } = turn
  const signed = tools.read(...hello.record)
  if (!signed || signed.record.id !== link.nodeId) {
    strike(turn, link, 'its greeting is not its own')
    return
  }
  const verdict = learn(turn, signed, link, 1)
  if (verdict === 'forged') strike(turn, link, 'its greeting is not signed by it')
  if (verdict === 'forged') return
  const present = state.links.get(link.id)
  if (!present) return
  const place = placeOf(link.seen, signed.record.addresses[0])
  const mine = link.dialled ? link.mine : hello.keep && (link.mine || accepts(turn, place, hello.links))
  const greeted = putLink(turn, {
    ...present,
    greeted: true,
    theirs: hello.keep,
    mine,
    neighbourhood: place,
    root: hello.root,
  })
  if (!link.dialled && !link.greeted) greet(turn, greeted)
  if (link.dialled && hello.keep) state.linkPauseMs = state.config.roundMs
  if (hello.seen) say(turn, { type: 'gossip.seen', address: hello.seen, by: link.nodeId })
  const newest = newestOf(turn, link.peer)
  if (newest && newest.record.seq > signed.record.seq) give(turn, greeted, [newest])
  if (verdict === 'new') push(turn, [signed], 1, link.id)
  deny(turn)
  const now = state.links.get(link.id)
  if (link.dialled && now && hello.root !== tools.digest.root(state.members)) compareDigests(turn, now)
}

/** A closed socket is a hint: its node may have died, or not. So look at once. */
export function closed(turn: Turn, id: string): void {
  const { state, now } = turn
  const link = state.links.get(id)
  if (!link) return
  forget(turn, link, link.bye || 'lost')
  if (link.bye !== '' || !look(state.members, link.peer)) return
  // What was under way over this link will get no answer.
  for (const probe of state.probes.values())
    if (probe.target === link.peer && !probe.errand) state.probes = state.probes.without(probe.nonce)
  const isHollow = link.dialled && !link.greeted
  // Once may be bad luck. One that does so again is not helped by another dial, and could have this node dial without end.
  if (isHollow && (state.hollow.get(link.peer) ?? 0) > now) suspect(turn, link.peer, 'failed')
  else lookAt(turn, link.peer)
  if (isHollow) state.hollow = state.hollow.with(link.peer, now + state.config.redialMs)
}

export function failed(turn: Turn, id: string, wasRefused: boolean): void {
  const { state } = turn
  const entry = state.dials.get(id)
  state.dials = state.dials.without(id)
  if (!entry?.target || !look(state.members, entry.target) || linkTo(turn, entry.target)) return
  if (wasRefused) refused(turn, entry.target)
  else lookAt(turn, entry.target)
}

function greet(turn: Turn, link: Link): void {
  const { state, tools } = turn
  const { text, signature } = state.self
  const root = tools.digest.root(state.members)
  const links = lasting(turn).length
  // Where it comes from, as only this end can know; where it was dialled it knows itself.
  const seen = !link.dialled && link.seen !== '' && link.seen.length <= 64 && { seen: link.seen }
  send(turn, link.id, {
    kind: 'link/hello',
    body: { record: [text, signature], root, keep: link.mine, links, ...seen },
  })
}

/** Where a peer is: by the socket's own word where that is public, since a record may claim anything. */
function placeOf(seen: string, claimed: string | undefined): string {
  const place = neighbourhoodOf(seen)
  return place.private ? neighbourhoodOf(claimed).name : place.name
}

/** No room here: a few members to try instead, so that a newcomer who knows only this node gets in. */
function turnAway(turn: Turn, link: Link): void {
  const members = Array.from({ length: REFERRALS }, () => sample(turn.state.members, () => draw(turn)))
  give(turn, link, [...new Set(members.filter((signed) => signed !== undefined))])
  send(turn, link.id, { kind: 'link/bye', body: { why: 'full' } })
}

/** Whether the link that this end dialled is the one to keep. */
function winner(own: NodeId, other: NodeId): boolean {
  return own < other
}
