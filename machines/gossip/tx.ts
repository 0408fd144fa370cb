import type { GossipEmits } from '../../protocol/gossip.ts'
import { BATCH, type WireMessage } from '../../protocol/wire/gossip.ts'
import type { ShortId } from '../../protocol/wire/record.ts'
import { type Draft, draftOf, shapedLink } from './gossipDraft.ts'
import type { GossipEffect, GossipState, Link, LinkId, Tools } from './gossipState.ts'
import { isActive } from './linkPhase.ts'

/** The transaction of one event: a draft of the next state, which only the step sees, and the effects so far. */
export interface Tx {
  readonly now: number
  readonly tools: Tools
  readonly state: Draft
  readonly effects: GossipEffect[]
  /** Suspicions for each link, which are sent together at the end of the transaction. */
  readonly suspicionMessages: Map<LinkId, SuspicionMessage[]>
}

/** `[suspect, seq of the suspect, suspected by]`. */
export type SuspicionMessage = [ShortId, number, ShortId]

export function beginTx(state: GossipState, now: number, tools: Tools): Tx {
  return { now, tools, state: draftOf(state), effects: [], suspicionMessages: new Map() }
}

/** Returns a pseudo-random number from 0 to below 1 (mulberry32, public domain). Its state is part of the gossip state. */
export function random({ state }: Tx): number {
  state.randomState = (state.randomState + 0x6d2b79f5) | 0
  let mixed = Math.imul(state.randomState ^ (state.randomState >>> 15), 1 | state.randomState)
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
}

/** Returns `count` random items in random order, or all of them if there are fewer. */
export function pick<T>(tx: Tx, items: readonly T[], count: number): T[] {
  const rest = [...items]
  const end = Math.min(count, rest.length)
  for (let at = 0; at < end; at += 1) {
    const from = at + Math.floor(random(tx) * (rest.length - at))
    const chosen = rest[from] as T
    rest[from] = rest[at] as T
    rest[at] = chosen
  }
  return rest.slice(0, end)
}

export function send({ effects }: Tx, link: LinkId, message: WireMessage): void {
  effects.push({ type: 'send', link, message })
}

export function queueSuspicion({ suspicionMessages }: Tx, link: LinkId, suspicion: SuspicionMessage): void {
  const queued = suspicionMessages.get(link)
  if (queued) queued.push(suspicion)
  else suspicionMessages.set(link, [suspicion])
}

/** Sends the queued suspicions. */
export function sendSuspicions(tx: Tx): void {
  let latest: SuspicionMessage[] = []
  let messages: WireMessage[] = []
  for (const [link, suspicions] of tx.suspicionMessages) {
    if (!tx.state.links.has(link)) continue
    // Most links get the same suspicions; sharing the message objects lets the transport encode each only once.
    if (suspicions.length !== latest.length || suspicions.some((each, at) => each !== latest[at])) {
      latest = suspicions
      messages = []
      for (let at = 0; at < suspicions.length; at += BATCH.suspects)
        messages.push({ kind: 'probe/suspect', body: { suspects: suspicions.slice(at, at + BATCH.suspects) } })
    }
    for (const message of messages) send(tx, link, message)
  }
}

export function emit({ effects }: Tx, fact: GossipEmits): void {
  effects.push({ type: 'emit', fact })
}

export function setLink({ state }: Tx, link: Link): Link {
  const shaped = shapedLink(link)
  state.links = state.links.set(link.id, shaped)
  return shaped
}

export function linkTo({ state }: Tx, short: ShortId): Link | undefined {
  const id = state.linkOf.get(short)
  return id === undefined ? undefined : state.links.get(id)
}

/** Returns the links that both ends count as active. */
export function activeLinks({ state }: Tx): Link[] {
  return state.links.values().filter(isActive)
}

export function newNonce(tx: Tx): number {
  return Math.floor(random(tx) * 0x1_0000_0000)
}
