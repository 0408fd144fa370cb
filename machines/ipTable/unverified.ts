import { UNVERIFIED_MAX } from '../../protocol/defaults/ipTable.ts'
import type { IpTableFile } from '../../protocol/files/ipTable.ts'
import type { PeerAt } from '../../protocol/ipTable.ts'
import { formatAddress, isIPv4, isIPv6 } from '../../protocol/net/address.ts'
import { directEndpoint } from '../../protocol/net/endpoint.ts'
import { refusal } from '../../protocol/net/reachable.ts'
import { rowOf } from './peerRow.ts'
import { isSelfAt, type Self, type Table } from './peerTable.ts'

/**
 * Addresses that anonymous callers named and that were not probed yet, the oldest first. Nothing about them is
 * trusted.
 */
export type Unverified = ReadonlyMap<string, PeerAt>

/** Returns the addresses in the table of another node. An entry behind a NAT without a reachable address has none. */
export function namedIn({ ip_address: entries }: IpTableFile): PeerAt[] {
  return entries
    .filter((entry) => !(entry.NAT && entry.EscapeImplementation === 'None'))
    .flatMap((entry) => rowOf(entry)?.endpoints ?? [])
    .map(({ host, port }) => ({ host, port }))
}

/**
 * Adds addresses that an anonymous caller named, if they are new and may be dialled, and leaves room for other
 * callers.
 */
export function addUnverified(
  unverified: Unverified,
  named: readonly PeerAt[],
  { table, self, test }: { table: Table; self: Self; test: boolean },
): Unverified {
  const known = new Set([...table.values()].flatMap((row) => row.endpoints.map(formatAddress)))
  const perHost = new Map<string, number>()
  const next = new Map(unverified)
  for (const { host } of next.values()) perHost.set(host, (perHost.get(host) ?? 0) + 1)
  for (const at of named.map(directEndpoint)) {
    if (next.size >= UNVERIFIED_MAX.all) break
    const key = formatAddress(at)
    const count = perHost.get(at.host) ?? 0
    if (known.has(key) || next.has(key) || count >= UNVERIFIED_MAX.perHost || isSelfAt(self, at)) continue
    // A host name is resolved, and its address checked, when it is dialled.
    const isIp = isIPv4(at.host) || isIPv6(at.host)
    if (isIp && refusal(at.host, at.port, { test })) continue
    next.set(key, at)
    perHost.set(at.host, count + 1)
  }
  return next
}
