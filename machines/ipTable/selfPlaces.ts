import { formatAddress, isIPv4 } from '../../protocol/address.ts'
import type { NodeId } from '../../protocol/ids.ts'
import { refusal } from '../../protocol/reachable.ts'
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
  const hosts = [...new Set([...outside.filter(notPrivate), ...agreed, ...outside])]
  return hosts.slice(0, PLACES_MOST).map((host) => formatAddress({ host, port }))
}

function notPrivate(host: string): boolean {
  return !isPrivate(host)
}

function isPrivate(host: string): boolean {
  return isIPv4(host)
    ? /^(10|127|192\.168|169\.254|172\.(1[6-9]|2\d|3[01])|100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7]))\./.test(host)
    : /^(::1?$|f[cd]|fe[89ab])/i.test(host)
}
