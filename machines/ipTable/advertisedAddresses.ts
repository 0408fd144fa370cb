import type { NodeId } from '../../protocol/ids.ts'
import { directEndpoint, type Endpoint, isSameEndpoint, kindRank } from '../../protocol/net/endpoint.ts'
import { isShared } from '../../protocol/net/ranges.ts'
import { refusal } from '../../protocol/net/reachable.ts'
import type { DialledEndpoint } from '../../protocol/reachability.ts'
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

/**
 * Returns the endpoints to advertise, best first. An address that peers observe but do not reach is its router's, which passes
 * nothing on; one of an interface may be reached from its own network. Those at relays are the last, because the others are faster.
 */
export function advertisedAddresses(
  { advertisable, port }: Self,
  observed: ObservedAddresses,
  relayed: readonly Endpoint[] = [],
  dialled: readonly DialledEndpoint[] = [],
): Endpoint[] {
  const counts = new Map<string, number>()
  for (const host of observed.values()) counts.set(host, (counts.get(host) ?? 0) + 1)
  const isUnreachable = (host: string) =>
    dialled.some(({ endpoint, state }) => endpoint.host === host && endpoint.port === port && state === 'unreachable')
  const agreed = [...counts].filter(([, count]) => count >= OBSERVERS_MIN).map(([host]) => host)
  const direct = (hosts: readonly string[]) => hosts.map((host) => directEndpoint({ host, port }))
  const mapped = dialled.filter(({ endpoint, state }) => endpoint.kind === 'mapped' && state === 'reachable')
  const all = [
    // The kind of an address that is both is that of the mapping.
    ...mapped.map(({ endpoint }) => endpoint),
    ...direct(advertisable.filter((host) => !isShared(host))),
    ...direct(agreed.filter((host) => !isUnreachable(host))),
    ...direct(advertisable),
  ]
  const distinct = all.filter((at, index) => all.findIndex((other) => isSameEndpoint(at, other)) === index)
  const sorted = distinct.sort((one, other) => rankOf(one) - rankOf(other))
  return [...sorted.slice(0, ADVERTISED_MAX - relayed.length), ...relayed]
}

/** Public before private addresses, and the best kind first. */
function rankOf(at: Endpoint): number {
  return (isShared(at.host) ? 8 : 0) + kindRank(at)
}
