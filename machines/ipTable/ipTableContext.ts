import type { IpTableFile } from '../../protocol/files/ipTable.ts'
import type { Failure } from '../../protocol/ids.ts'
import type { PeerAt } from '../../protocol/ipTable.ts'
import type { Requests, Tracked } from '../requests.ts'
import type { ObservedAddresses } from './advertisedAddresses.ts'
import type { Links } from './gossipChange.ts'
import type { ResolvedPeer } from './peerLookUp.ts'
import { loadTable, type Self, type Table, withPublicAddress } from './peerTable.ts'
import { addUnverified, type Unverified } from './unverified.ts'

/** What the table's chart remembers, and how it begins. */

/**
 * `resolving`: it waits for the resolver, and is answered with `fallback` where that knows nothing. `crawling`: a child asks
 * peer after peer. `saving`: it is answered when revision `revision` is on the disk, with the peer at `at` where one was
 * added, and with the whole table after a crawl.
 */
export type TableRequest =
  | (Tracked<'resolving'> & { fallback: { found: ResolvedPeer } | { failure: Failure } })
  | Tracked<'crawling'>
  | (Tracked<'saving'> & { revision: number; at?: PeerAt })

export interface IpTableInput {
  file: IpTableFile
  self: Self
  /** What a service outside has told, where the owner wants one asked. */
  publicAddress?: string
  /** Look after peers in the background, as a running node does and a single command does not. */
  watch: boolean
  /** P2PRC's switch for networks on one machine: anonymous callers may name loopback addresses. */
  test: boolean
  /** Where an unreadable table went, and the addresses that could still be read in it. */
  quarantined?: string
  recovered?: readonly PeerAt[]
  signal: AbortSignal
}

export interface Context extends IpTableInput {
  table: Table
  /** Ticks since the start. */
  now: number
  revision: number
  saved: number
  writing: number
  /** Somebody joined or left: worth writing at once. */
  flushNow: boolean
  requests: Requests<TableRequest>
  unverified: Unverified
  probing: ReadonlySet<string>
  observedAddresses: ObservedAddresses
  links: Links
}

/** What may change about where this node can be dialled. */
export type SelfChange = Partial<Pick<Context, 'self' | 'publicAddress' | 'observedAddresses'>>

export function contextOf(input: IpTableInput): Context {
  const table = loadTable(input.file, input.self)
  return {
    ...input,
    self: withPublicAddress(input.self, input.publicAddress),
    table,
    now: 0,
    revision: 0,
    saved: 0,
    writing: 0,
    flushNow: false,
    requests: [],
    unverified: addUnverified(new Map(), input.recovered ?? [], { ...input, table }),
    probing: new Set(),
    observedAddresses: new Map(),
    links: new Map(),
  }
}
