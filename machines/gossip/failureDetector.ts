import type { WireBody } from '../../protocol/wire/gossip.ts'
import type { ShortId } from '../../protocol/wire/record.ts'
import { take } from './allowance.ts'
import type { Doubt, Link, Probe } from './gossipState.ts'
import { bury } from './membership.ts'
import { canDial, dial } from './overlay.ts'
import { look } from './shards.ts'
import { deny, give, heartbeat } from './spread.ts'
import { nextHealth, suspicionMs, wantedConfirmations } from './suspicion.ts'
import {
  draw,
  type Hint,
  hint,
  isLasting,
  lasting,
  linkTo,
  nonceOf,
  pick,
  putLink,
  say,
  send,
  type Turn,
} from './turn.ts'

/**
 * Who is dead (SWIM with suspicion and Lifeguard's local health). Suspicion is hearsay: it spreads as a hint, shortens
 * nothing but waiting, and makes every node look for itself. Nobody is dropped here who answered here, and a suspect
 * that lives denies it with a newer record, which ends every suspicion of the older one.
 */

/** How often a suspect is looked at again until its time is up. */
const LOOK_AGAIN_MS = 1_200

/**
 * Looks at a member: over the link, or by dialling it. Any word from it is an answer. Others are asked to look too where
 * nobody doubts it yet: once it is doubted, each looks for itself anyway.
 */
export function lookAt(turn: Turn, target: ShortId, errand?: Probe['errand']): void {
  const { state, now } = turn
  for (const probe of state.probes.values()) if (probe.target === target && !probe.errand === !errand) return
  const link = linkTo(turn, target)
  const nonce = nonceOf(turn)
  const probe: Probe = { nonce, target, startedAt: now, deadline: 0, stage: 'direct', asked: 0, reports: 0, errand }
  if (link) {
    const deadline = now + patience(turn, state.config.pingTimeoutMs)
    state.probes = state.probes.with(nonce, { ...probe, deadline })
    send(turn, link.id, { kind: 'probe/ping', body: heartbeat(turn, link, nonce) })
    return
  }
  const member = look(state.members, target)
  const dials = member !== undefined && canDial(turn, member, true)
  if (dials) dial(turn, member, { urgent: true, keep: false })
  const asked = errand || (dials && state.doubts.has(target)) ? 0 : askMediators(turn, target, nonce)
  const deadline = now + patience(turn, state.config.dialTimeoutMs)
  state.probes = state.probes.with(nonce, { ...probe, asked, deadline, stage: 'indirect' })
}

/** `short` lives: it has just spoken to this node. */
export function lives(turn: Turn, short: ShortId): void {
  const { state } = turn
  for (const probe of state.probes.values()) if (probe.target === short) succeed(turn, probe)
  const doubt = state.doubts.get(short)
  if (doubt) clear(turn, doubt)
}

export function hearPing(turn: Turn, link: Link, { nonce }: WireBody<'probe/ping'>): void {
  send(turn, link.id, { kind: 'probe/ack', body: heartbeat(turn, link, nonce) })
}

/** Looks on behalf of another, and reports either way: silence would say that this node is in trouble. */
export function hearRequest(turn: Turn, link: Link, { nonce, target }: WireBody<'probe/request'>): void {
  const { state } = turn
  if (target === state.self.short || !look(state.members, target)) report(turn, link.id, nonce, false)
  else lookAt(turn, target, { link: link.id, nonce })
}

/** The word of a third node: enough to stop this node's own suspicion, which others may still have. */
export function hearReport(turn: Turn, { nonce, alive }: WireBody<'probe/report'>): void {
  const { state } = turn
  const probe = state.probes.get(nonce)
  if (!probe) return
  if (!alive) {
    state.probes = state.probes.with(nonce, { ...probe, reports: probe.reports + 1 })
    return
  }
  succeed(turn, probe)
  const doubt = state.doubts.get(probe.target)
  if (doubt) clear(turn, doubt)
}

export function hearDoubts(turn: Turn, link: Link, { doubts }: WireBody<'probe/doubt'>): void {
  const { state, now } = turn
  const { suspicionsPerSecond } = state.config
  const [had, rest] = take(link.doubts, now, doubts.length, suspicionsPerSecond, suspicionsPerSecond * 5)
  putLink(turn, { ...link, doubts: rest })
  for (const [target, seq, by] of doubts.slice(0, had)) hearDoubt(turn, link, target, seq, by)
  deny(turn)
}

/** What this node's own look has given: it takes part in the suspicion, and says so. */
export function suspect(turn: Turn, target: ShortId, own: 'failed' | 'refused'): void {
  const { state, now } = turn
  const { self, config } = state
  const member = look(state.members, target)
  if (!member || target === self.short) return
  const known = state.doubts.get(target)
  const says = !known || (!known.by.includes(self.short) && known.by.length < config.confirmations + 1)
  if (!known) say(turn, { type: 'record.doubted', id: member.record.id })
  hold(turn, {
    target,
    seq: member.record.seq,
    since: known?.since ?? now,
    by: says ? [...(known?.by ?? []), self.short] : (known?.by ?? []),
    own: known?.own === 'refused' ? 'refused' : own,
    lookAt: now + LOOK_AGAIN_MS,
    endsAt: 0,
  })
  state.vouched = state.vouched.without(target)
  if (says) passOn(turn, target, member.record.seq, self.short)
}

/** What is due: looks without an answer, suspects to look at again, suspects whose time is up. */
export function detect(turn: Turn): void {
  const { state, now } = turn
  for (const probe of state.probes.values()) if (now >= probe.deadline) expire(turn, probe)
  for (const doubt of state.doubts.values()) {
    if (now >= doubt.endsAt) {
      const endsAt = deathAt(turn, doubt)
      if (now >= endsAt) bury(turn, doubt.target, 'silent')
      else state.doubts = state.doubts.with(doubt.target, { ...doubt, endsAt })
    } else if (now >= doubt.lookAt) {
      state.doubts = state.doubts.with(doubt.target, { ...doubt, lookAt: now + LOOK_AGAIN_MS })
      lookAt(turn, doubt.target)
    }
  }
}

/** The address itself said no: the machine answers, the node does not. */
export function refused(turn: Turn, target: ShortId): void {
  const { state } = turn
  for (const probe of state.probes.values()) {
    if (probe.target !== target) continue
    state.probes = state.probes.without(probe.nonce)
    if (probe.errand) report(turn, probe.errand.link, probe.errand.nonce, false)
  }
  suspect(turn, target, 'refused')
}

function deathAt({ state, now }: Turn, { own, by, since }: Doubt): number {
  if (own === 'waiting') return Number.POSITIVE_INFINITY
  const { config, members, self, health } = state
  const others = by.filter((short) => short !== self.short).length
  const wanted = wantedConfirmations(members.size, config.confirmations)
  if (own === 'refused' && others >= Math.min(1, wanted)) return since + config.refusedMs
  const timing = { members: members.size, others, confirmations: config.confirmations }
  const wait = suspicionMs({ ...timing, shortestMs: config.suspicionMs, spread: config.suspicionSpread })
  // Who hears nobody is likely the one cut off, so it waits longer before it drops everybody.
  const heard = state.links.values().some((link) => isLasting(link) && now - link.heardAt < 4 * config.roundMs)
  return since + wait * (heard ? 1 : 2) * (1 + health / 4)
}

function hearDoubt(turn: Turn, from: Link, target: ShortId, seq: number, by: ShortId): void {
  const { state, now } = turn
  const { self, config } = state
  if (target === self.short) {
    if (seq >= self.record.seq) state.denySeq = Math.max(state.denySeq, Math.min(seq, self.record.seq))
    return
  }
  const member = look(state.members, target)
  if (!member || member.record.seq < seq) return
  if (member.record.seq > seq) {
    give(turn, from, [member])
    return
  }
  const link = linkTo(turn, target)
  const vouch = state.vouched.get(target)
  if (vouch?.seq === seq && vouch.until > now) return
  const known = state.doubts.get(target)
  if (known && (known.by.includes(by) || known.by.length > config.confirmations)) return
  const patience = link ? 0 : config.suspicionPatienceMs * (1 + draw(turn) / 2)
  if (!known) say(turn, { type: 'record.doubted', id: member.record.id })
  const first = { target, seq, since: now, by: [by], own: 'waiting', lookAt: now + patience, endsAt: 0 } as const
  hold(turn, known ? { ...known, by: [...known.by, by] } : first)
  passOn(turn, target, seq, by, from.id)
}

function hold(turn: Turn, doubt: Doubt): void {
  const { state } = turn
  state.doubts = state.doubts.with(doubt.target, { ...doubt, endsAt: deathAt(turn, doubt) })
}

/** To a few links; that several say so makes it reach everybody. And to the suspect, which can end it. */
function passOn(turn: Turn, target: ShortId, seq: number, by: ShortId, except?: string): void {
  const { state } = turn
  const links = lasting(turn).filter(({ id, peer }) => id !== except && peer !== target)
  const isFirst = (state.doubts.get(target)?.by.length ?? 1) === 1
  const suspected = linkTo(turn, target)
  const few = pick(turn, links, state.config.fanout + (isFirst ? 1 : 0))
  const doubt: Hint = [target, seq, by]
  for (const link of isFirst && suspected ? [...few, suspected] : few) hint(turn, link.id, doubt)
}

/** This node knows better for a while, and tells the suspect what others say, so that it denies. */
function clear(turn: Turn, { target, seq, by }: Doubt): void {
  const { state, now } = turn
  state.doubts = state.doubts.without(target)
  state.vouched = state.vouched.with(target, { seq, until: now + state.config.recentlyConfirmedMs })
  const member = look(state.members, target)
  if (member) say(turn, { type: 'record.cleared', id: member.record.id })
  const link = linkTo(turn, target)
  if (link && by[0]) hint(turn, link.id, [target, seq, by[0]])
}

function succeed(turn: Turn, { nonce, errand }: Probe): void {
  const { state } = turn
  state.probes = state.probes.without(nonce)
  if (errand) report(turn, errand.link, errand.nonce, true)
  else state.health = nextHealth(state.health, -1, state.config.localHealthMost)
}

function expire(turn: Turn, probe: Probe): void {
  const { state, now } = turn
  if (probe.errand) {
    state.probes = state.probes.without(probe.nonce)
    report(turn, probe.errand.link, probe.errand.nonce, false)
    return
  }
  const link = linkTo(turn, probe.target)
  if (probe.stage !== 'indirect' && link && !(probe.stage === 'again' && state.doubts.has(probe.target))) {
    send(turn, link.id, { kind: 'probe/ping', body: heartbeat(turn, link, probe.nonce) })
    if (probe.stage === 'direct') {
      const deadline = now + patience(turn, state.config.pingTimeoutMs)
      state.probes = state.probes.with(probe.nonce, { ...probe, stage: 'again', deadline })
      return
    }
    const asked = askMediators(turn, probe.target, probe.nonce)
    const deadline = now + patience(turn, state.config.indirectTimeoutMs)
    state.probes = state.probes.with(probe.nonce, { ...probe, stage: 'indirect', asked, deadline })
    return
  }
  state.probes = state.probes.without(probe.nonce)
  // Mediators that did not even report: the trouble is likely here.
  if (probe.asked > probe.reports) state.health = nextHealth(state.health, 1, state.config.localHealthMost)
  suspect(turn, probe.target, 'failed')
}

function askMediators(turn: Turn, target: ShortId, nonce: number): number {
  const able = lasting(turn).filter((link) => link.peer !== target)
  const chosen = pick(turn, able, turn.state.config.indirectProbers)
  for (const link of chosen) send(turn, link.id, { kind: 'probe/request', body: { nonce, target } })
  return chosen.length
}

function report(turn: Turn, link: string, nonce: number, alive: boolean): void {
  if (turn.state.links.has(link)) send(turn, link, { kind: 'probe/report', body: { nonce, alive } })
}

function patience({ state }: Turn, ms: number): number {
  return ms * (1 + state.health / 2)
}
