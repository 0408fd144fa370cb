import type { NodeId } from '../../protocol/ids.ts'
import { neighbourhoodOf } from '../../protocol/net/neighbourhood.ts'
import { type SignedRecord, shortOf } from '../../protocol/wire/record.ts'
import { take } from './allowance.ts'
import type { Dial, Link } from './gossipState.ts'
import { crowdOf, crowdOfLinks, hangUp } from './membership.ts'
import { keyOf, look, sample } from './shards.ts'
import { draw, isLasting, lasting, linkTo, putLink, type Turn } from './turn.ts'

/**
 * Which links a node has: a bounded random few that last, however large the network, and short visits to members it has
 * no link to, which find ghosts, mend what had split and let newcomers in.
 */

/** Dials at one time to fill up lasting links: enough to be connected in a second, few enough to choose well. */
const PARALLEL_DIALS = 3

/** A node that nobody wants to keep a link with still looks for one this often. */
const LONGEST_PAUSE_MS = 30_000

/** Tries to draw a member that fits before this round gives up. */
const DRAWS = 16

/** A node with fewer lasting links than this is let in even where all places are taken. */
const NEEDY_LINKS = 3

/** Whether this member may be dialled now. `urgent`: on this node's own word, so not held back by `redialMs`. */
export function canDial(turn: Turn, { short, record }: SignedRecord, urgent = false): boolean {
  const { state } = turn
  if (short === state.self.short || record.addresses.length === 0 || linkTo(turn, short)) return false
  if ((state.banned.get(short) ?? 0) > turn.now || record.left) return false
  for (const { target } of state.dials.values()) if (target === short) return false
  return mayDial(turn, record.addresses, urgent)
}

export function dial(
  turn: Turn,
  { short, record }: SignedRecord,
  { keep, urgent }: { keep: boolean; urgent: boolean },
): void {
  // A death is decided in seconds, so a look does not wait as long as a link that is to last.
  start(turn, { target: short, keep }, record.addresses, urgent ? turn.state.config.dialTimeoutMs : 5_000, record.id)
}

/** Each round: closes what neither end needs, looks for links, visits one member now and then, tries the departed. */
export function tendLinks(turn: Turn): void {
  closeVisits(turn)
  const { state, now } = turn
  const { config } = state
  const kept = lasting(turn)
  const chosen = kept.filter(({ dialled }) => dialled).length
  const coming = state.dials.values().filter(({ keep }) => keep).length
  const wanted = Math.max(config.linksWanted - kept.length, config.linksChosen - chosen) - coming
  for (let dials = 0; now >= state.nextLinkAt && dials < Math.min(wanted, PARALLEL_DIALS - coming); dials += 1) {
    const member = drawMember(turn)
    if (!member) break
    dial(turn, member, { keep: true, urgent: false })
  }
  if (now >= state.nextVisitAt) {
    state.nextVisitAt = now + config.ephemeralEveryMs * (0.75 + draw(turn) / 2)
    const member = drawMember(turn)
    if (member) dial(turn, member, { keep: false, urgent: false })
  }
  retry(turn)
}

/** Whether no link lasts and none is on the way: then ways in are tried often. */
export function isLonely({ state }: Turn): boolean {
  if (state.dials.size > 0) return false
  for (const link of state.links.values()) if (isLasting(link)) return false
  return true
}

/**
 * Whether an accepted link may last: its neighbourhood and the places for accepted ones have room, or its other end needs
 * one and comes from a neighbourhood with fewer members than that of a link which then gives way. So invented nodes, many
 * to an address, only ever push out each other, and nobody can surround a node.
 */
export function accepts(turn: Turn, neighbourhood: string, links: number): boolean {
  const { config } = turn.state
  if (crowdOfLinks(turn, neighbourhood) >= config.linksPerSubnet) return false
  const accepted = lasting(turn).filter(({ dialled }) => !dialled)
  if (accepted.length < config.linksMost - config.linksChosen) return true
  if (links >= NEEDY_LINKS) return false
  const crowd = (name: string) => look(turn.state.crowds, keyOf(name)) ?? 0
  const weary = accepted.reduce((one, other) => (crowd(other.neighbourhood) > crowd(one.neighbourhood) ? other : one))
  if (crowd(weary.neighbourhood) <= crowd(neighbourhood)) return false
  putLink(turn, { ...weary, mine: false })
  return true
}

function closeVisits(turn: Turn): void {
  const { state, now } = turn
  for (const link of state.links.values()) {
    if (isLasting(link) && link.greeted) continue
    // Whoever dialled ends the visit; the other end waits in case that one does not.
    const patience = state.config.ephemeralMs * (link.dialled || !link.greeted ? 1 : 3)
    if (now - link.openedAt <= patience || isBusy(turn, link)) continue
    // Turned down: the places are taken, so looking for one goes slower and slower.
    if (link.dialled && link.mine) {
      state.linkPauseMs = Math.min(LONGEST_PAUSE_MS, 2 * state.linkPauseMs)
      state.nextLinkAt = now + state.linkPauseMs
    }
    hangUp(turn, link, 'visit')
  }
}

function isBusy({ state }: Turn, { peer, missing }: Link): boolean {
  if (missing.length > 0) return true
  for (const probe of state.probes.values()) if (probe.target === peer) return true
  return false
}

/** A member to link to, each neighbourhood as likely as any other, however many ids it has. */
function drawMember(turn: Turn): SignedRecord | undefined {
  const { state } = turn
  for (let tries = 0; tries < DRAWS; tries += 1) {
    const member = sample(state.members, () => draw(turn))
    if (!member || state.doubts.has(member.short) || !canDial(turn, member)) continue
    const place = neighbourhoodOf(member.record.addresses[0])
    if (crowdOfLinks(turn, place.name) >= state.config.linksPerSubnet) continue
    const crowd = place.private ? 1 : (look(state.crowds, crowdOf(place)) ?? 1)
    if (draw(turn) * crowd < 1) return member
  }
  return undefined
}

/** Dials somebody who is not a member now: departed, or given by the owner or a file. Often while there is no link. */
export function retry(turn: Turn): void {
  const { state, now } = turn
  const { config } = state
  if (now < state.nextRetryAt) return
  const lonely = isLonely(turn)
  state.lonelyMs = lonely ? Math.min(config.isolatedRetryMs, 2 * state.lonelyMs) : config.isolatedFirstMs
  state.nextRetryAt = now + (lonely ? state.lonelyMs : config.retryMs)
  const grave = sample(state.graves, () => draw(turn))
  const unknown = state.meetings.filter(({ id }) => !id || !look(state.members, shortOf(id)))
  const meeting = unknown[Math.floor(draw(turn) * unknown.length)]
  const useGrave = grave && !grave.signed.record.left && (!meeting || draw(turn) < 0.5)
  if (useGrave && canDial(turn, grave.signed, lonely)) dial(turn, grave.signed, { keep: true, urgent: false })
  else if (meeting && mayDial(turn, meeting.addresses, true))
    start(turn, { target: undefined, keep: true }, meeting.addresses, 5_000, meeting.id)
}

function mayDial({ state, now }: Turn, addresses: readonly string[], urgent: boolean): boolean {
  const { config } = state
  if (state.links.size + state.dials.size >= config.socketsMost) return false
  if (take(state.dialAllowance, now, 1, config.dialsPerSecond)[0] === 0) return false
  return urgent || (state.dialled.get(addresses[0] ?? '') ?? Number.NEGATIVE_INFINITY) + config.redialMs <= now
}

function start(turn: Turn, entry: Dial, addresses: readonly string[], timeoutMs: number, id?: NodeId): void {
  const { state, now, effects } = turn
  state.dialAllowance = take(state.dialAllowance, now, 1, state.config.dialsPerSecond)[1]
  state.dialCount += 1
  const link = `d${state.dialCount}`
  state.dials = state.dials.with(link, entry)
  state.dialled = state.dialled.with(addresses[0] ?? '', now)
  effects.push({ type: 'dial', link, addresses, hearsay: entry.target !== undefined, timeoutMs, ...(id && { id }) })
}
