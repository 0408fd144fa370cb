import { TABLE_TICK_MS } from '../../protocol/defaults/ipTable.ts'
import { newEntry, type TableEntry } from '../../protocol/files/ipTable.ts'
import type { Failure, NodeId } from '../../protocol/ids.ts'
import type { Peer } from '../../protocol/ipTable.ts'
import { formatAddress, isIPv6 } from '../../protocol/net/address.ts'
import {
  type Endpoint,
  formatEndpoint,
  isPunched,
  isSameEndpoint,
  kindRank,
  parseEndpoint,
  placeOf,
} from '../../protocol/net/endpoint.ts'
import type { Specs } from '../../protocol/specs.ts'
import type { Machine } from '../../protocol/wire/record.ts'
import { specsIn, storedSpecs } from './storedSpecs.ts'

/** An endpoint of a peer in the table. Times are ticks of the table. */
export type KnownEndpoint = Endpoint & {
  provedAt: number | null
  failedAt: number | null
  /** Whether the owner named it or a key was proved there. Then it may be dialled in any range. */
  trusted: boolean
  /** Why the last dial did not reach the peer there, and when, in milliseconds since 1970. */
  failure?: Failure & { at: number }
}

/** A peer in the table: its entry in the file, and its status. */
export interface Row {
  /** The node id, or the first address of a Go peer. */
  key: string
  /** The entry as it was read, unknown keys included. The fields of the row take precedence. */
  entry: TableEntry
  endpoints: readonly KnownEndpoint[]
  status: Peer['state'] | 'dropped'
  answeredAt: number | null
  /** The tick of its last answer to an earlier process, before 0; null if there is none. */
  answeredBefore: number | null
  /** The host from which it last opened a link, on which it proved its key. */
  linkHost: string | null
  /** The tick of the last exchange of tables with a peer without a key. */
  exchangedAt: number | null
  /** The tick of the last probe or contact. */
  probedAt: number | null
  failures: number
  /** The tick of the last latency measurement. */
  measuredAt: number | null
  /** The sequence number of the author's newest record; 0 if there is none. */
  seq: number
  /** The machine specifications in that record. */
  machine: Machine | null
  /** To whom it lends ports, by that record. */
  relays: Peer['relays']
  showsDomains: boolean
  /** Whether gossip reports it alive. Then a failed probe only means that it cannot be dialled from here. */
  alive: boolean
  /** How this node reaches it. */
  path: Peer['path']
  specs: Specs | null
}

/** `startedAt` is the time of tick 0, in milliseconds since 1970. */
export function rowOf(entry: TableEntry, status: Row['status'] = 'unproved', startedAt?: number): Row | undefined {
  const port = Number(entry.ServerPort)
  const trusted = new Set((entry.Trusted ?? []).map(parsed).filter(present).map(placeOf))
  const hosts = [entry.IPV6, entry.IPV4].filter((host) => host !== '')
  const named = hosts.map((host) => parsed(formatAddress({ host, port })))
  const listed = (entry.Addresses ?? []).map(parsed).filter(present)
  // `IPV4` and `IPV6` cannot say of which kind an address is; `Addresses` repeats one that is not direct.
  const kinds = new Map(listed.map((at) => [placeOf(at), at.kind]))
  const endpoints = [...named.filter(present), ...listed]
    .map((at) => untried({ ...at, kind: kinds.get(placeOf(at)) ?? at.kind }, trusted.has(placeOf(at))))
    .filter((at, index, all) => all.findIndex((other) => isSameEndpoint(other, at)) === index)
  const first = endpoints[0]
  if (!first) return undefined
  const key = entry.NodeId ?? formatEndpoint(first)
  const { AnsweredAt } = entry
  const before = startedAt === undefined || AnsweredAt === undefined ? null : AnsweredAt - startedAt
  const answeredBefore = before === null ? null : Math.min(0, Math.round(before / TABLE_TICK_MS))
  const answeredAt = status === 'answering' ? answeredBefore : null
  return { ...newRow(key, entry, endpoints, status), answeredAt, answeredBefore, specs: specsIn(entry) }
}

/** Returns the row of a peer of which only an endpoint is known. */
export function rowAt(endpoint: Endpoint, fields: Partial<TableEntry> = {}): Row {
  const key = fields.NodeId ?? formatEndpoint(endpoint)
  return newRow(key, newEntry(fields), [untried(endpoint, fields.Added === true)])
}

/** Returns an endpoint as the table keeps it before the first dial. */
export function untried(endpoint: Endpoint, trusted = false): KnownEndpoint {
  return { ...endpoint, provedAt: null, failedAt: null, trusted }
}

/** Returns an endpoint without what the table knows of it. */
export function endpointOf({ kind, host, port }: KnownEndpoint): Endpoint {
  return { kind, host, port }
}

/** Returns the row of a peer that has not been observed yet. */
export function newRow(
  key: string,
  entry: TableEntry,
  endpoints: readonly KnownEndpoint[],
  status: Row['status'] = 'unproved',
): Row {
  return {
    key,
    entry,
    endpoints,
    status,
    answeredAt: null,
    answeredBefore: null,
    linkHost: null,
    exchangedAt: null,
    probedAt: null,
    failures: 0,
    measuredAt: null,
    seq: 0,
    machine: null,
    relays: 'nobody',
    showsDomains: false,
    alive: false,
    path: null,
    specs: null,
  }
}

/**
 * Returns the entry for the file. Go dials `IPV4` and `IPV6` at the one `ServerPort`, so an address with another port
 * goes to `Addresses`; a host name goes to `IPV4`, which Go resolves. So does an address that is not direct, for its kind.
 */
export function entryOf(row: Row, startedAt: number): TableEntry {
  const known = entries.get(row)
  if (known?.startedAt === startedAt) return known.entry
  const entry = toEntry(row, startedAt)
  entries.set(row, { startedAt, entry })
  return entry
}

/** Rows are never modified, and most are the same from one save to the next. */
const entries = new WeakMap<Row, { startedAt: number; entry: TableEntry }>()

function toEntry(row: Row, startedAt: number): TableEntry {
  const sorted = bestFirst(row)
  const dialled = sorted.filter((at) => !isPunched(at))
  const four = dialled.find(({ host }) => !isIPv6(host))
  const port = (four ?? dialled[0])?.port
  const six = dialled.find((at) => isIPv6(at.host) && at.port === port)
  const rest = sorted.filter((at) => at.kind !== 'direct' || (at !== four && at !== six))
  const trusted = sorted.filter((at) => at.trusted)
  const { Addresses: _addresses, Trusted: _trusted, AnsweredAt: _at, ...entry } = row.entry
  const answeredAt = row.answeredAt ?? row.answeredBefore
  return {
    ...entry,
    IPV4: four?.host ?? '',
    IPV6: six?.host ?? '',
    ServerPort: port === undefined ? '' : String(port),
    ...(rest.length > 0 && { Addresses: rest.map(formatEndpoint) }),
    ...(trusted.length > 0 && { Trusted: trusted.map(formatEndpoint) }),
    ...(answeredAt !== null && { AnsweredAt: startedAt + answeredAt * TABLE_TICK_MS }),
    ...(row.specs && storedSpecs(row.specs)),
  }
}

/** Returns the row as a peer. `linked`: there is an open gossip link, over which the peer sends every second or two. */
export function peerOf(row: Row, now: number, tickMs: number, linked = false): Peer {
  const { entry } = row
  const answeredAt = row.answeredAt ?? row.answeredBefore
  const answeredAgoMs = answeredAt === null ? null : (now - answeredAt) * tickMs
  return {
    ...(entry.NodeId && { id: entry.NodeId as NodeId }),
    name: printable(entry.Name),
    key: entry.PublicKey.trim(),
    endpoints: bestFirst(row).map(endpointOf),
    state: row.status === 'dropped' ? 'suspected' : row.status,
    answeredAgoMs: linked ? 0 : answeredAgoMs,
    path: row.path,
    linked,
    dialable: row.endpoints.some(({ provedAt, failedAt }) => provedAt !== null || failedAt === null),
    relays: row.relays,
    showsDomains: row.showsDomains,
    latencyNs: entry.Latency || null,
    download: entry.Download || null,
    upload: entry.Upload || null,
    information: printable(entry.CustomInformation),
    machine: row.machine,
    specs: row.specs,
  }
}

/**
 * Sorts endpoints: those that answered this process first, then those where the key was proved before or from where the
 * peer opened its link, then those that it only advertises; the best kind before the others, IPv6 before IPv4; those that
 * failed last.
 */
export function bestFirst({ endpoints, linkHost }: Pick<Row, 'endpoints' | 'linkHost'>): KnownEndpoint[] {
  const rank = (at: KnownEndpoint) =>
    (at.failedAt === null || (at.provedAt !== null && at.provedAt >= at.failedAt) ? 0 : 32) +
    (at.provedAt !== null ? 0 : at.trusted || at.host === linkHost ? 8 : 16) +
    rungOf(at)
  return [...endpoints].sort((one, other) => rank(one) - rank(other))
}

/** The place of an endpoint on the ladder, 0 for the best: by its kind, IPv6 before IPv4. */
export function rungOf(at: Endpoint): number {
  return kindRank(at) * 2 + (isIPv6(at.host) ? 0 : 1)
}

/** Returns the order to dial in: the best first, but an endpoint on a better rung is retried at intervals. */
export function dialOrder(row: Row, now: number, retryTicks: number): KnownEndpoint[] {
  const sorted = bestFirst(row)
  const used = sorted[0] ? rungOf(sorted[0]) : 0
  const waiting = sorted.find((at) => rungOf(at) < used && (at.failedAt === null || now - at.failedAt >= retryTicks))
  return waiting ? [waiting, ...sorted.filter((at) => at !== waiting)] : sorted
}

/** Parses an endpoint from a file or a message; returns undefined if it is invalid. A name without dots is valid. */
export function parsed(where: string): Endpoint | undefined {
  try {
    return parseEndpoint(where)
  } catch {
    return undefined
  }
}

/** Makes text of others safe for a terminal: removes control characters and bidirectional formatting characters. */
function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '?').slice(0, 4_096)
}

function present<T>(value: T | undefined): value is T {
  return value !== undefined
}
