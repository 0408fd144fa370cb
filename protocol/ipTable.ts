import { z } from 'zod'
import type { CommandSpec, CommandsOf } from './control.ts'
import { HOPS } from './defaults/ipTable.ts'
import type { TableEntry } from './files/ipTable.ts'
import type { NetworkFact } from './gossip.ts'
import type { Failure, NodeId } from './ids.ts'
import type { ConcernCrashed } from './node.ts'
import type { RequestFact } from './request.ts'
import type { Specs } from './specs.ts'
import type { SpeedMeasured } from './speedTester.ts'
import type { Machine } from './wire/record.ts'

const where = z.string().min(1).max(512)
const host = z.string().min(1).max(255)
const port = z.number().int().min(1).max(65_535)

export const ipTableCommands = {
  /** From what people type to an address: a name, ip, ip:port, [v6]:port, or the beginning of a node id. */
  'peer.resolve': {
    schema: z.object({ where }),
    action: 'administer',
    terminalEvents: ['peer.resolved', 'peer.resolveFailed'],
  },
  /** `replace` is Go P2PRC's `--arn`: the table becomes this one entry. */
  'peer.add': {
    schema: z.object({ where, replace: z.boolean().default(false) }),
    action: 'administer',
    terminalEvents: ['peer.added', 'peer.addFailed'],
  },
  'peer.list': { schema: z.object({}), action: 'administer', terminalEvents: ['peer.listed'] },
  'table.update': {
    schema: z.object({ hops: z.number().int().min(1).max(HOPS.most).default(HOPS.usual) }),
    action: 'administer',
    terminalEvents: ['table.updated', 'table.updateFailed'],
  },
  /** A table that a Go peer uploaded: addresses that may exist, to be looked at later, and nothing more. */
  'table.exchange': {
    schema: z.object({ unverified: z.array(z.object({ host, port })).max(4_096), from: host }),
    action: 'see',
    terminalEvents: ['table.exchanged'],
  },
} as const satisfies Record<string, CommandSpec>

export interface PeerAt {
  host: string
  port: number
}

/** A peer as seen from here. What was measured is this observer's and is never passed on. */
export interface Peer {
  /** Absent for Go peers, which have no key; their address tells them apart. */
  id?: NodeId
  name: string
  /** OpenSSH public key, '' where unknown. */
  key: string
  /** Best first: those that answered before the rest, IPv6 before IPv4. */
  addresses: PeerAt[]
  state: 'unproved' | 'answering' | 'suspected'
  /** Milliseconds since its last answer, null where it never answered this process. */
  answeredAgoMs: number | null
  /** An open gossip link joins it and this node. */
  linked: boolean
  /** It answered at one of its addresses, or none of them has failed yet. */
  dialable: boolean
  /** Round trip in nanoseconds, down and up in Mbit/s; null until measured. */
  latencyNs: number | null
  download: number | null
  upload: number | null
  /** The author's free text (`--amd`). */
  information: string
  /** What its record says of its machine; null where none came. */
  machine: Machine | null
  /** What it said of its machine when it answered last. */
  specs: Specs | null
}

export type IpTableEmits =
  | ({ type: 'peer.resolved'; requestId: string; id?: NodeId } & PeerAt)
  | ({ type: 'peer.resolveFailed'; requestId: string } & Failure)
  | { type: 'peer.added'; requestId: string; peer: Peer }
  | ({ type: 'peer.addFailed'; requestId: string } & Failure)
  /** `entries` are the same peers in the same order as P2PRC's table has them. */
  | { type: 'peer.listed'; requestId: string; peers: Peer[]; entries: TableEntry[] }
  | { type: 'peer.joined'; peer: Peer }
  | { type: 'peer.recovered'; peer: Peer }
  | { type: 'peer.suspected'; peer: Peer }
  | { type: 'peer.gone'; peer: Peer }
  /** One peer of a crawl: answered with a table of `entries`, or why not. */
  | { type: 'table.progress'; requestId: string; hop: number; where: string; entries?: number; failure?: Failure }
  | { type: 'table.updated'; requestId: string; peers: Peer[]; entries: TableEntry[] }
  | ({ type: 'table.updateFailed'; requestId: string } & Failure)
  /** P2PRC's table document without what was measured here, as JSON text. */
  | { type: 'table.exchanged'; requestId: string; document: string }
  | { type: 'table.changed'; count: number }
  | ({ type: 'table.saveFailed' } & Failure)
  | { type: 'table.damaged'; quarantined: string }
  | AddressDiscovered
  | SelfAddressesChanged

/** Said by the composition root after a peer proved its key: node `id`, called `name`, answers at this address. */
export type ContactFact = { type: 'contact.made'; id: NodeId; name: string; key: string } & PeerAt

/** Emitted by the IP table: addresses of a node, from the owner, a proof or the local network. */
export type AddressDiscovered = { type: 'peer.addressDiscovered'; addresses: string[]; id?: NodeId }

/** Emitted by the IP table: where this node can be dialled, `ip:port`, best first. */
export type SelfAddressesChanged = { type: 'table.selfAddressesChanged'; addresses: string[]; port: number }

export type IpTableCommand = CommandsOf<typeof ipTableCommands>

export type IpTableAccepts = IpTableCommand | ContactFact | RequestFact | SpeedMeasured | NetworkFact | ConcernCrashed
