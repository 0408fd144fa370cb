import type { NodeId } from '../../protocol/ids.ts'
import { formatAddress } from '../../protocol/net/address.ts'
import { refusal } from '../../protocol/net/reachable.ts'
import { subnetOf } from '../../protocol/net/subnet.ts'
import { parsed } from './peerRow.ts'
import type { Self } from './peerTable.ts'

/**
 * Where this node can be dialled, as far as it can know: what its interfaces have, and what others see. Behind a NAT the
 * second is the only way to learn it, and needs no outside service.
 */

/** What peers have last said of where this node appears: host by peer. */
export type Seen = ReadonlyMap<NodeId, string>

/** Peers whose word is kept, the latest. */
const WITNESSES_MOST = 16

/** One peer may be wrong, or see this node in an odd way. Who lies gains nothing: any record may name any address. */
const WITNESSES_LEAST = 2

/** Addresses that a record has room for. */
const PLACES_MOST = 8

/** 100.64.0.0/10. */
const CARRIER_NAT = /^100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\./

export function witness(seen: Seen, by: NodeId, address: string): Seen {
  const host = parsed(address)?.host
  // A peer of the same network sees an address that is known already, or one that only that network has.
  if (!host || isPrivate(host) || refusal(host, 443)) return seen
  return new Map([...[...seen].filter(([id]) => id !== by), [by, host] as const].slice(-WITNESSES_MOST))
}

/** `ip:port`, best first. */
export function placesOf({ outside, port }: Self, seen: Seen): string[] {
  const counts = new Map<string, number>()
  for (const host of seen.values()) counts.set(host, (counts.get(host) ?? 0) + 1)
  const agreed = [...counts].filter(([, count]) => count >= WITNESSES_LEAST).map(([host]) => host)
  const hosts = [...new Set([...outside.filter((host) => !isPrivate(host)), ...agreed, ...outside])]
  return hosts.slice(0, PLACES_MOST).map((host) => formatAddress({ host, port }))
}

/** The ranges of one network or machine, and those that providers share among customers (RFC 6598). */
function isPrivate(host: string): boolean {
  return subnetOf(formatAddress({ host, port: 1 })).private || CARRIER_NAT.test(host)
}
