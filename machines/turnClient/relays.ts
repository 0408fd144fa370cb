import type { Endpoint } from '../../protocol/net/endpoint.ts'

/** The id of the node; of a relay without a key, the endpoint at which the owner named it. */
export type RelayId = string

/** A machine that may lend ports to this node. */
export interface Relay {
  id: RelayId
  /**
   * What it is where it is no node of this project: stock `frps`, or Go P2PRC. Such a relay proves no key, so it lends
   * those ports alone for which the owner named it.
   */
  keyless?: 'frps' | 'go'
  endpoints: readonly Endpoint[]
  /** The round trip time in nanoseconds; null until measured. */
  latencyNs: number | null
  /** What the owner calls it where a mapping must go through it; empty for one that was only found. */
  names: readonly string[]
  /** Whether it lends ports only to those whom its owner trusts, of whom this node may be one. */
  isForTrusted: boolean
}

/** How a session at a relay is. `refused` holds until every other relay was tried. */
export interface Held {
  relay: Relay
  state: 'connecting' | 'active' | 'lost' | 'refused'
  why: string
}

export type HeldRelays = Readonly<Record<RelayId, Held>>

/** Relays at which this node logs in: one that lends ports, and an idle one that takes over. */
export const RELAYS_KEPT = 2

/** Names the nearest relay that shows domains, until one does. It is no name that a node can have. */
export const DOMAIN_RELAY = '(any that shows domains)'

/** Relays for trusted nodes that one search offers: most of them will refuse, and each is a dial. */
const FOR_TRUSTED_MAX = 4

/** Returns what a search offers to log in at. */
export function offeredRelays(held: HeldRelays, found: readonly Relay[]): Relay[] {
  const isOffered = ({ isForTrusted, names }: Relay) => !isForTrusted || names.length > 0
  const tried = found.filter((one) => !isOffered(one) && !Object.hasOwn(held, one.id)).sort(nearestFirst)
  const kept = new Set(tried.slice(0, FOR_TRUSTED_MAX))
  return found.filter((one) => isOffered(one) || kept.has(one))
}

/** Returns what is still held when a search ends. Who has refused is tried again when there is nobody else, or if the owner named it. */
export function heldAfter(held: HeldRelays, found: readonly Relay[]): HeldRelays {
  const isFresh = found.some(({ id }) => !Object.hasOwn(held, id))
  const kept = Object.values(held).flatMap((one) => {
    const again = found.find(({ id }) => id === one.relay.id)
    const names = again?.names ?? one.relay.names
    const isForgotten = one.state === 'refused' && (!isFresh || !again || names.length > 0)
    return isForgotten ? [] : [[one.relay.id, { ...one, relay: { ...one.relay, names } }] as const]
  })
  return Object.fromEntries(kept)
}

/** Returns the relays to log in at besides those that are held: those that the owner named, and the nearest. */
export function relaysToAdd(held: HeldRelays, found: readonly Relay[]): Relay[] {
  const fresh = found.filter(({ id }) => !Object.hasOwn(held, id))
  const named = fresh.filter(({ names }) => names.length > 0)
  const nearest = fresh.filter(({ names }) => names.length === 0).sort(nearestFirst)
  return [...named, ...nearest.slice(0, Math.max(0, RELAYS_KEPT - workingCount(held) - named.filter(isNode).length))]
}

/** Returns the relay that lends ports: the present one while it works, else the nearest that works. */
export function leadingRelay(held: HeldRelays, present: RelayId | undefined): RelayId | undefined {
  if (present && held[present]?.state === 'active') return present
  return Object.values(held)
    .filter(({ relay, state }) => state === 'active' && isNode(relay))
    .map(({ relay }) => relay)
    .sort(nearestFirst)[0]?.id
}

function nearestFirst({ latencyNs: one }: Relay, { latencyNs: other }: Relay): number {
  if (one === other) return 0
  return (one ?? Number.POSITIVE_INFINITY) < (other ?? Number.POSITIVE_INFINITY) ? -1 : 1
}

/** Returns the relay that the owner calls so, or that has this id. */
export function relayNamed(held: HeldRelays, name: string): Held | undefined {
  return Object.values(held).find(({ relay }) => relay.names.includes(name) || relay.id === name)
}

/** Returns how many sessions at nodes work, or may soon. */
export function workingCount(held: HeldRelays): number {
  return Object.values(held).filter((one) => isWorking(one) && isNode(one.relay)).length
}

export function isWorking({ state }: Held): boolean {
  return state === 'active' || state === 'connecting'
}

function isNode({ keyless }: Relay): boolean {
  return keyless === undefined
}
