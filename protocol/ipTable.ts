import { z } from 'zod'
import type { CommandSpec, CommandsOf } from './control.ts'
import { HOPS } from './defaults/ipTable.ts'
import type { DialSucceeded } from './dialer.ts'
import { answer, type FactSpecs, type FactsOf, failed } from './facts.ts'
import { tableEntry } from './files/ipTable.ts'
import type { NetworkFact } from './gossip.ts'
import { failure, nodeId } from './ids.ts'
import { endpointSchema } from './net/endpointSchema.ts'
import type { AddressFound, ConcernCrashed } from './node.ts'
import type { RequestFact } from './request.ts'
import { specs } from './specs.ts'
import type { SpeedMeasured } from './speedTester.ts'
import { machine } from './wire/record.ts'

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

/** Where a peer may be reached. */
export const peerAt = z.object({ host: z.string(), port: z.number() })

export type PeerAt = z.infer<typeof peerAt>

/** A peer as seen from here. What was measured is this observer's and is never passed on. */
export const peer = z.object({
  /** Absent for Go peers, which have no key; their address tells them apart. */
  id: nodeId.optional(),
  name: z.string(),
  /** OpenSSH public key, '' where unknown. */
  key: z.string(),
  /** Best first: those that answered before the rest, IPv6 before IPv4. */
  endpoints: z.array(endpointSchema),
  state: z.enum(['unproved', 'answering', 'suspected']),
  /** Milliseconds since its last answer, null where it never answered this process. */
  answeredAgoMs: z.number().nullable(),
  /** An open gossip link joins it and this node. */
  linked: z.boolean(),
  /** It answered at one of its endpoints, or none of them has failed yet. */
  dialable: z.boolean(),
  /** Round trip in nanoseconds, down and up in Mbit/s; null until measured. */
  latencyNs: z.number().nullable(),
  download: z.number().nullable(),
  upload: z.number().nullable(),
  /** The author's free text (`--amd`). */
  information: z.string(),
  /** What its record says of its machine; null where none came. */
  machine: machine.nullable(),
  /** What it said of its machine when it answered last. */
  specs: specs.nullable(),
})

export type Peer = z.infer<typeof peer>

/** `entries` are the same peers in the same order as P2PRC's table has them. */
const peerList = { peers: z.array(peer), entries: z.array(tableEntry) }

export const ipTableFacts = {
  /** `id`: the node that must answer; absent where the owner named an address. Endpoints best first, at least one. */
  'peer.resolved': answer({ id: nodeId.optional(), endpoints: z.array(endpointSchema) }),
  'peer.resolveFailed': failed,
  'peer.added': answer({ peer }),
  'peer.addFailed': failed,
  'peer.listed': answer(peerList),
  'peer.joined': z.object({ peer }),
  'peer.recovered': z.object({ peer }),
  'peer.suspected': z.object({ peer }),
  'peer.gone': z.object({ peer }),
  /** One peer of a crawl: answered with a table of `entries`, or why not. */
  'table.progress': answer({
    hop: z.number(),
    where: z.string(),
    entries: z.number().optional(),
    failure: failure.optional(),
  }),
  'table.updated': answer(peerList),
  'table.updateFailed': failed,
  /** P2PRC's table document without what was measured here, as JSON text. */
  'table.exchanged': answer({ document: z.string() }),
  'table.changed': z.object({ count: z.number() }),
  'table.saveFailed': failure,
  'table.damaged': z.object({ quarantined: z.string() }),
  /** Addresses of a node, from the owner, a proof or the local network. */
  'peer.addressDiscovered': z.object({ addresses: z.array(z.string()), id: nodeId.optional() }),
  /** The ways into the network: addresses that the owner named or a key was proved at, said when gossip starts. */
  'table.seedsListed': z.object({
    seeds: z.array(z.object({ addresses: z.array(z.string()), id: nodeId.optional() })),
  }),
  /** Where this node can be dialled, `ip:port`, best first; said at the start too. */
  'table.selfAddressesChanged': z.object({ addresses: z.array(z.string()), port: z.number() }),
} as const satisfies FactSpecs

export type IpTableEmits = FactsOf<typeof ipTableFacts>

export type AddressDiscovered = Extract<IpTableEmits, { type: 'peer.addressDiscovered' }>

export type SeedsListed = Extract<IpTableEmits, { type: 'table.seedsListed' }>

export type SelfAddressesChanged = Extract<IpTableEmits, { type: 'table.selfAddressesChanged' }>

export type IpTableCommand = CommandsOf<typeof ipTableCommands>

export type IpTableAccepts =
  | IpTableCommand
  | DialSucceeded
  | RequestFact
  | SpeedMeasured
  | NetworkFact
  | ConcernCrashed
  | AddressFound
