import type { IpTableFile, LegacyFields, TableEntry } from '../../protocol/files/ipTable.ts'
import type { NodeId } from '../../protocol/ids.ts'
import type { IpTableEmits, UnverifiedPeer } from '../../protocol/ipTable.ts'
import type { Endpoint } from '../../protocol/net/endpoint.ts'
import type { Specs } from '../../protocol/specs.ts'
import type { ResolvedPeer } from './peerLookUp.ts'
import type { KnownEndpoint } from './peerRow.ts'
import type { Upload } from './publicTable.ts'

/** The inputs and events of the table's effects, which `actors/ipTable.ts` provides. */

/** What was measured while a peer answered. */
export interface Observation {
  latencyNs?: number
  /** Mbit/s. */
  download?: number
  upload?: number
  specs?: Specs
}

/** Node `id`, called `name`, proved to hold `key` at an endpoint. */
export interface Contact {
  id: NodeId
  name: string
  key: string
  endpoint: Endpoint
}

/** The outcome of a probe or a visit. */
export type Outcome =
  | ({ kind: 'node'; contact: Contact } & Observation)
  | ({
      kind: 'legacy'
      at: Endpoint
      /** What the peer says of itself, and its other endpoint. */
      fields?: Partial<TableEntry>
      also?: readonly Endpoint[]
      /** The peers that it named, if tables were exchanged. */
      named?: readonly UnverifiedPeer[]
    } & Observation)
  | { kind: 'silent' }
  /** The dial was deferred, so nothing was learned. */
  | { kind: 'skipped' }

export interface ProbeInput {
  key: string
  /** The endpoints in the order to try them. */
  endpoints: readonly KnownEndpoint[]
  /** Whether a key was proved before. Then an answer without a key counts as none. */
  keyed: boolean
  /** Whether to measure the latency. False for addresses that only anonymous callers named. */
  measure: boolean
  /** Whether to request the specifications of a node. */
  specs: boolean
  /** What others said of the peer, if it has no row yet. It counts only if the peer turns out to have no key. */
  fields?: LegacyFields
  /** The rows to exchange with the peer, if it has no key and the exchange is due. */
  upload?: Upload
  signal: AbortSignal
}

export interface CrawlInput {
  requestId: string
  hops: number
  known: readonly ProbeInput[]
  /** This node's public table, which is sent to the visited peers. */
  upload: Upload
  signal: AbortSignal
}

export interface SaveInput {
  file: IpTableFile
}

export interface ResolveDnsInput {
  requestId: string
  at: Endpoint
  signal: AbortSignal
}

export type IpTableInternalEvent =
  /** `found` is null if DNS does not know the name. */
  | { type: 'resolveDns.ended'; requestId: string; found: ResolvedPeer | null }
  | { type: 'probe.ended'; key: string; outcome: Outcome }
  /** One peer of a crawl. `key` is that of its row, or its address if it has no row yet. */
  | {
      type: 'crawl.visited'
      key: string
      outcome: Outcome
      /** What its table says of peers that were known before. */
      reported: readonly UnverifiedPeer[]
      progress: Extract<IpTableEmits, { type: 'table.progress' }>
    }
  /** `named` are the endpoints that peers named and the crawl did not visit. */
  | { type: 'crawl.ended'; requestId: string; named: readonly UnverifiedPeer[] }
  /** This machine's own addresses have changed. */
  | { type: 'self.addressesChanged'; addresses: string[]; advertisable: string[] }
