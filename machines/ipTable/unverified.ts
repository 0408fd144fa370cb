import { UNVERIFIED_MAX } from '../../protocol/defaults/ipTable.ts'
import type { IpTableFile } from '../../protocol/files/ipTable.ts'
import { type Endpoint, formatEndpoint, isNumeric } from '../../protocol/net/endpoint.ts'
import { refusal } from '../../protocol/net/reachable.ts'
import { endpointOf, rowOf } from './peerRow.ts'
import { isSelfAt, type Self, type Table } from './peerTable.ts'

/**
 * Endpoints that anonymous callers named and that were not probed yet, the oldest first. Nothing about them is
 * trusted.
 */
export type Unverified = ReadonlyMap<string, Endpoint>

/** Returns the endpoints in the table of another node. An entry behind a NAT without a reachable address has none. */
export function namedIn({ ip_address: entries }: IpTableFile): Endpoint[] {
  return entries
    .filter((entry) => !(entry.NAT && entry.EscapeImplementation === 'None'))
    .flatMap((entry) => rowOf(entry)?.endpoints ?? [])
    .map(endpointOf)
}

/**
 * Adds endpoints that an anonymous caller named, if they are new and may be dialled, and leaves room for other
 * callers.
 */
export function addUnverified(
  unverified: Unverified,
  named: readonly Endpoint[],
  { table, self, test }: { table: Table; self: Self; test: boolean },
): Unverified {
  const known = new Set([...table.values()].flatMap((row) => row.endpoints.map(formatEndpoint)))
  const perHost = new Map<string, number>()
  const next = new Map(unverified)
  for (const { host } of next.values()) perHost.set(host, (perHost.get(host) ?? 0) + 1)
  for (const at of named) {
    if (next.size >= UNVERIFIED_MAX.all) break
    const key = formatEndpoint(at)
    const count = perHost.get(at.host) ?? 0
    if (known.has(key) || next.has(key) || count >= UNVERIFIED_MAX.perHost || isSelfAt(self, at)) continue
    // A host name is resolved, and its address checked, when it is dialled.
    if (isNumeric(at) && refusal(at.host, at.port, { test })) continue
    next.set(key, at)
    perHost.set(at.host, count + 1)
  }
  return next
}
