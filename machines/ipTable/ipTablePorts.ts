import type { IpTableFile, TableEntry } from '../../protocol/files/ipTable.ts'
import type { NodeId } from '../../protocol/ids.ts'
import type { IpTableEmits, PeerAt } from '../../protocol/ipTable.ts'
import type { Endpoint } from '../../protocol/net/endpoint.ts'
import type { Specs } from '../../protocol/specs.ts'
import type { ResolvedPeer } from './peerLookUp.ts'
import type { KnownEndpoint } from './peerRow.ts'

/** What the table's effects get and report: the ports that `actors/ipTable.ts` fills. */

/** What came by the way of an answer. */
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

/** Who answered. */
export type Outcome =
  | ({ kind: 'node'; contact: Contact } & Observation)
  | ({
      kind: 'legacy'
      at: PeerAt
      /** What it says of itself, and its other address. */
      fields?: Partial<TableEntry>
      also?: readonly PeerAt[]
    } & Observation)
  | { kind: 'silent' }
  /** It was not its turn: nothing was learned. */
  | { kind: 'skipped' }

export interface ProbeInput {
  key: string
  /** In the order to try. */
  endpoints: readonly KnownEndpoint[]
  /** A key was proved before: an answer without one counts as none. */
  keyed: boolean
  /** Whether to measure how near it is: not those whom only anonymous callers named. */
  measure: boolean
  signal: AbortSignal
}

export interface CrawlInput {
  requestId: string
  hops: number
  known: readonly ProbeInput[]
  /** The own table as JSON text, for those who are asked. */
  document: string
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
  /** `found` is null where the resolver knows no such name. */
  | { type: 'resolveDns.ended'; requestId: string; found: ResolvedPeer | null }
  | { type: 'probe.ended'; key: string; outcome: Outcome }
  /** One peer of a crawl. `key` is the row's, or the address where there is none yet. */
  | {
      type: 'crawl.visited'
      key: string
      outcome: Outcome
      progress: Extract<IpTableEmits, { type: 'table.progress' }>
    }
  /** `named`: addresses that came up and were not visited. */
  | { type: 'crawl.ended'; requestId: string; named: readonly PeerAt[] }
  /** This machine's own addresses have changed. */
  | { type: 'self.addressesChanged'; addresses: string[]; advertisable: string[] }
