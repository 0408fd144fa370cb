import { BATCH, type WireBody, type WireMessage } from '../../protocol/wire/gossip.ts'
import { SHORT_CHARS, type ShortId, type SignedRecord } from '../../protocol/wire/record.ts'
import { take } from './allowance.ts'
import { differing, packVersion, unpackVersions, type Version } from './digest.ts'
import type { Link } from './gossipState.ts'
import { author, denyPause, HOPS_MOST, learn, newestOf, strike } from './membership.ts'
import { look } from './shards.ts'
import { draw, hint, lasting, pick, putLink, send, type Turn } from './turn.ts'

/**
 * How records travel. What is new is pushed at once to a few links; each round's heartbeats carry the root hash and what
 * is new, so that whoever lacks it is given it or asks; what that leaves is found by comparing digests.
 */

/** Largest text of one batch of records. Far below `WIRE_MAX_BYTES`, so that a probe behind it is not held up. */
const BATCH_CHARS = 48 * 1024

/** Pushing on stops where the next hop would meet mostly nodes that know it already: those still without it soon ask. */
const PUSH_UNTIL = 0.42

/** Below this many members a superfluous copy matters less than waiting for a round. */
const FEW = 128

/** Besides those it pushes to, a node is asked by this many in the time of a hop. Measured. */
const ASKED_BESIDES = 1.5

export function heartbeat(turn: Turn, link: Link, nonce: number): WireBody<'probe/ping'> {
  const { state, tools } = turn
  const recent = recentVersions(turn).map(packVersion).join('')
  return { nonce, root: tools.digest.root(state.members), ...(recent && { recent }), keep: link.mine }
}

/** Gives `records` to a few links, or all, unasked. `hops`: how often they were passed on before. */
export function push(
  turn: Turn,
  records: readonly SignedRecord[],
  hops: number,
  except?: string,
  everywhere = false,
): void {
  const { config, members } = turn.state
  if (records.length === 0) return
  const reached = (config.fanout + ASKED_BESIDES) ** Math.min(hops, 32)
  if (!everywhere && hops > 0 && reached > Math.max(members.size, FEW) * PUSH_UNTIL) return
  const links = lasting(turn).filter((link) => link.id !== except)
  const messages = inBatches(records, hops)
  for (const { id } of pick(turn, links, everywhere ? links.length : config.fanout))
    for (const message of messages) send(turn, id, message)
}

/** A new own record, on its way. */
export function publish(turn: Turn, change?: Parameters<typeof author>[1], everywhere = false): void {
  push(turn, [author(turn, change)], 0, undefined, everywhere)
}

/** Denies the own death, if somebody doubts, no faster than `denyPause` lets it. */
export function deny(turn: Turn): void {
  const { state, now } = turn
  if (state.denySeq < state.self.record.seq || now < state.deniedAt + denyPause(state)) return
  state.deniedAt = now
  publish(turn, {}, true)
}

export function hearRecords(turn: Turn, link: Link, { records, hops }: WireBody<'table/records'>): void {
  const { state, tools, now } = turn
  const fresh: SignedRecord[] = []
  for (const [text, signature] of records) {
    const signed = tools.read(text, signature)
    if (!signed) {
      strike(turn, link, 'it sends what is no record')
      return
    }
    const newest = newestOf(turn, signed.short)
    if (newest && !mayChange(newest, signed) && link.peer !== signed.short) continue
    const present = state.links.get(link.id) ?? link
    const [had, rest] = take(present.records, now, 1, state.config.recordsPerSecond)
    putLink(turn, { ...present, records: rest })
    if (had === 0) break
    const verdict = learn(turn, signed, present, Math.min(HOPS_MOST, hops + 1))
    if (verdict === 'forged') {
      strike(turn, present, 'it passes on what nobody signed')
      return
    }
    if (verdict === 'new') fresh.push(signed)
    if (verdict === 'twin') tellAuthor(turn, signed)
  }
  push(turn, fresh, hops + 1, link.id)
  deny(turn)
  askFor(turn, link)
}

export function hearWant(turn: Turn, link: Link, { wanted }: WireBody<'table/want'>): void {
  const { config } = turn.state
  const ids = Array.from(
    { length: wanted.length / SHORT_CHARS },
    (_, at) => wanted.slice(at * SHORT_CHARS, (at + 1) * SHORT_CHARS) as ShortId,
  )
  const [had, served] = take(link.served, turn.now, ids.length, config.servedPerSecond)
  const present = putLink(turn, { ...link, served })
  const records = ids.slice(0, had).map((short) => newestOf(turn, short))
  give(
    turn,
    present,
    records.filter((signed) => signed !== undefined),
  )
}

/** The peer's heartbeat. Whoever pinged goes on to digests where what is new does not explain the difference. */
export function compare(turn: Turn, link: Link, beat: WireBody<'probe/ping'>, pinged: boolean): void {
  const { state, tools } = turn
  if (beat.root === tools.digest.root(state.members)) return
  const theirs = unpackVersions(beat.recent ?? '')
  const missing = theirs.filter((version) => isNewer(turn, version))
  const seqs = new Map(theirs.map(({ short, seq }) => [short, seq]))
  const lacking = recentVersions(turn).filter(({ short, seq }) => (seqs.get(short) ?? 0) < seq)
  if (missing.length > 0) askFor(turn, putLink(turn, { ...link, missing: union(link.missing, missing) }))
  const explained = missing.length > 0 || lacking.length > 0 || link.missing.length > 0
  if (pinged && (!explained || draw(turn) < 0.25)) compareDigests(turn, state.links.get(link.id) ?? link)
}

export function compareDigests(turn: Turn, link: Link): void {
  const { state, tools, now } = turn
  if (link.syncAt > 0 && now < link.syncAt + state.config.requestTimeoutMs) return
  const pair = rootPair(turn, link)
  if (link.settled === pair && now < link.settledUntil) return
  // Where the same two tables meet again, comparing them did not help.
  putLink(turn, { ...link, syncAt: now, settled: pair, settledUntil: now + state.config.settledMs })
  send(turn, link.id, { kind: 'table/buckets', body: { buckets: tools.digest.buckets(state.members) } })
}

export function hearBuckets(turn: Turn, link: Link, { buckets }: WireBody<'table/buckets'>): void {
  const { state, tools, now } = turn
  const [had, digests] = take(link.digests, now, 1, state.config.digestsPerSecond)
  putLink(turn, { ...link, digests })
  if (had === 0) return
  const different = differing(tools.digest.buckets(state.members), buckets)
  send(turn, link.id, {
    kind: 'table/entries',
    body: { buckets: different.map((bucket) => [bucket, tools.digest.entries(state.members, bucket)]) },
  })
}

export function hearEntries(turn: Turn, asked: Link, { buckets }: WireBody<'table/entries'>): void {
  const { state } = turn
  if (asked.syncAt === 0) return
  const missing: Version[] = []
  const lacking: SignedRecord[] = []
  for (const [bucket, text] of buckets) {
    const theirs = new Map(unpackVersions(text).map(({ short, seq }) => [short, seq]))
    for (const [short, seq] of theirs) {
      const newest = newestOf(turn, short)
      if (!newest || newest.record.seq < seq) {
        if (look(state.declined, short) !== seq) missing.push({ short, seq })
      } else if (newest.record.seq > seq || newest.record.left) lacking.push(newest)
      else if (!look(state.members, short)) hint(turn, asked.id, [short, seq, state.self.short])
    }
    for (const mine of state.members.parts[bucket]?.values() ?? []) if (!theirs.has(mine.short)) lacking.push(mine)
  }
  const some = pick(turn, lacking, 4 * BATCH.records)
  const link = putLink(turn, { ...asked, syncAt: 0, missing: union(asked.missing, missing) })
  give(turn, link, some)
  askFor(turn, link)
}

/** Asks for what is known to be newer there: each record at one link at a time, and no more than may be checked. */
export function askFor(turn: Turn, { id }: Link): void {
  const { state, now } = turn
  const link = state.links.get(id)
  if (!link || link.missing.length === 0) return
  const { config } = state
  const [allowed] = take(link.records, now, BATCH.wanted, config.recordsPerSecond)
  const open = link.missing.filter((version) => isNewer(turn, version))
  const asked = new Set(open.filter(({ short }) => (state.wanted.get(short) ?? 0) <= now).slice(0, allowed))
  putLink(turn, { ...link, missing: open.filter((version) => !asked.has(version)) })
  if (asked.size === 0) return
  const wanted = Array.from(asked, ({ short }) => short)
  const next = new Map(state.wanted)
  for (const short of wanted) next.set(short, now + config.requestTimeoutMs)
  state.wanted = next
  send(turn, id, { kind: 'table/want', body: { wanted: wanted.join('') } })
}

/** Sends records in batches. `hops` as remembered where it is not given: what is no longer new is not passed on. */
export function give(turn: Turn, link: Link, records: readonly SignedRecord[], hops = hopsOf(turn, records)): void {
  for (const message of inBatches(records, hops)) send(turn, link.id, message)
}

function inBatches(records: readonly SignedRecord[], hops: number): WireMessage[] {
  const messages: WireMessage[] = []
  let batch: [string, string][] = []
  let chars = 0
  for (const { text, signature } of records) {
    if (batch.length === 0 || batch.length >= BATCH.records || chars + text.length > BATCH_CHARS) {
      batch = []
      chars = 0
      messages.push({ kind: 'table/records', body: { records: batch, hops } })
    }
    batch.push([text, signature])
    chars += text.length
  }
  return messages
}

function mayChange(newest: SignedRecord, { record, text }: SignedRecord): boolean {
  return record.seq > newest.record.seq || (record.seq === newest.record.seq && text !== newest.text)
}

/** A hint that makes the author of two records with one seq sign a newer one. */
function tellAuthor(turn: Turn, { short, record }: SignedRecord): void {
  for (const link of lasting(turn)) hint(turn, link.id, [short, record.seq, turn.state.self.short])
}

function hopsOf({ state }: Turn, records: readonly SignedRecord[]): number {
  const hops = new Map(state.recent.map((each) => [each.short, each.hops]))
  return Math.max(0, ...records.map(({ short }) => hops.get(short) ?? HOPS_MOST))
}

function recentVersions(turn: Turn): Version[] {
  const { recent, config } = turn.state
  const since = turn.now - config.recentMs
  const versions: Version[] = []
  for (const { short, at } of recent) {
    // Latest first.
    if (at < since || versions.length === BATCH.recent) break
    const newest = newestOf(turn, short)
    if (newest) versions.push({ short, seq: newest.record.seq })
  }
  return versions
}

function isNewer(turn: Turn, { short, seq }: Version): boolean {
  return (newestOf(turn, short)?.record.seq ?? 0) < seq && look(turn.state.declined, short) !== seq
}

function rootPair({ state, tools }: Turn, link: Link): string {
  return tools.digest.root(state.members) + link.root
}

function union(some: readonly Version[], more: readonly Version[]): readonly Version[] {
  if (some.length === 0) return more
  return more.length === 0 ? some : [...new Map([...some, ...more].map((each) => [each.short, each])).values()]
}

/** Forgets wishes that were not met in time. */
export function forgetWishes({ state, now }: Turn): void {
  for (const until of state.wanted.values())
    if (until <= now) {
      state.wanted = new Map([...state.wanted].filter(([, each]) => each > now))
      return
    }
}
