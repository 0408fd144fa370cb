import type { WireBody, WireKind, WireMessage } from '../../protocol/wire/gossip.ts'
import { shortOf } from '../../protocol/wire/record.ts'
import {
  detect,
  markAlive,
  onPing,
  onProbeReport,
  onProbeRequest,
  onSuspicions,
  probeMember,
} from './failureDetector.ts'
import type { GossipEffect, GossipEvent, GossipState, Link, Tools } from './gossipState.ts'
import { onClosed, onDialFailed, onHello, onOpened } from './linkEvents.ts'
import { isActiveThere, saidGoodbye, withActiveThere } from './linkPhase.ts'
import { closeLink, penalize, refuteInterval, signOwnRecord } from './membership.ts'
import { isIsolated, maintainLinks, retry } from './overlay.ts'
import { renewMembers } from './renewal.ts'
import { deleteEntry, sample } from './shardedMap.ts'
import {
  compare,
  expireRequests,
  onBuckets,
  onRecords,
  onTableRequest,
  onVersions,
  publish,
  push,
  refute,
  requestMissing,
} from './spread.ts'
import { nextLocalHealth } from './suspicion.ts'
import { activeLinks, beginTx, random, sendSuspicions, setLink, type Tx } from './tx.ts'

/** Deadlines are rounded up to a multiple of this, so that one tick serves many of them. */
const COALESCE_MS = 50

/** Resolution of `receivedAt`. */
const RECEIVED_STEP_MS = 250

/** Delay before missing records that could not be requested yet are tried again. */
const REQUEST_AGAIN_MS = 250

/**
 * Applies one event and returns the next state with the effects to perform. The function is pure: time comes with the event,
 * random numbers come from the state, keys and hashes from `tools`. The next tick is due at `state.dueAt`; an early one is
 * harmless.
 */
export function stepGossip(
  before: GossipState,
  event: GossipEvent,
  tools: Tools,
): { state: GossipState; effects: readonly GossipEffect[] } {
  if (before.left) return { state: before, effects: [] }
  const tx = beginTx(before, event.at, tools)
  if (event.at - before.dueAt > before.config.stallMs) compensateStall(tx, event.at - before.dueAt)
  handle(tx, event)
  // What comes from a link is followed by more, and a tick in between could miss an answer that waits in the same queue.
  if (!('link' in event) && event.at >= tx.state.dueAt) tick(tx)
  sendSuspicions(tx)
  tx.state.dueAt = dueAt(tx)
  return { state: tx.state, effects: tx.effects }
}

function handle(tx: Tx, event: GossipEvent): void {
  const { state } = tx
  const link = 'link' in event ? state.links.get(event.link) : undefined
  if (event.type === 'opened') onOpened(tx, event)
  else if (event.type === 'closed') onClosed(tx, event.link)
  else if (event.type === 'failed') onDialFailed(tx, event)
  else if (event.type === 'received' && link) onMessage(tx, link, event.message)
  else if (event.type === 'protocolError' && link) penalize(tx, link, 'it sent a message that cannot be decoded')
  else if (event.type === 'addressDiscovered') addBootstrapAddresses(tx, [event], { dial: true })
  // The seeds come in several facts. To dial again at each would double the waiting time as often.
  else if (event.type === 'seedsListed')
    addBootstrapAddresses(tx, event.seeds, { dial: state.bootstrapAddresses.length === 0 })
  else if (event.type === 'trustChanged') state.trusted = new Set(event.trusted.map(shortOf))
  else if (event.type === 'leaving') leave(tx)
  else if (event.type === 'recordUpdated') publish(tx, event.fields)
}

/** The handler of each kind of message. It is called after the message has been counted as a sign of life. */
const handlers: { readonly [K in WireKind]: (tx: Tx, link: Link, body: WireBody<K>) => void } = {
  'link/hello': onHello,
  'link/bye': (tx, link, { why }) => {
    setLink(tx, { ...link, ...saidGoodbye(link, why) })
  },
  'probe/ping': (tx, link, body) => {
    const present = heartbeatOf(tx, link, body)
    compare(tx, present, body, false)
    onPing(tx, tx.state.links.get(link.id) ?? present, body)
  },
  'probe/ack': (tx, link, body) => compare(tx, heartbeatOf(tx, link, body), body, true),
  'probe/request': onProbeRequest,
  'probe/report': (tx, _link, body) => onProbeReport(tx, body),
  'probe/suspect': onSuspicions,
  'table/records': onRecords,
  'table/request': onTableRequest,
  'table/buckets': onBuckets,
  'table/versions': onVersions,
}

function onMessage(tx: Tx, known: Link, { kind, body }: WireMessage): void {
  const { now } = tx
  const link = now - known.receivedAt < RECEIVED_STEP_MS ? known : setLink(tx, { ...known, receivedAt: now })
  markAlive(tx, link.peer)
  const handler = handlers[kind] as (tx: Tx, link: Link, body: unknown) => void
  handler(tx, link, body)
}

function addBootstrapAddresses(tx: Tx, seeds: GossipState['bootstrapAddresses'], { dial }: { dial: boolean }): void {
  const { state, now } = tx
  const added = seeds.map(({ endpoints, id }) => ({ endpoints, ...(id && { id }) }))
  state.bootstrapAddresses = [...state.bootstrapAddresses, ...added].slice(-state.config.maxMembers)
  if (!dial) return
  state.nextRetryAt = now
  state.nextRoundAt = Math.min(state.nextRoundAt, now)
}

function heartbeatOf(tx: Tx, link: Link, { root, active }: { root: string; active: boolean }): Link {
  if (isActiveThere(link) !== active) return setLink(tx, { ...link, ...withActiveThere(link, active), root })
  return link.root === root ? link : setLink(tx, { ...link, root })
}

function tick(tx: Tx): void {
  const { state, now } = tx
  detect(tx)
  refute(tx)
  expireRequests(tx)
  for (const link of state.links.values()) if (link.missing.length > 0) requestMissing(tx, link)
  if (isIsolated(tx)) retry(tx)
  if (now < state.nextRoundAt) return
  state.nextRoundAt = now + state.config.roundMs * (0.95 + random(tx) / 10)
  expireOld(tx)
  renewMembers(tx)
  probeLongestSilent(tx)
  maintainLinks(tx)
}

/**
 * Pings the active links that have been silent longest, which also compares tables with them. A message from either end
 * counts for both, so each link carries messages twice as often as with SWIM's round robin, which halves detection time.
 * While nothing happens, it carries fewer, so that an idle node sends less.
 */
function probeLongestSilent(tx: Tx): void {
  const rest = activeLinks(tx)
  const { probesPerRound, quietSilenceMs, quietSilencePerLinkMs } = tx.state.config
  const silenceMs = isQuiet(tx, rest) ? Math.max(quietSilenceMs, rest.length * quietSilencePerLinkMs) : 0
  for (let probes = 0; probes < probesPerRound && rest.length > 0; probes += 1) {
    let silent = 0
    for (let at = 1; at < rest.length; at += 1)
      if ((rest[at] as Link).receivedAt < (rest[silent] as Link).receivedAt) silent = at
    for (const { peer, receivedAt } of rest.splice(silent, 1))
      if (tx.now - receivedAt >= silenceMs) probeMember(tx, peer)
  }
}

/** Whether nothing has happened for a while and the linked tables are equal, so that no link needs to be pinged every round. */
function isQuiet({ state, tools }: Tx, links: readonly Link[]): boolean {
  if (state.recent.length > 0 || state.suspects.size > 0 || state.probes.size > 0) return false
  const root = tools.digest.root(state.members)
  return links.every((link) => link.root === root)
}

function expireOld({ state, now }: Tx): void {
  const { config } = state
  if (state.recent.some(({ at }) => at + config.recentMs < now))
    state.recent = state.recent.filter(({ at }) => at + config.recentMs >= now)
  state.recentlyConfirmed = state.recentlyConfirmed.filter(({ until }) => until > now)
  state.failedHandshakes = state.failedHandshakes.filter((until) => until > now)
  state.banned = state.banned.filter((until) => until > now)
  state.dialledAt = state.dialledAt.filter((at) => at + config.redialIntervalMs > now)
  const tombstone = sample(state.tombstones, () => (now * 0.618_034) % 1)
  if (tombstone && tombstone.at + config.tombstoneMs < now)
    state.tombstones = deleteEntry(state.tombstones, tombstone.signed.short)
}

/** Extends all deadlines after this process has stalled, because it could not receive answers meanwhile. */
function compensateStall({ state }: Tx, lateMs: number): void {
  const later = (at: number) => at + lateMs
  state.startedAt = later(state.startedAt)
  state.probes = state.probes.map((each) => ({ ...each, deadline: later(each.deadline) }))
  state.suspects = state.suspects.map((each) => ({
    ...each,
    since: later(each.since),
    probeAt: later(each.probeAt),
    endsAt: later(each.endsAt),
  }))
  state.localHealth = nextLocalHealth(state.localHealth, 1, state.config.maxLocalHealth)
}

/** Sends a signed farewell, so that nobody suspects this node. */
function leave(tx: Tx): void {
  const farewell = signOwnRecord(tx, { left: true })
  push(tx, [farewell], 0, undefined, true)
  for (const link of tx.state.links.values()) closeLink(tx, link, 'leaving')
  tx.state.left = true
}

function dueAt(tx: Tx): number {
  const { state, now } = tx
  let due = state.nextRoundAt
  for (const { deadline } of state.probes.values()) due = Math.min(due, deadline)
  for (const { probeAt, endsAt } of state.suspects.values()) due = Math.min(due, probeAt, endsAt)
  if (state.refuteSeq >= state.self.record.seq) due = Math.min(due, state.refutedAt + refuteInterval(state))
  if (isIsolated(tx)) due = Math.min(due, state.nextRetryAt)
  for (const { missing } of state.links.values()) if (missing.length > 0) due = Math.min(due, now + REQUEST_AGAIN_MS)
  return Math.max(now, Math.min(state.nextRoundAt, Math.ceil(due / COALESCE_MS) * COALESCE_MS))
}
