import type { GossipEmits } from '../../protocol/gossip.ts'
import { BATCH, type WireMessage } from '../../protocol/wire/gossip.ts'
import type { ShortId } from '../../protocol/wire/record.ts'
import {
  type Draft,
  draftOf,
  type GossipEffect,
  type GossipState,
  type Link,
  type LinkId,
  shapedLink,
  type Tools,
} from './gossipState.ts'

/** One event's work: the state in the making, which only the step sees, and the effects so far. */
export interface Turn {
  readonly now: number
  readonly tools: Tools
  readonly state: Draft
  readonly effects: GossipEffect[]
  /** Hints to go out when the turn is over, together. */
  readonly hints: Map<LinkId, Hint[]>
}

/** `[who may be dead, at which seq, says whom]` */
export type Hint = [ShortId, number, ShortId]

export function takeTurn(state: GossipState, now: number, tools: Tools): Turn {
  return { now, tools, state: draftOf(state), effects: [], hints: new Map() }
}

/** A number from 0 to below 1 (mulberry32, public domain). The state moves on, so a run repeats from its seed. */
export function draw({ state }: Turn): number {
  state.chance = (state.chance + 0x6d2b79f5) | 0
  let mixed = Math.imul(state.chance ^ (state.chance >>> 15), 1 | state.chance)
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
}

/** `count` of `items` at random, or all where there are fewer, in random order. */
export function pick<T>(turn: Turn, items: readonly T[], count: number): T[] {
  const rest = [...items]
  const most = Math.min(count, rest.length)
  for (let at = 0; at < most; at += 1) {
    const from = at + Math.floor(draw(turn) * (rest.length - at))
    const chosen = rest[from] as T
    rest[from] = rest[at] as T
    rest[at] = chosen
  }
  return rest.slice(0, most)
}

export function send({ effects }: Turn, link: LinkId, message: WireMessage): void {
  effects.push({ type: 'send', link, message })
}

export function hint({ hints }: Turn, link: LinkId, what: Hint): void {
  const waiting = hints.get(link)
  if (waiting) waiting.push(what)
  else hints.set(link, [what])
}

/** Sends what `hint` gathered. */
export function sendHints(turn: Turn): void {
  let latest: Hint[] = []
  let messages: WireMessage[] = []
  for (const [link, hints] of turn.hints) {
    if (!turn.state.links.has(link)) continue
    // Several links are mostly told the same, and one message need be encoded only once.
    if (hints.length !== latest.length || hints.some((each, at) => each !== latest[at])) {
      latest = hints
      messages = []
      for (let at = 0; at < hints.length; at += BATCH.doubts)
        messages.push({ kind: 'probe/doubt', body: { doubts: hints.slice(at, at + BATCH.doubts) } })
    }
    for (const message of messages) send(turn, link, message)
  }
}

export function say({ effects }: Turn, fact: GossipEmits): void {
  effects.push({ type: 'say', fact })
}

export function putLink({ state }: Turn, link: Link): Link {
  const shaped = shapedLink(link)
  state.links = state.links.with(link.id, shaped)
  return shaped
}

export function linkTo({ state }: Turn, short: ShortId): Link | undefined {
  const id = state.linkOf.get(short)
  return id === undefined ? undefined : state.links.get(id)
}

/** The links that both ends keep. */
export function lasting({ state }: Turn): Link[] {
  return state.links.values().filter(isLasting)
}

export function isLasting({ mine, theirs }: Link): boolean {
  return mine && theirs
}

export function nonceOf(turn: Turn): number {
  return Math.floor(draw(turn) * 0x1_0000_0000)
}
