import {
  LATENCY_INTERVAL_MS,
  LEGACY_EXCHANGE_INTERVAL_MS,
  PROBE,
  TABLE_TICK_MS,
} from '../../protocol/defaults/ipTable.ts'
import type { UnverifiedPeer } from '../../protocol/ipTable.ts'
import { placeOf } from '../../protocol/net/endpoint.ts'
import type { Outcome, ProbeInput } from './ipTablePorts.ts'
import { addObservation, keyProved, legacyAnswered, probeFailed } from './peerChange.ts'
import { dialOrder, type Row, untried } from './peerRow.ts'
import { type Change, type Self, set, type Table } from './peerTable.ts'
import { publicRows, uploadOf } from './publicTable.ts'
import type { Unverified } from './unverified.ts'

/** How long a failed IPv6 endpoint is not retried while IPv4 works, in ticks: ten minutes. */
const V6_RETRY_TICKS = (20 * PROBE.intervalMs) / TABLE_TICK_MS

/**
 * The number of gossip members that are probed as often as other peers; with more members, each is probed less often.
 */
const OFTEN_PEERS = 50

/**
 * Of so many peers, one that gossip confirms and whose latency is not known yet is probed per tick while this node starts; of
 * a multiple of them, one in as many ticks, so that all nodes of a network that starts are not busy with that.
 */
const UNMEASURED_OFTEN_PEERS = 8

/** Ticks from one look at what is due to the next while nothing is. It is also how stale the time in the table may be. */
const QUIET_STEP_TICKS = 4

/** For so long after a request for the list, a peer is measured each `PROBE.listedSpacingMs`. */
const LISTED_TICKS = 120

/** Until then a node meets those around it, so that what is named to it is probed within one tick. */
const START_TICKS = 60

/**
 * Until then a node requests no specifications. The first reading starts eight programs at each node, and where many start
 * at the same moment they have their network to find first.
 */
const SPECS_TICKS = 15

const EVERY_TICKS = PROBE.intervalMs / TABLE_TICK_MS

const EXCHANGE_TICKS = LEGACY_EXCHANGE_INTERVAL_MS / TABLE_TICK_MS

/**
 * Nodes announced on the LAN that are probed in a tick, and the ticks between two such while gossip has links. One link is
 * enough for gossip to list all of them but those of another network.
 */
const ANNOUNCED_PER_TICK = 2
const ANNOUNCED_LINKED_TICKS = 5

interface WatchState {
  table: Table
  self: Self
  now: number
  /** Ticks since the last look at what is due: 1 unless told otherwise. */
  step?: number
  unverified: Unverified
  /** The keys of the probes in progress. */
  probing: ReadonlySet<string>
  /** Whether gossip has a link. */
  linked?: boolean
  /** The tick of the last request for the list. */
  listedAt?: number | null
  signal: AbortSignal
}

/**
 * Selects the probes of this tick: peers that are due, the longest overdue first, and endpoints that anonymous
 * callers named. Each kind gets at least half of the dials, so that neither many peers nor many unverified endpoints
 * starve the other.
 */
export function planProbes(state: WatchState): { probes: ProbeInput[]; unverified: Unverified; table: Table } {
  const { table, self, now, step = 1, unverified, probing, linked = false, listedAt = null, signal } = state
  const spacing = spacingOf(now, listedAt)
  const free = Math.max(0, Math.min(PROBE.dialsPerSecond, PROBE.maxConcurrent - probing.size))
  const listed = new Set([...table.values()].filter(({ alive }) => alive).flatMap(endpointKeys))
  const waiting = [...unverified].filter(([key]) => !probing.has(key) && !listed.has(key))
  const overdue = dueRows(table, now, spacing).filter(({ key }) => !probing.has(key))
  // Gossip confirms that these peers are alive, so measuring their latency is not urgent, even if a whole network
  // starts.
  const every = pacedTicks(now, table.size, spacing)
  const isTurn = Math.floor(now / every) > Math.floor((now - step) / every)
  const later = new Set(overdue.filter(isPaced).slice(isTurn ? 1 : 0))
  const rows = overdue.filter((row) => !later.has(row))
  const due = rows.slice(0, Math.max(Math.ceil(free / 2), free - waiting.length))
  // Those without fields were announced on the LAN.
  const isAnnouncedTurn = !linked || now % ANNOUNCED_LINKED_TICKS === 0
  const announced = waiting.filter(([, { fields }]) => !fields).slice(0, isAnnouncedTurn ? ANNOUNCED_PER_TICK : 0)
  const fresh = [...waiting.filter(([, { fields }]) => fields), ...announced].slice(0, free - due.length)
  const left = new Map([...unverified].filter(([key]) => !listed.has(key)))
  for (const [key] of fresh) left.delete(key)
  const exchanging = due.find((row) => isExchangeDue(row, now))
  const upload = exchanging && { upload: uploadOf(publicRows(table, self, now)) }
  return {
    probes: [
      ...due.map((row) => ({
        ...probeOf(row, { now, signal }),
        specs: now >= SPECS_TICKS,
        ...(row === exchanging && upload),
      })),
      ...fresh.map(([key, { endpoint, fields }]) => ({
        key,
        endpoints: [untried(endpoint)],
        keyed: false,
        measure: false,
        specs: now >= SPECS_TICKS,
        ...(fields && { fields }),
        signal,
      })),
    ],
    unverified: left,
    table: exchanging ? set(table, { ...exchanging, exchangedAt: now }) : table,
  }
}

/** Returns the ticks between two probes of peers that gossip confirms: few while somebody looks at the list, else many. */
function spacingOf(now: number, listedAt: number | null): number {
  const isListed = listedAt !== null && now - listedAt < LISTED_TICKS
  return (isListed ? PROBE.listedSpacingMs : PROBE.confirmedSpacingMs) / TABLE_TICK_MS
}

/** Returns the ticks between two probes of peers that are paced. An idle node has time for them. */
function pacedTicks(now: number, peers: number, spacing: number): number {
  if (now < START_TICKS) return Math.max(1, Math.min(spacing, Math.ceil(peers / UNMEASURED_OFTEN_PEERS)))
  return Math.max(1, Math.min(peers, spacing))
}

/** Returns the ticks until the next look at what is due: several if nothing will be before, so that an idle node sleeps. */
export function stepOf({
  table,
  now,
  unverified,
  probing,
  listedAt = null,
}: Pick<WatchState, 'table' | 'now' | 'unverified' | 'probing' | 'listedAt'>): number {
  const spacing = spacingOf(now, listedAt)
  const isQuiet =
    now >= START_TICKS &&
    unverified.size === 0 &&
    probing.size === 0 &&
    // Paced ones can wait for the next look, unless one is probed each second.
    dueRows(table, now + QUIET_STEP_TICKS, spacing).every((row) => spacing > QUIET_STEP_TICKS && isPaced(row))
  return isQuiet ? QUIET_STEP_TICKS : 1
}

function endpointKeys({ endpoints }: Row): string[] {
  return endpoints.map(placeOf)
}

/** Whether tables are to be exchanged with a peer without a key. A peer with one learns of others by gossip. */
function isExchangeDue({ entry, exchangedAt }: Row, now: number): boolean {
  return !entry.NodeId && (exchangedAt === null || now - exchangedAt >= EXCHANGE_TICKS)
}

/** Returns the peers that a probed peer named, if tables were exchanged. */
export function namedBy(outcome: Outcome): readonly UnverifiedPeer[] {
  return outcome.kind === 'legacy' ? (outcome.named ?? []) : []
}

export function probeOf(row: Row, { now, signal }: Pick<WatchState, 'now' | 'signal'>): ProbeInput {
  const endpoints = dialOrder(row, now, V6_RETRY_TICKS)
  const measure = row.measuredAt === null || now - row.measuredAt >= LATENCY_INTERVAL_MS / TABLE_TICK_MS
  return { key: row.key, endpoints, keyed: row.entry.NodeId !== undefined, measure, specs: true, signal }
}

/** Applies the outcome of a probe of the row or unverified endpoint `key` to the table. */
export function applyOutcome(
  { table, self, now }: { table: Table; self: Self; now: number },
  key: string,
  outcome: Outcome,
): Change {
  if (outcome.kind === 'silent') return probeFailed(table, key, now)
  const row = table.get(key)
  if (outcome.kind === 'skipped') {
    return { table: row ? set(table, { ...row, probedAt: now }) : table, emitted: [] }
  }
  const change =
    outcome.kind === 'node' ? keyProved(table, outcome.contact, self, now) : legacyAnswered(table, outcome, self, now)
  const at = outcome.kind === 'node' ? outcome.contact.endpoint : outcome.at
  const { latencyNs, specs } = outcome
  return addObservation(change, at, { ...(latencyNs !== undefined && { latencyNs }), ...(specs && { specs }) }, now)
}

/** Returns the rows that are due for a probe, the longest overdue first. `spacing`: the ticks between two that gossip confirms. */
export function dueRows(table: Table, now: number, spacing = PROBE.confirmedSpacingMs / TABLE_TICK_MS): Row[] {
  const confirmed = [...table.values()].filter(isConfirmed).length
  const dueAt = (row: Row) =>
    row.probedAt === null
      ? Number.NEGATIVE_INFINITY
      : row.probedAt + probeInterval(row, table.size, confirmed * spacing)
  return [...table.values()]
    .filter((row) => row.endpoints.length > 0 && dueAt(row) <= now)
    .sort((one, other) => dueAt(one) - dueAt(other))
}

/** Returns the ticks between two probes of a peer; `round` are those in which each that gossip confirms has its turn. */
function probeInterval(row: Row, peers: number, round: number): number {
  if (isConfirmed(row)) return Math.max(PROBE.confirmedIntervalMs / TABLE_TICK_MS, round)
  if (isUnmeasured(row) && row.measuredAt !== null && row.status === 'answering') return SPECS_TICKS
  // In a large network gossip knows which nodes are alive, and each probe costs both nodes the same.
  if (row.status !== 'dropped') return row.seq > 0 ? EVERY_TICKS * Math.max(1, peers / OFTEN_PEERS) : EVERY_TICKS
  const doubled = EVERY_TICKS * 2 ** Math.min(row.failures - PROBE.dropAfter, 30)
  return Math.min(doubled, PROBE.maxIntervalMs / TABLE_TICK_MS)
}

/** Whether gossip lists the peer and this node does not know yet how near it is, or its specifications. */
function isUnmeasured(row: Row): boolean {
  return row.seq > 0 && !isMeasured(row)
}

/** Whether gossip sees to it that the peer is alive, and this node knows how near it is, and its specifications. */
function isConfirmed(row: Row): boolean {
  return row.alive && isMeasured(row)
}

/** Whether nothing depends on when the peer is probed, so that one such peer is after another. */
function isPaced(row: Row): boolean {
  return isUnmeasured(row) || isConfirmed(row)
}

function isMeasured({ measuredAt, specs }: Row): boolean {
  return measuredAt !== null && specs !== null
}
