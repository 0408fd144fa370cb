import type { WireBody, WireKind, WireMessage } from '../../protocol/wire/gossip.ts'
import { detect, hearDoubts, hearPing, hearReport, hearRequest, lives, lookAt } from './failureDetector.ts'
import type { GossipEffect, GossipEvent, GossipState, Link, Tools } from './gossipState.ts'
import { closed, failed, hearHello, open } from './linkEvents.ts'
import { author, denyPause, hangUp, strike } from './membership.ts'
import { isLonely, retry, tendLinks } from './overlay.ts'
import { cut, sample } from './shards.ts'
import {
  askFor,
  compare,
  deny,
  forgetWishes,
  hearBuckets,
  hearEntries,
  hearRecords,
  hearWant,
  publish,
  push,
} from './spread.ts'
import { nextHealth } from './suspicion.ts'
import { draw, lasting, putLink, sendHints, type Turn, takeTurn } from './turn.ts'

/** Deadlines are met to this, so that many of them cost few ticks. */
const TOGETHER_MS = 50

/** How exactly it is noted when a link last spoke. */
const HEARD_STEP_MS = 250

/** How long records known to be missing wait until the peer may be asked for more. */
const ASK_AGAIN_MS = 250

/**
 * One event into the next state and what is to be done. Pure: time comes with the event, chance from the state, keys and
 * hashes through `tools`. A tick is due at `state.dueAt`; one that comes early does no harm.
 */
export function stepGossip(
  before: GossipState,
  event: GossipEvent,
  tools: Tools,
): { state: GossipState; effects: readonly GossipEffect[] } {
  if (before.left) return { state: before, effects: [] }
  const turn = takeTurn(before, event.at, tools)
  if (event.at - before.dueAt > before.config.stallMs) wakeUp(turn, event.at - before.dueAt)
  handle(turn, event)
  if (event.at >= turn.state.dueAt) tick(turn)
  sendHints(turn)
  turn.state.dueAt = dueAt(turn)
  return { state: turn.state, effects: turn.effects }
}

function handle(turn: Turn, event: GossipEvent): void {
  const { state } = turn
  const link = 'link' in event ? state.links.get(event.link) : undefined
  if (event.type === 'opened') open(turn, event)
  else if (event.type === 'closed') closed(turn, event.link)
  else if (event.type === 'failed') failed(turn, event.link, event.refused)
  else if (event.type === 'heard' && link) hear(turn, link, event.message)
  else if (event.type === 'garbled' && link) strike(turn, link, 'it sends what cannot be read')
  else if (event.type === 'met') meet(turn, event)
  else if (event.type === 'leaving') leave(turn)
  else if (event.type === 'reworded') publish(turn, event.words)
}

/** What each kind of message does. `link` is as it stands after the message was counted as a sign of life. */
const hearing: { readonly [K in WireKind]: (turn: Turn, link: Link, body: WireBody<K>) => void } = {
  'link/hello': hearHello,
  'link/bye': (turn, link, { why }) => {
    putLink(turn, { ...link, bye: why || 'bye', mine: false })
  },
  'probe/ping': (turn, link, body) => {
    const present = heartbeatOf(turn, link, body)
    compare(turn, present, body, false)
    hearPing(turn, turn.state.links.get(link.id) ?? present, body)
  },
  'probe/ack': (turn, link, body) => compare(turn, heartbeatOf(turn, link, body), body, true),
  'probe/request': hearRequest,
  'probe/report': (turn, _link, body) => hearReport(turn, body),
  'probe/doubt': hearDoubts,
  'table/records': hearRecords,
  'table/want': hearWant,
  'table/buckets': hearBuckets,
  'table/entries': hearEntries,
}

function hear(turn: Turn, known: Link, { kind, body }: WireMessage): void {
  const { now } = turn
  const link = now - known.heardAt < HEARD_STEP_MS ? known : putLink(turn, { ...known, heardAt: now })
  lives(turn, link.peer)
  const handler = hearing[kind] as (turn: Turn, link: Link, body: unknown) => void
  handler(turn, link, body)
}

function meet(turn: Turn, { addresses, id }: Extract<GossipEvent, { type: 'met' }>): void {
  const { state, now } = turn
  state.meetings = [...state.meetings.slice(1 - state.config.tableMost), { addresses, ...(id && { id }) }]
  state.nextRetryAt = now
  state.nextRoundAt = Math.min(state.nextRoundAt, now)
}

function heartbeatOf(turn: Turn, link: Link, { root, keep }: { root: string; keep: boolean }): Link {
  return link.root === root && link.theirs === keep ? link : putLink(turn, { ...link, root, theirs: keep })
}

function tick(turn: Turn): void {
  const { state, now } = turn
  detect(turn)
  deny(turn)
  forgetWishes(turn)
  for (const link of state.links.values()) if (link.missing.length > 0) askFor(turn, link)
  if (isLonely(turn)) retry(turn)
  if (now < state.nextRoundAt) return
  state.nextRoundAt = now + state.config.roundMs * (0.95 + draw(turn) / 10)
  forgetOld(turn)
  contact(turn)
  tendLinks(turn)
}

/**
 * Compares tables with the links that were silent longest, which is the probe of them too. As either end's word counts
 * for both, every link speaks twice as often as in SWIM's round robin, and the silent one is found in half the time.
 */
function contact(turn: Turn): void {
  const rest = lasting(turn)
  for (let looks = 0; looks < turn.state.config.contacts && rest.length > 0; looks += 1) {
    let silent = 0
    for (let at = 1; at < rest.length; at += 1)
      if ((rest[at] as Link).heardAt < (rest[silent] as Link).heardAt) silent = at
    for (const { peer } of rest.splice(silent, 1)) lookAt(turn, peer)
  }
}

function forgetOld({ state, now }: Turn): void {
  const { config } = state
  if (state.recent.some(({ at }) => at + config.recentMs < now))
    state.recent = state.recent.filter(({ at }) => at + config.recentMs >= now)
  state.vouched = state.vouched.filter(({ until }) => until > now)
  state.hollow = state.hollow.filter((until) => until > now)
  state.banned = state.banned.filter((until) => until > now)
  state.dialled = state.dialled.filter((at) => at + config.redialMs > now)
  const grave = sample(state.graves, () => (now * 0.618_034) % 1)
  if (grave && grave.at + config.tombstonesMs < now) state.graves = cut(state.graves, grave.signed.short)
}

/** This process stood still: what others seemed to miss meanwhile, it missed itself. */
function wakeUp({ state }: Turn, lateMs: number): void {
  const later = (at: number) => at + lateMs
  state.probes = state.probes.map((each) => ({ ...each, deadline: later(each.deadline) }))
  state.doubts = state.doubts.map((each) => ({
    ...each,
    since: later(each.since),
    lookAt: later(each.lookAt),
    endsAt: later(each.endsAt),
  }))
  state.health = nextHealth(state.health, 1, state.config.localHealthMost)
}

/** A signed farewell, so that nobody need suspect this node. */
function leave(turn: Turn): void {
  const farewell = author(turn, { left: true })
  push(turn, [farewell], 0, undefined, true)
  for (const link of turn.state.links.values()) hangUp(turn, link, 'leaving')
  turn.state.left = true
}

function dueAt(turn: Turn): number {
  const { state, now } = turn
  let due = state.nextRoundAt
  for (const { deadline } of state.probes.values()) due = Math.min(due, deadline)
  for (const { lookAt, endsAt } of state.doubts.values()) due = Math.min(due, lookAt, endsAt)
  if (state.denySeq >= state.self.record.seq) due = Math.min(due, state.deniedAt + denyPause(state))
  if (isLonely(turn)) due = Math.min(due, state.nextRetryAt)
  for (const { missing } of state.links.values()) if (missing.length > 0) due = Math.min(due, now + ASK_AGAIN_MS)
  // What is due within a few milliseconds is done together.
  return Math.max(now, Math.min(state.nextRoundAt, Math.ceil(due / TOGETHER_MS) * TOGETHER_MS))
}
