import type { WireBody } from '../../protocol/wire/gossip.ts'
import type { ShortId } from '../../protocol/wire/record.ts'
import type { Link, Probe, Suspicion } from './gossipState.ts'
import { isActive } from './linkPhase.ts'
import { endProbes, remove } from './membership.ts'
import { canDial, dial } from './overlay.ts'
import { getEntry } from './shardedMap.ts'
import { heartbeat, refute, sendRecords } from './spread.ts'
import { expectedConfirmations, nextLocalHealth, suspicionTimeout } from './suspicion.ts'
import { takeTokens } from './tokenBucket.ts'
import {
  activeLinks,
  emit,
  linkTo,
  newNonce,
  pick,
  queueSuspicion,
  random,
  type SuspicionMessage,
  send,
  setLink,
  type Tx,
} from './tx.ts'

// Failure detection: SWIM with suspicion and Lifeguard's local health. Suspicions are not signed, so a suspicion from
// another node only makes this node probe the suspect itself, and shortens the timeout. A node never drops a member that
// answers it. A live suspect refutes with a newer record, which ends all suspicions of the older one.

/** Interval at which a suspect is probed again until its timeout. */
const REPROBE_MS = 1_200

/**
 * Probes a member over its link, or by dialling it if there is none. Any message from the member counts as an ack. Without a
 * link, indirect probers are requested at once unless the member is already suspected: then all nodes probe it anyway.
 */
export function probeMember(tx: Tx, target: ShortId, indirectFor?: Probe['indirectFor']): void {
  const { state, now } = tx
  for (const probe of state.probes.values()) if (probe.target === target && !probe.indirectFor === !indirectFor) return
  const link = linkTo(tx, target)
  const nonce = newNonce(tx)
  const probe: Probe = {
    nonce,
    target,
    startedAt: now,
    deadline: 0,
    stage: 'direct',
    requested: 0,
    reports: 0,
    indirectFor,
  }
  if (link) {
    const deadline = now + scaledTimeout(tx, state.config.pingTimeoutMs)
    state.probes = state.probes.set(nonce, { ...probe, deadline })
    send(tx, link.id, { kind: 'probe/ping', body: heartbeat(tx, link, nonce) })
    return
  }
  const member = getEntry(state.members, target)
  const isDialable = member !== undefined && canDial(tx, member, true)
  if (isDialable) dial(tx, member, { urgent: true, active: false })
  const requested =
    indirectFor || (isDialable && state.suspects.has(target)) ? 0 : requestIndirectProbes(tx, target, nonce)
  const deadline = now + scaledTimeout(tx, state.config.dialTimeoutMs)
  state.probes = state.probes.set(nonce, { ...probe, requested, deadline, stage: 'indirect' })
}

/** Records that a member is alive, because it has just sent a message to this node. */
export function markAlive(tx: Tx, short: ShortId): void {
  const { state } = tx
  for (const probe of state.probes.values()) if (probe.target === short) probeSucceeded(tx, probe)
  const suspicion = state.suspects.get(short)
  if (suspicion) clearSuspicion(tx, suspicion)
}

export function onPing(tx: Tx, link: Link, { nonce }: WireBody<'probe/ping'>): void {
  send(tx, link.id, { kind: 'probe/ack', body: heartbeat(tx, link, nonce) })
}

/** Probes on behalf of another node. It always reports, because the other node takes silence as a sign of its own trouble. */
export function onProbeRequest(tx: Tx, link: Link, { nonce, target }: WireBody<'probe/request'>): void {
  const { state } = tx
  if (target === state.self.short || !getEntry(state.members, target)) sendReport(tx, link.id, nonce, false)
  else probeMember(tx, target, { link: link.id, nonce })
}

/** Handles the report of an indirect prober. If the target is alive, this node stops suspecting it. */
export function onProbeReport(tx: Tx, { nonce, alive }: WireBody<'probe/report'>): void {
  const { state } = tx
  const probe = state.probes.get(nonce)
  if (!probe) return
  if (!alive) {
    state.probes = state.probes.set(nonce, { ...probe, reports: probe.reports + 1 })
    return
  }
  probeSucceeded(tx, probe)
  const suspicion = state.suspects.get(probe.target)
  if (suspicion) clearSuspicion(tx, suspicion)
}

export function onSuspicions(tx: Tx, link: Link, { suspects }: WireBody<'probe/suspect'>): void {
  const { state, now } = tx
  const { suspicionsPerSecond } = state.config
  const [granted, rest] = takeTokens(
    link.suspicionTokens,
    now,
    suspects.length,
    suspicionsPerSecond,
    suspicionsPerSecond * 5,
  )
  setLink(tx, { ...link, suspicionTokens: rest })
  for (const [target, seq, by] of suspects.slice(0, granted)) onSuspicion(tx, link, target, seq, by)
  refute(tx)
}

/** Suspects a member after this node's own probe failed, and tells other nodes. */
export function suspect(tx: Tx, target: ShortId, ownResult: 'failed' | 'refused'): void {
  const { state, now } = tx
  const { self, config } = state
  const member = getEntry(state.members, target)
  if (!member || target === self.short) return
  const known = state.suspects.get(target)
  const isNewConfirmation = !known || (!known.by.includes(self.short) && known.by.length < config.confirmations + 1)
  if (!known) emit(tx, { type: 'record.suspected', id: member.record.id })
  setSuspicion(tx, {
    status: 'suspected',
    target,
    seq: member.record.seq,
    since: known?.since ?? now,
    by: isNewConfirmation ? [...(known?.by ?? []), self.short] : (known?.by ?? []),
    ownResult: known?.ownResult === 'refused' ? 'refused' : ownResult,
    probeAt: now + REPROBE_MS,
    endsAt: 0,
  })
  state.recentlyConfirmed = state.recentlyConfirmed.delete(target)
  if (isNewConfirmation) forwardSuspicion(tx, target, member.record.seq, self.short)
}

/** Handles expired probes, suspects that are due for another probe, and suspects whose timeout has passed. */
export function detect(tx: Tx): void {
  const { state, now } = tx
  for (const probe of state.probes.values()) if (now >= probe.deadline) probeExpired(tx, probe)
  for (const suspicion of state.suspects.values()) {
    if (now >= suspicion.endsAt) {
      const endsAt = timeoutAt(tx, suspicion)
      if (now >= endsAt) remove(tx, suspicion.target, 'silent')
      else state.suspects = state.suspects.set(suspicion.target, { ...suspicion, endsAt })
    } else if (now >= suspicion.probeAt) {
      state.suspects = state.suspects.set(suspicion.target, { ...suspicion, probeAt: now + REPROBE_MS })
      probeMember(tx, suspicion.target)
    }
  }
}

/** Handles a refused connection: the member's machine is up, but its node does not listen. */
export function onRefused(tx: Tx, target: ShortId): void {
  cancelProbes(tx, target)
  suspect(tx, target, 'refused')
}

/** Ends the probes of a member without a result. */
export function cancelProbes(tx: Tx, target: ShortId): void {
  reportFailure(tx, target)
  endProbes(tx, target)
}

/** Reports to the nodes that requested a probe of a member that it failed. */
export function reportFailure(tx: Tx, target: ShortId): void {
  const { state } = tx
  for (const { nonce, target: probed, indirectFor } of state.probes.values()) {
    if (probed !== target || !indirectFor) continue
    state.probes = state.probes.delete(nonce)
    sendReport(tx, indirectFor.link, indirectFor.nonce, false)
  }
}

function timeoutAt({ state, now }: Tx, { ownResult, by, since }: Suspicion): number {
  if (ownResult === 'pending') return Number.POSITIVE_INFINITY
  const { config, members, self, localHealth } = state
  const others = by.filter((short) => short !== self.short).length
  const expected = expectedConfirmations(members.size, config.confirmations)
  if (ownResult === 'refused' && others >= Math.min(1, expected)) return since + config.refusedTimeoutMs
  const timing = { members: members.size, others, confirmations: config.confirmations }
  const wait = suspicionTimeout({
    ...timing,
    shortestMs: config.suspicionTimeoutMs,
    maxMultiplier: config.suspicionMaxMultiplier,
  })
  // A node that receives nothing is probably the one that is cut off, so it waits longer before it drops members.
  const receivesAny = state.links.values().some((link) => isActive(link) && now - link.receivedAt < 4 * config.roundMs)
  return since + wait * (receivesAny ? 1 : 2) * (1 + localHealth / 4)
}

function onSuspicion(tx: Tx, from: Link, target: ShortId, seq: number, by: ShortId): void {
  const { state, now } = tx
  const { self, config } = state
  if (target === self.short) {
    if (seq >= self.record.seq) state.refuteSeq = Math.max(state.refuteSeq, Math.min(seq, self.record.seq))
    return
  }
  const member = getEntry(state.members, target)
  if (!member || member.record.seq < seq) return
  if (member.record.seq > seq) {
    sendRecords(tx, from, [member])
    return
  }
  const link = linkTo(tx, target)
  const confirmed = state.recentlyConfirmed.get(target)
  if (confirmed?.seq === seq && confirmed.until > now) return
  const known = state.suspects.get(target)
  if (known && (known.by.includes(by) || known.by.length > config.confirmations)) return
  const delay = link ? 0 : config.suspicionProbeDelayMs * (1 + random(tx) / 2)
  if (!known) emit(tx, { type: 'record.suspected', id: member.record.id })
  const first = {
    status: 'suspected',
    target,
    seq,
    since: now,
    by: [by],
    ownResult: 'pending',
    probeAt: now + delay,
    endsAt: 0,
  } as const
  setSuspicion(tx, known ? { ...known, by: [...known.by, by] } : first)
  forwardSuspicion(tx, target, seq, by, from.id)
}

function setSuspicion(tx: Tx, suspicion: Suspicion): void {
  const { state } = tx
  state.suspects = state.suspects.set(suspicion.target, { ...suspicion, endsAt: timeoutAt(tx, suspicion) })
}

/** Sends a suspicion to a few random links, and the first suspicion of a member also to the suspect, which can refute it. */
function forwardSuspicion(tx: Tx, target: ShortId, seq: number, by: ShortId, except?: string): void {
  const { state } = tx
  const links = activeLinks(tx).filter(({ id, peer }) => id !== except && peer !== target)
  const isFirst = (state.suspects.get(target)?.by.length ?? 1) === 1
  const suspected = linkTo(tx, target)
  const chosen = pick(tx, links, state.config.fanout + (isFirst ? 1 : 0))
  const suspicion: SuspicionMessage = [target, seq, by]
  for (const link of isFirst && suspected ? [...chosen, suspected] : chosen) queueSuspicion(tx, link.id, suspicion)
}

/** Stops suspecting a member that answered, ignores suspicions of it for a while, and tells it to refute them. */
function clearSuspicion(tx: Tx, { target, seq, by }: Suspicion): void {
  const { state, now } = tx
  state.suspects = state.suspects.delete(target)
  state.recentlyConfirmed = state.recentlyConfirmed.set(target, { seq, until: now + state.config.recentlyConfirmedMs })
  const member = getEntry(state.members, target)
  if (member) emit(tx, { type: 'record.cleared', id: member.record.id })
  const link = linkTo(tx, target)
  if (link && by[0]) queueSuspicion(tx, link.id, [target, seq, by[0]])
}

function probeSucceeded(tx: Tx, { nonce, indirectFor, stage }: Probe): void {
  const { state } = tx
  state.probes = state.probes.delete(nonce)
  if (indirectFor) sendReport(tx, indirectFor.link, indirectFor.nonce, true)
  // An answer that is later than the timeout shows that the timeout is too short, as where all machines are busy.
  else state.localHealth = nextLocalHealth(state.localHealth, stage === 'direct' ? -1 : 1, state.config.maxLocalHealth)
}

function probeExpired(tx: Tx, probe: Probe): void {
  const { state, now } = tx
  if (probe.indirectFor) {
    state.probes = state.probes.delete(probe.nonce)
    sendReport(tx, probe.indirectFor.link, probe.indirectFor.nonce, false)
    return
  }
  const link = linkTo(tx, probe.target)
  if (probe.stage !== 'indirect' && link && !(probe.stage === 'retry' && state.suspects.has(probe.target))) {
    send(tx, link.id, { kind: 'probe/ping', body: heartbeat(tx, link, probe.nonce) })
    if (probe.stage === 'direct') {
      const deadline = now + scaledTimeout(tx, state.config.pingTimeoutMs)
      state.probes = state.probes.set(probe.nonce, { ...probe, stage: 'retry', deadline })
      return
    }
    const requested = requestIndirectProbes(tx, probe.target, probe.nonce)
    const deadline = now + scaledTimeout(tx, state.config.indirectTimeoutMs)
    state.probes = state.probes.set(probe.nonce, { ...probe, stage: 'indirect', requested, deadline })
    return
  }
  state.probes = state.probes.delete(probe.nonce)
  // Lifeguard: if indirect probers did not even report, the trouble is probably on this node.
  if (probe.requested > probe.reports)
    state.localHealth = nextLocalHealth(state.localHealth, 1, state.config.maxLocalHealth)
  suspect(tx, probe.target, 'failed')
}

function requestIndirectProbes(tx: Tx, target: ShortId, nonce: number): number {
  const able = activeLinks(tx).filter((link) => link.peer !== target)
  const chosen = pick(tx, able, tx.state.config.indirectProbers)
  for (const link of chosen) send(tx, link.id, { kind: 'probe/request', body: { nonce, target } })
  return chosen.length
}

function sendReport(tx: Tx, link: string, nonce: number, alive: boolean): void {
  if (tx.state.links.has(link)) send(tx, link, { kind: 'probe/report', body: { nonce, alive } })
}

function scaledTimeout({ state }: Tx, ms: number): number {
  return ms * (1 + state.localHealth / 2)
}
