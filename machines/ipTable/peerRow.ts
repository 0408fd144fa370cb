import { newEntry, type TableEntry } from '../../protocol/files/ipTable.ts'
import type { NodeId } from '../../protocol/ids.ts'
import type { Peer } from '../../protocol/ipTable.ts'
import { formatAddress, isIPv6 } from '../../protocol/net/address.ts'
import { type Endpoint, formatEndpoint, isSameEndpoint, parseEndpoint } from '../../protocol/net/endpoint.ts'
import type { Specs } from '../../protocol/specs.ts'
import type { Machine } from '../../protocol/wire/record.ts'

/** An endpoint of a peer in the table. Times are ticks of the table. */
export type KnownEndpoint = Endpoint & {
  provedAt: number | null
  failedAt: number | null
  /** Whether the owner named it or a key was proved there. Then it may be dialled in any range. */
  trusted: boolean
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
  /** The tick of the last probe or contact. */
  probedAt: number | null
  failures: number
  /** The tick of the last latency measurement. */
  measuredAt: number | null
  /** The sequence number of the author's newest record; 0 if there is none. */
  seq: number
  /** The machine specifications in that record. */
  machine: Machine | null
  /** Whether gossip reports it alive. Then a failed probe only means that it cannot be dialled from here. */
  alive: boolean
  specs: Specs | null
}

export function rowOf(entry: TableEntry, status: Row['status'] = 'unproved'): Row | undefined {
  const port = Number(entry.ServerPort)
  const trusted = new Set((entry.Trusted ?? []).map(parsed).filter(present).map(formatEndpoint))
  const hosts = [entry.IPV6, entry.IPV4].filter((host) => host !== '')
  const named = hosts.map((host) => parsed(formatAddress({ host, port })))
  const endpoints = [...named, ...(entry.Addresses ?? []).map(parsed)]
    .filter(present)
    .map((at) => untried(at, trusted.has(formatEndpoint(at))))
    .filter((at, index, all) => all.findIndex((other) => isSameEndpoint(other, at)) === index)
  const first = endpoints[0]
  if (!first) return undefined
  const key = entry.NodeId ?? formatEndpoint(first)
  return newRow(key, entry, endpoints, status)
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
export function endpointOf({
  provedAt: _proved,
  failedAt: _failed,
  trusted: _trusted,
  ...endpoint
}: KnownEndpoint): Endpoint {
  return endpoint
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
    probedAt: null,
    failures: 0,
    measuredAt: null,
    seq: 0,
    machine: null,
    alive: false,
    specs: null,
  }
}

/**
 * Returns the entry for the file. Go dials `IPV4` and `IPV6` at the one `ServerPort`, so an address with another port
 * goes to `Addresses`; a host name goes to `IPV4`, which Go resolves.
 */
export function entryOf(row: Row): TableEntry {
  const sorted = bestFirst(row.endpoints)
  const four = sorted.find(({ host }) => !isIPv6(host))
  const port = (four ?? sorted[0])?.port
  const six = sorted.find((at) => isIPv6(at.host) && at.port === port)
  const rest = sorted.filter((at) => at !== four && at !== six)
  const trusted = sorted.filter((at) => at.trusted)
  const { Addresses: _addresses, Trusted: _trusted, ...entry } = row.entry
  return {
    ...entry,
    IPV4: four?.host ?? '',
    IPV6: six?.host ?? '',
    ServerPort: port === undefined ? '' : String(port),
    ...(rest.length > 0 && { Addresses: rest.map(formatEndpoint) }),
    ...(trusted.length > 0 && { Trusted: trusted.map(formatEndpoint) }),
  }
}

/**
 * Returns the entry that others may see, without this node's measurements and without fields that only its owner set.
 */
export function publicEntryOf(row: Row): TableEntry {
  return {
    ...entryOf(row),
    Latency: 0,
    Download: 0,
    Upload: 0,
    // Go nodes in unsafe mode write every key of a table into `authorized_keys`, so no key is sent.
    PublicKey: '',
    NodeId: undefined,
    Addresses: undefined,
    Added: undefined,
    Trusted: undefined,
  }
}

/** Returns the row as a peer. `linked`: there is an open gossip link, over which the peer sends every second or two. */
export function peerOf(row: Row, now: number, tickMs: number, linked = false): Peer {
  const { entry } = row
  const answeredAgoMs = row.answeredAt === null ? null : (now - row.answeredAt) * tickMs
  return {
    ...(entry.NodeId && { id: entry.NodeId as NodeId }),
    name: printable(entry.Name),
    key: entry.PublicKey.trim(),
    endpoints: bestFirst(row.endpoints).map(endpointOf),
    state: row.status === 'dropped' ? 'suspected' : row.status,
    answeredAgoMs: linked ? 0 : answeredAgoMs,
    linked,
    dialable: row.endpoints.some(({ provedAt, failedAt }) => provedAt !== null || failedAt === null),
    latencyNs: entry.Latency || null,
    download: entry.Download || null,
    upload: entry.Upload || null,
    information: printable(entry.CustomInformation),
    machine: row.machine,
    specs: row.specs,
  }
}

/** Sorts endpoints: proved ones first, then IPv6 before IPv4, and those that failed last. */
export function bestFirst(endpoints: readonly KnownEndpoint[]): KnownEndpoint[] {
  const rank = (at: KnownEndpoint) =>
    (at.failedAt === null || (at.provedAt !== null && at.provedAt >= at.failedAt) ? 0 : 4) +
    (at.provedAt === null ? 2 : 0) +
    (isIPv6(at.host) ? 0 : 1)
  return [...endpoints].sort((one, other) => rank(one) - rank(other))
}

/** Returns the order to dial in: the best first, but an IPv6 endpoint that was never proved is retried at intervals. */
export function dialOrder(row: Row, now: number, retryTicks: number): KnownEndpoint[] {
  const sorted = bestFirst(row.endpoints)
  if (isIPv6(sorted[0]?.host ?? '')) return sorted
  const waiting = sorted.find(
    ({ host, failedAt }) => isIPv6(host) && (failedAt === null || now - failedAt >= retryTicks),
  )
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
