import { BATCH, type WireBody } from '../../protocol/wire/gossip.ts'
import { SHORT_CHARS, type ShortId, type SignedRecord } from '../../protocol/wire/record.ts'
import { differing, packVersion, unpackVersions, type Version } from './digest.ts'
import type { Link } from './gossipState.ts'
import { isActiveHere } from './linkPhase.ts'
import { isBanned, MAX_HOPS, mergeRecord, newestRecord, penalize, refuteInterval, signOwnRecord } from './membership.ts'
import { inBatches } from './recordBatches.ts'
import { getEntry } from './shardedMap.ts'
import { wasRejected } from './subnetQuota.ts'
import { takeTokens } from './tokenBucket.ts'
import { activeLinks, pick, queueSuspicion, random, type SuspicionMessage, send, setLink, type Tx } from './tx.ts'

// Dissemination of records. A new record is pushed at once to a few links. The heartbeats of each round carry the root hash
// and the recent versions, so that nodes request what they lack. Comparing digests finds all other differences.

/** A record is no longer forwarded once this share of the network should have it; the remaining nodes request it. */
const MAX_PUSHED_SHARE = 0.42

/** Networks below this size are treated as if they had it, because there latency matters more than superfluous copies. */
const SMALL_NETWORK = 128

/** Number of nodes that request a record from a node in the time of one hop, as measured, besides its pushes. */
const REQUESTS_PER_HOP = 1.5

export function heartbeat(tx: Tx, link: Link, nonce: number): WireBody<'probe/ping'> {
  const { state, tools } = tx
  const recent = recentVersions(tx).map(packVersion).join('')
  return { nonce, root: tools.digest.root(state.members), ...(recent && { recent }), active: isActiveHere(link) }
}

/** Pushes records that were forwarded `hops` times to a few random links, or to all if `everywhere`. */
export function push(
  tx: Tx,
  records: readonly SignedRecord[],
  hops: number,
  except?: string,
  everywhere = false,
): void {
  const { config, members } = tx.state
  if (records.length === 0) return
  const reached = (config.fanout + REQUESTS_PER_HOP) ** Math.min(hops, 32)
  if (!everywhere && hops > 0 && reached > Math.max(members.size, SMALL_NETWORK) * MAX_PUSHED_SHARE) return
  const links = activeLinks(tx).filter((link) => link.id !== except)
  const messages = inBatches(tx, records, hops)
  for (const { id } of pick(tx, links, everywhere ? links.length : config.fanout))
    for (const message of messages) send(tx, id, message)
}

/** Signs the own record anew and pushes it. */
export function publish(tx: Tx, change?: Parameters<typeof signOwnRecord>[1], everywhere = false): void {
  push(tx, [signOwnRecord(tx, change)], 0, undefined, everywhere)
}

/** Refutes suspicions of this node with a newer record, at most once in `refuteInterval`. */
export function refute(tx: Tx): void {
  const { state, now } = tx
  if (state.refuteSeq < state.self.record.seq || now < state.refutedAt + refuteInterval(state)) return
  state.refutedAt = now
  publish(tx, {}, true)
}

export function onRecords(tx: Tx, link: Link, { records, hops, ages = [] }: WireBody<'table/records'>): void {
  const { state, tools, now } = tx
  const fresh: SignedRecord[] = []
  for (const [at, [text, signature]] of records.entries()) {
    const signed = tools.read(text, signature)
    if (!signed) {
      penalize(tx, link, 'it sent an invalid record')
      return
    }
    const newest = newestRecord(tx, signed.short)
    if (newest && !mayChange(newest, signed) && link.peer !== signed.short) {
      answerIfRemoved(tx, link, newest, signed)
      continue
    }
    const present = state.links.get(link.id) ?? link
    const [granted, rest] = takeTokens(present.recordTokens, now, 1, state.config.recordsPerSecond)
    setLink(tx, { ...present, recordTokens: rest })
    if (granted === 0) break
    const ageMs = (ages[at] ?? 0) * 1_000
    const result = mergeRecord(tx, signed, present, Math.min(MAX_HOPS, hops + 1), ageMs)
    if (result === 'forged') {
      penalize(tx, present, 'it forwarded a forged record')
      return
    }
    if (result === 'new') fresh.push(signed)
    if (result === 'conflict') notifyAuthor(tx, signed)
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
  const [granted, servedTokens] = takeTokens(link.servedTokens, tx.now, ids.length, config.servedPerSecond)
  const present = setLink(tx, { ...link, servedTokens })
  sendRecords(
    tx,
    present,
    ids.slice(0, granted).flatMap((short) => newestRecord(tx, short) ?? []),
  )
}

/** Compares the peer's heartbeat with the own table. If recent versions do not explain a difference, the pinging end sends digests. */
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
  if (link.failedSyncRoots === pair && now < link.syncBackoffUntil) return
  // If the same two roots meet again, the comparison did not help, and is not repeated for a while.
  setLink(tx, { ...link, syncAt: now, failedSyncRoots: pair, syncBackoffUntil: now + state.config.syncBackoffMs })
  send(tx, link.id, { kind: 'table/buckets', body: { buckets: tools.digest.buckets(state.members) } })
}

export function onBuckets(tx: Tx, link: Link, { buckets }: WireBody<'table/buckets'>): void {
  const { state, tools, now } = tx
  const [granted, digestTokens] = takeTokens(link.digestTokens, now, 1, state.config.digestsPerSecond)
  setLink(tx, { ...link, digestTokens })
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
  const removed: SuspicionMessage[] = []
  for (const [bucket, text] of buckets) {
    const theirs = new Map(unpackVersions(text).map(({ short, seq }) => [short, seq]))
    for (const [short, seq] of theirs) {
      const newest = newestRecord(tx, short)
      if (!newest || newest.record.seq < seq) {
        if (isWanted(tx, { short, seq })) missing.push({ short, seq })
      } else if (newest.record.seq > seq || newest.record.left) lacking.push(newest)
      else if (!getEntry(state.members, short) && !isBanned(tx, short)) removed.push([short, seq, state.self.short])
    }
    for (const mine of state.members.shards[bucket]?.values() ?? []) if (!theirs.has(mine.short)) lacking.push(mine)
  }
  // Many expire at once, and the peer will find most of them by itself.
  for (const suspicion of pick(tx, removed, BATCH.suspects)) queueSuspicion(tx, asked.id, suspicion)
  const some = pick(tx, lacking, 4 * BATCH.records)
  const link = setLink(tx, { ...asked, syncAt: 0, missing: union(asked.missing, missing) })
  sendRecords(tx, link, some)
  requestMissing(tx, link)
}

/** Requests records that are newer at the peer: each from one link at a time, and at most as many as may be verified. */
export function requestMissing(tx: Tx, { id }: Link): void {
  const { state, now } = tx
  const link = state.links.get(id)
  if (!link || link.missing.length === 0) return
  const { config } = state
  const [allowed] = takeTokens(link.recordTokens, now, BATCH.shortIds, config.recordsPerSecond)
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

/** Sends records in batches. By default, `hops` is that of the recent records; records that are not recent are not forwarded. */
export function sendRecords(tx: Tx, link: Link, records: readonly SignedRecord[], hops = hopsOf(tx, records)): void {
  for (const message of inBatches(tx, records, hops)) send(tx, link.id, message)
}

function mayChange(newest: SignedRecord, { record, text }: SignedRecord): boolean {
  return record.seq > newest.record.seq || (record.seq === newest.record.seq && text !== newest.text)
}

/** Tells a peer that still lists a removed member. If it always is the end that compares the tables, nothing else does. */
function answerIfRemoved(tx: Tx, link: Link, newest: SignedRecord, { short, record }: SignedRecord): void {
  if (getEntry(tx.state.members, short) || isBanned(tx, short)) return
  if (newest.record.seq > record.seq) sendRecords(tx, link, [newest])
  else queueSuspicion(tx, link.id, [short, record.seq, tx.state.self.short])
}

/** Sends a suspicion of the author of two records with one seq, which makes it sign a newer one. */
function notifyAuthor(tx: Tx, { short, record }: SignedRecord): void {
  for (const link of activeLinks(tx)) queueSuspicion(tx, link.id, [short, record.seq, tx.state.self.short])
}

function hopsOf({ state }: Tx, records: readonly SignedRecord[]): number {
  const hops = new Map(state.recent.map((each) => [each.short, each.hops]))
  return Math.max(0, ...records.map(({ short }) => hops.get(short) ?? MAX_HOPS))
}

function recentVersions(tx: Tx): Version[] {
  const { recent, config } = tx.state
  const since = tx.now - config.recentMs
  const versions: Version[] = []
  for (const { short, at } of recent) {
    // The list has the latest record first.
    if (at < since || versions.length === BATCH.recent) break
    const newest = newestRecord(tx, short)
    if (newest) versions.push({ short, seq: newest.record.seq })
  }
  return versions
}

function isNewer(tx: Tx, version: Version): boolean {
  return (newestRecord(tx, version.short)?.record.seq ?? 0) < version.seq && isWanted(tx, version)
}

function isWanted(tx: Tx, { short, seq }: Version): boolean {
  return !wasRejected(tx.state, short, seq) && !isBanned(tx, short)
}

function rootPair({ state, tools }: Tx, link: Link): string {
  return tools.digest.root(state.members) + link.root
}

function union(some: readonly Version[], more: readonly Version[]): readonly Version[] {
  if (some.length === 0) return more
  return more.length === 0 ? some : [...new Map([...some, ...more].map((each) => [each.short, each])).values()]
}

/** Removes requests that were not answered in time. */
export function expireRequests({ state, now }: Tx): void {
  for (const until of state.pendingRequests.values())
    if (until <= now) {
      state.pendingRequests = new Map([...state.pendingRequests].filter(([, each]) => each > now))
      return
    }
}
