import type { IpTableFile } from '../../protocol/files/ipTable.ts'
import type { Failure } from '../../protocol/ids.ts'
import type { Endpoint } from '../../protocol/net/endpoint.ts'
import type { DialledEndpoint } from '../../protocol/reachability.ts'
import type { Requests, Tracked } from '../requests.ts'
import type { ObservedAddresses } from './advertisedAddresses.ts'
import type { Links } from './gossipChange.ts'
import type { Listing } from './listing.ts'
import type { ResolvedPeer } from './peerLookUp.ts'
import { loadTable, type Self, type Table, withPublicAddress } from './peerTable.ts'
import { addUnverified, type Unverified } from './unverified.ts'

/** The context of the table's chart, and its initial value. */

/**
 * A request of the table. `resolving`: it waits for DNS, and is answered with `fallback` if DNS finds nothing.
 * `crawling`: a child visits one peer after another. `saving`: it is answered when revision `revision` is on the
 * disk, with the peer at `at` if one was added, and with the number of peers after a crawl. `listing`: its reader has
 * not taken the last page.
 */
export type TableRequest =
  | (Tracked<'resolving'> & { fallback: { found: ResolvedPeer } | { failure: Failure } })
  | Tracked<'crawling'>
  | (Tracked<'listing'> & { listing: Listing })
  | (Tracked<'saving'> & { revision: number; at?: Endpoint })

export interface IpTableInput {
  file: IpTableFile
  self: Self
  /** The time of tick 0, in milliseconds since 1970. */
  startedAt: number
  /** The address that an external service reported, if the owner configured one. */
  publicAddress?: string
  /** Where relays pass connections on to this node. */
  relayed?: readonly Endpoint[]
  /** Whether to probe peers in the background, as a running node does and a single command does not. */
  watch: boolean
  /** P2PRC's `Test` option for networks on one machine: anonymous callers may name loopback addresses. */
  test: boolean
  /** The path of a quarantined table, and the endpoints that could still be read from it. */
  quarantined?: string
  recovered?: readonly Endpoint[]
  /** What is known already of how this node is reached. */
  dialled?: readonly DialledEndpoint[]
  signal: AbortSignal
}

export interface Context extends IpTableInput {
  table: Table
  /** Ticks since the start. */
  now: number
  /** Ticks until `now` changes next. */
  step: number
  /** The tick of the last request for the list. */
  listedAt: number | null
  revision: number
  saved: number
  writing: number
  /** Whether to save at once, because a peer joined or left. */
  flushNow: boolean
  requests: Requests<TableRequest>
  unverified: Unverified
  probing: ReadonlySet<string>
  observedAddresses: ObservedAddresses
  /** What peers found that dialled this node, and the endpoint that its router maps. */
  dialled: readonly DialledEndpoint[]
  links: Links
}

/** The parts of the context that determine where this node can be dialled. */
export type SelfContext = Pick<Context, 'self' | 'publicAddress' | 'observedAddresses' | 'relayed' | 'dialled'>

export type SelfChange = Partial<SelfContext>

export function contextOf(input: IpTableInput): Context {
  const table = loadTable(input.file, input.self, input)
  return {
    ...input,
    self: withPublicAddress(input.self, input.publicAddress),
    table,
    now: 0,
    step: 1,
    listedAt: null,
    revision: 0,
    saved: 0,
    writing: 0,
    flushNow: false,
    requests: [],
    unverified: addUnverified(
      new Map(),
      (input.recovered ?? []).map((endpoint) => ({ endpoint })),
      { ...input, table },
    ),
    probing: new Set(),
    observedAddresses: new Map(),
    dialled: input.dialled ?? [],
    links: new Map(),
  }
}
