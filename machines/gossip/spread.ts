import { BATCH, type WireBody, type WireMessage } from '../../protocol/wire/gossip.ts'
import { SHORT_CHARS, type ShortId, type SignedRecord } from '../../protocol/wire/record.ts'
import { differing, packVersion, unpackVersions, type Version } from './digest.ts'
import type { Link } from './gossipState.ts'
import { HOPS_MOST, mergeRecord, newestOf, penalize, refuteInterval, signOwnRecord } from './membership.ts'
import { getEntry } from './shardedMap.ts'
import { takeTokens } from './tokenBucket.ts'
import { activeLinks, pick, queueSuspicion, random, send, setLink, type Tx } from './tx.ts'

/**
 * How records travel. What is new is pushed at once to a few links; each round's heartbeats carry the root hash and what
 * is new, so that a node without it receives it or requests it; the rest is found by comparing digests.
 */

/** Largest text of one batch of records. Far below `WIRE_MAX_BYTES`, so that a probe behind it is not held up. */
const BATCH_CHARS = 48 * 1024

/** Pushing on stops where the next hop would meet mostly nodes that know it already: those still without it soon ask. */
const PUSH_UNTIL = 0.42

/** Below this many members a superfluous copy matters less than waiting for a round. */
const FEW = 128

/** Besides those it pushes to, a node gets requests from this many in the time of a hop. Measured. */
const ASKED_BESIDES = 1.5

export function heartbeat(tx: Tx, link: Link, nonce: number): WireBody<'probe/ping'> {
  const { state, tools } = tx
  const recent = recentVersions(tx).map(packVersion).join('')
  return { nonce, root: tools.digest.root(state.members), ...(recent && { recent }), active: link.activeHere }
}

/** Sends `records` to a few links, or all, without a request. `hops`: how often they were passed on before. */
export function push(
  tx: Tx,
  records: readonly SignedRecord[],
  hops: number,
  except?: string,
  everywhere = false,
): void {
  const { config, members } = tx.state
  if (records.length === 0) return
  const reached = (config.fanout + ASKED_BESIDES) ** Math.min(hops, 32)
  if (!everywhere && hops > 0 && reached > Math.max(members.size, FEW) * PUSH_UNTIL) return
  const links = activeLinks(tx).filter((link) => link.id !== except)
  const messages = inBatches(records, hops)
  for (const { id } of pick(tx, links, everywhere ? links.length : config.fanout))
    for (const message of messages) send(tx, id, message)
}

/** Signs and sends a new own record. */
export function publish(tx: Tx, change?: Parameters<typeof signOwnRecord>[1], everywhere = false): void {
  push(tx, [signOwnRecord(tx, change)], 0, undefined, everywhere)
}

/** Refutes the own death, if another node suspects it, no faster than `refuteInterval` allows. */
export function refute(tx: Tx): void {
  const { state, now } = tx
  if (state.refuteSeq < state.self.record.seq || now < state.refutedAt + refuteInterval(state)) return
  state.refutedAt = now
  publish(tx, {}, true)
}

export function onRecords(tx: Tx, link: Link, { records, hops }: WireBody<'table/records'>): void {
  const { state, tools, now } = tx
  const fresh: SignedRecord[] = []
  for (const [text, signature] of records) {
    const signed = tools.read(text, signature)
    if (!signed) {
      penalize(tx, link, 'it sends what is no record')
      return
    }
    const newest = newestOf(tx, signed.short)
    if (newest && !mayChange(newest, signed) && link.peer !== signed.short) continue
    const present = state.links.get(link.id) ?? link
    const [granted, rest] = takeTokens(present.records, now, 1, state.config.recordsPerSecond)
    setLink(tx, { ...present, records: rest })
    if (granted === 0) break
    const verdict = mergeRecord(tx, signed, present, Math.min(HOPS_MOST, hops + 1))
    if (verdict === 'forged') {
      penalize(tx, present, 'it passes on what nobody signed')
      return
    }
    if (verdict === 'new') fresh.push(signed)
    if (verdict === 'conflict') notifyAuthor(tx, signed)
  }
  push(tx, fresh, hops + 1, link.id)
  refute(tx)
  requestMissing(tx, link)
}

export function onTableRequest(tx: Tx, link: Link, { shortIds }: WireBody<'table/request'>): void {
  const { config } = tx.state
  const ids = Array.from(
    { length: shortIds.length / SHORT_CHARS },
    (_, at) => shortIds.slice(at * SHORT_CHARS, (at + 1) * SHORT_CHARS) as ShortId,
  )
  const [granted, served] = takeTokens(link.served, tx.now, ids.length, config.servedPerSecond)
  const present = setLink(tx, { ...link, served })
  const records = ids.slice(0, granted).map((short) => newestOf(tx, short))
  sendRecords(
    tx,
    present,
    records.filter((signed) => signed !== undefined),
  )
}

/** The peer's heartbeat. The end that pinged goes on to digests where what is new does not explain the difference. */
export function compare(tx: Tx, link: Link, beat: WireBody<'probe/ping'>, pinged: boolean): void {
  const { state, tools } = tx
  if (beat.root === tools.digest.root(state.members)) return
  const theirs = unpackVersions(beat.recent ?? '')
  const missing = theirs.filter((version) => isNewer(tx, version))
  const seqs = new Map(theirs.map(({ short, seq }) => [short, seq]))
  const lacking = recentVersions(tx).filter(({ short, seq }) => (seqs.get(short) ?? 0) < seq)
  if (missing.length > 0) requestMissing(tx, setLink(tx, { ...link, missing: union(link.missing, missing) }))
  const explained = missing.length > 0 || lacking.length > 0 || link.missing.length > 0
  if (pinged && (!explained || random(tx) < 0.25)) compareDigests(tx, state.links.get(link.id) ?? link)
}

export function compareDigests(tx: Tx, link: Link): void {
  const { state, tools, now } = tx
  if (link.syncAt > 0 && now < link.syncAt + state.config.requestTimeoutMs) return
  const pair = rootPair(tx, link)
  if (link.settled === pair && now < link.settledUntil) return
  // Where the same two tables meet again, comparing them did not help.
  setLink(tx, { ...link, syncAt: now, settled: pair, settledUntil: now + state.config.settledMs })
  send(tx, link.id, { kind: 'table/buckets', body: { buckets: tools.digest.buckets(state.members) } })
}

export function onBuckets(tx: Tx, link: Link, { buckets }: WireBody<'table/buckets'>): void {
  const { state, tools, now } = tx
  const [granted, digests] = takeTokens(link.digests, now, 1, state.config.digestsPerSecond)
  setLink(tx, { ...link, digests })
  if (granted === 0) return
  const different = differing(tools.digest.buckets(state.members), buckets)
  send(tx, link.id, {
    kind: 'table/versions',
    body: { buckets: different.map((bucket) => [bucket, tools.digest.versions(state.members, bucket)]) },
  })
}

export function onVersions(tx: Tx, asked: Link, { buckets }: WireBody<'table/versions'>): void {
  const { state } = tx
  if (asked.syncAt === 0) return
  const missing: Version[] = []
  const lacking: SignedRecord[] = []
  for (const [bucket, text] of buckets) {
    const theirs = new Map(unpackVersions(text).map(({ short, seq }) => [short, seq]))
    for (const [short, seq] of theirs) {
      const newest = newestOf(tx, short)
      if (!newest || newest.record.seq < seq) {
        if (getEntry(state.rejected, short) !== seq) missing.push({ short, seq })
      } else if (newest.record.seq > seq || newest.record.left) lacking.push(newest)
      else if (!getEntry(state.members, short)) queueSuspicion(tx, asked.id, [short, seq, state.self.short])
    }
    for (const mine of state.members.shards[bucket]?.values() ?? []) if (!theirs.has(mine.short)) lacking.push(mine)
  }
  const some = pick(tx, lacking, 4 * BATCH.records)
  const link = setLink(tx, { ...asked, syncAt: 0, missing: union(asked.missing, missing) })
  sendRecords(tx, link, some)
  requestMissing(tx, link)
}

/** Requests what is known to be newer there: each record from one link at a time, and no more than may be checked. */
export function requestMissing(tx: Tx, { id }: Link): void {
  const { state, now } = tx
  const link = state.links.get(id)
  if (!link || link.missing.length === 0) return
  const { config } = state
  const [allowed] = takeTokens(link.records, now, BATCH.shortIds, config.recordsPerSecond)
  const open = link.missing.filter((version) => isNewer(tx, version))
  const asked = new Set(open.filter(({ short }) => (state.pendingRequests.get(short) ?? 0) <= now).slice(0, allowed))
  setLink(tx, { ...link, missing: open.filter((version) => !asked.has(version)) })
  if (asked.size === 0) return
  const requested = Array.from(asked, ({ short }) => short)
  const next = new Map(state.pendingRequests)
  for (const short of requested) next.set(short, now + config.requestTimeoutMs)
  state.pendingRequests = next
  send(tx, id, { kind: 'table/request', body: { shortIds: requested.join('') } })
}

/** Sends records in batches. `hops` as remembered where it is not given: what is no longer new is not passed on. */
export function sendRecords(tx: Tx, link: Link, records: readonly SignedRecord[], hops = hopsOf(tx, records)): void {
  for (const message of inBatches(records, hops)) send(tx, link.id, message)
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

/** Sends a suspicion that makes the author of two records with one seq sign a newer one. */
function notifyAuthor(tx: Tx, { short, record }: SignedRecord): void {
  for (const link of activeLinks(tx)) queueSuspicion(tx, link.id, [short, record.seq, tx.state.self.short])
}

function hopsOf({ state }: Tx, records: readonly SignedRecord[]): number {
  const hops = new Map(state.recent.map((each) => [each.short, each.hops]))
  return Math.max(0, ...records.map(({ short }) => hops.get(short) ?? HOPS_MOST))
}

function recentVersions(tx: Tx): Version[] {
  const { recent, config } = tx.state
  const since = tx.now - config.recentMs
  const versions: Version[] = []
  for (const { short, at } of recent) {
    // Latest first.
    if (at < since || versions.length === BATCH.recent) break
    const newest = newestOf(tx, short)
    if (newest) versions.push({ short, seq: newest.record.seq })
  }
  return versions
}

function isNewer(tx: Tx, { short, seq }: Version): boolean {
  return (newestOf(tx, short)?.record.seq ?? 0) < seq && getEntry(tx.state.rejected, short) !== seq
}

function rootPair({ state, tools }: Tx, link: Link): string {
  return tools.digest.root(state.members) + link.root
}

function union(some: readonly Version[], more: readonly Version[]): readonly Version[] {
  if (some.length === 0) return more
  return more.length === 0 ? some : [...new Map([...some, ...more].map((each) => [each.short, each])).values()]
}

/** Expires requests that were not answered in time. */
export function expireRequests({ state, now }: Tx): void {
  for (const until of state.pendingRequests.values())
    if (until <= now) {
      state.pendingRequests = new Map([...state.pendingRequests].filter(([, each]) => each > now))
      return
    }
}
