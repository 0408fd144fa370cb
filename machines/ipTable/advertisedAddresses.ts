import type { NodeId } from '../../protocol/ids.ts'
import { formatAddress } from '../../protocol/net/address.ts'
import { isPrivate, rangeOf } from '../../protocol/net/ranges.ts'
import { refusal } from '../../protocol/net/reachable.ts'
import { parsed } from './peerRow.ts'
import type { Self } from './peerTable.ts'

/**
 * Where this node can be dialled, as far as it can know: what its interfaces have, and what others see. Behind a NAT the
 * second is the only way to learn it, and needs no outside service.
 */

/** What peers have last said of where this node appears: host by peer. */
export type ObservedAddresses = ReadonlyMap<NodeId, string>

/** Peers whose word is kept, the latest. */
const OBSERVERS_MAX = 16

/** One peer may be wrong, or see this node in an odd way. Who lies gains nothing: any record may name any address. */
const OBSERVERS_MIN = 2

/** Addresses that a record has room for. */
const ADVERTISED_MAX = 8

export function observeAddress(observed: ObservedAddresses, by: NodeId, address: string): ObservedAddresses {
  const host = parsed(address)?.host
  // A peer of the same network sees an address that is known already, or one that only that network has.
  if (!host || isShared(host) || refusal(host, 443)) return observed
  return new Map([...[...observed].filter(([id]) => id !== by), [by, host] as const].slice(-OBSERVERS_MAX))
}

/** `ip:port`, best first. */
export function advertisedAddresses({ advertisable, port }: Self, observed: ObservedAddresses): string[] {
  const counts = new Map<string, number>()
  for (const host of observed.values()) counts.set(host, (counts.get(host) ?? 0) + 1)
  const agreed = [...counts].filter(([, count]) => count >= OBSERVERS_MIN).map(([host]) => host)
  const hosts = [...new Set([...advertisable.filter((host) => !isShared(host)), ...agreed, ...advertisable])]
  return hosts.slice(0, ADVERTISED_MAX).map((host) => formatAddress({ host, port }))
}

/** In the ranges of one network or machine, or those that providers share among customers (RFC 6598). */
function isShared(host: string): boolean {
  return isPrivate(host) || rangeOf(host) === 'carrierGradeNat'
}
