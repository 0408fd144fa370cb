import type { NodeId } from '../../protocol/ids.ts'
import { directEndpoint, type Endpoint } from '../../protocol/net/endpoint.ts'
import { isShared } from '../../protocol/net/ranges.ts'
import { refusal } from '../../protocol/net/reachable.ts'
import { parsed } from './peerRow.ts'
import type { Self } from './peerTable.ts'

/**
 * The addresses at which this node can probably be dialled: those of its interfaces, and those that peers observe.
 * Behind a NAT, observed addresses are the only way to learn one without an external service.
 */

/** The last address that each peer observed for this node: host by peer. */
export type ObservedAddresses = ReadonlyMap<NodeId, string>

/** The number of observing peers that are remembered, the latest ones. */
const OBSERVERS_MAX = 16

/**
 * The number of peers that must agree: one peer may be wrong, or on an unusual path. Lying gains a peer nothing,
 * because any record may name any address.
 */
const OBSERVERS_MIN = 2

/** The maximum number of addresses in a record. */
const ADVERTISED_MAX = 8

export function observeAddress(observed: ObservedAddresses, by: NodeId, address: string): ObservedAddresses {
  const { host, kind } = parsed(address) ?? {}
  // A peer of the same network observes an address that is known already or is valid only in that network.
  if (!host || kind !== 'direct' || isShared(host) || refusal(host, 443)) return observed
  return new Map([...[...observed].filter(([id]) => id !== by), [by, host] as const].slice(-OBSERVERS_MAX))
}

/** Returns the endpoints to advertise, best first. Those at relays are the last, because the others are faster. */
export function advertisedAddresses(
  { advertisable, port }: Self,
  observed: ObservedAddresses,
  relayed: readonly Endpoint[] = [],
): Endpoint[] {
  const counts = new Map<string, number>()
  for (const host of observed.values()) counts.set(host, (counts.get(host) ?? 0) + 1)
  const agreed = [...counts].filter(([, count]) => count >= OBSERVERS_MIN).map(([host]) => host)
  const hosts = [...new Set([...advertisable.filter((host) => !isShared(host)), ...agreed, ...advertisable])]
  const direct = hosts.slice(0, ADVERTISED_MAX - relayed.length).map((host) => directEndpoint({ host, port }))
  return [...direct, ...relayed]
}
