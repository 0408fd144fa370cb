import type { NodeId } from '../../protocol/ids.ts'
import type { Endpoint } from '../../protocol/net/endpoint.ts'

/** A node that may lend ports to this one. */
export interface Relay {
  id: NodeId
  endpoints: readonly Endpoint[]
  /** The round trip time in nanoseconds; null until measured. */
  latencyNs: number | null
}

/** How a session at a relay is. `refused` holds until the next choice of relays. */
export interface Held {
  relay: Relay
  state: 'connecting' | 'active' | 'lost' | 'refused'
  why: string
}

export type HeldRelays = Readonly<Record<NodeId, Held>>

/** Relays at which this node logs in: one that lends ports, and an idle one that takes over. */
export const RELAYS_KEPT = 2

/** Returns the relays to log in at besides those that are held, the nearest first. */
export function relaysToAdd(held: HeldRelays, found: readonly Relay[]): Relay[] {
  const working = Object.values(held).filter(({ state }) => state === 'active' || state === 'connecting').length
  return found
    .filter(({ id }) => !Object.hasOwn(held, id))
    .sort((one, other) => (one.latencyNs ?? Number.POSITIVE_INFINITY) - (other.latencyNs ?? Number.POSITIVE_INFINITY))
    .slice(0, Math.max(0, RELAYS_KEPT - working))
}

/** Returns the relay that lends ports: the present one while it works, else the nearest that works. */
export function leadingRelay(held: HeldRelays, present: NodeId | undefined): NodeId | undefined {
  if (present && held[present]?.state === 'active') return present
  const latencyOf = ({ relay }: Held) => relay.latencyNs ?? Number.POSITIVE_INFINITY
  return Object.values(held)
    .filter(({ state }) => state === 'active')
    .sort((one, other) => latencyOf(one) - latencyOf(other))[0]?.relay.id
}
