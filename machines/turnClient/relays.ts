import type { NodeId } from '../../protocol/ids.ts'
import type { Endpoint } from '../../protocol/net/endpoint.ts'

/** A node that may lend ports to this one. */
export interface Relay {
  id: NodeId
  endpoints: readonly Endpoint[]
  /** The round trip time in nanoseconds; null until measured. */
  latencyNs: number | null
  /** What the owner calls it where a mapping must go through it; empty for one that was only found. */
  names: readonly string[]
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

/** Returns the relays to log in at besides those that are held: those that the owner named, and the nearest. */
export function relaysToAdd(held: HeldRelays, found: readonly Relay[]): Relay[] {
  const fresh = found.filter(({ id }) => !Object.hasOwn(held, id))
  const named = fresh.filter(({ names }) => names.length > 0)
  const nearest = fresh
    .filter(({ names }) => names.length === 0)
    .sort((one, other) => (one.latencyNs ?? Number.POSITIVE_INFINITY) - (other.latencyNs ?? Number.POSITIVE_INFINITY))
  return [...named, ...nearest.slice(0, Math.max(0, RELAYS_KEPT - workingCount(held) - named.length))]
}

/** Returns the relay that lends ports: the present one while it works, else the nearest that works. */
export function leadingRelay(held: HeldRelays, present: NodeId | undefined): NodeId | undefined {
  if (present && held[present]?.state === 'active') return present
  const latencyOf = ({ relay }: Held) => relay.latencyNs ?? Number.POSITIVE_INFINITY
  return Object.values(held)
    .filter(({ state }) => state === 'active')
    .sort((one, other) => latencyOf(one) - latencyOf(other))[0]?.relay.id
}

/** Returns the relay that the owner calls so. */
export function relayNamed(held: HeldRelays, name: string): Held | undefined {
  return Object.values(held).find(({ relay }) => relay.names.includes(name))
}

/** Returns how many sessions work, or may soon. */
export function workingCount(held: HeldRelays): number {
  return Object.values(held).filter(isWorking).length
}

export function isWorking({ state }: Held): boolean {
  return state === 'active' || state === 'connecting'
}
