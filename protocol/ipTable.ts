import { z } from 'zod'
import type { CommandSpec, CommandsOf } from './control.ts'
import { HOPS, SEEDS_PER_FACT_MAX, UNVERIFIED_MAX } from './defaults/ipTable.ts'
import type { DialFailed, DialSucceeded } from './dialer.ts'
import { answer, done, type FactSpecs, type FactsOf, failed } from './facts.ts'
import { legacyFields, tableEntry } from './files/ipTable.ts'
import type { NetworkFact } from './gossip.ts'
import { failure, nodeId } from './ids.ts'
import { rungs } from './net/endpoint.ts'
import { endpointSchema } from './net/endpointSchema.ts'
import type { AddressFound, ConcernCrashed } from './node.ts'
import type { ReachChanged } from './reachability.ts'
import type { RequestFact } from './request.ts'
import { specs } from './specs.ts'
import type { SpeedMeasured } from './speedTester.ts'
import type { NodeRelayed } from './turnClient.ts'
import { machine } from './wire/record.ts'

const where = z.string().min(1).max(512)
const host = z.string().min(1).max(255)

/** An endpoint that somebody without a key named, and what was said of the peer there. */
const unverifiedPeer = z.object({ endpoint: endpointSchema, fields: legacyFields.optional() })

export type UnverifiedPeer = z.infer<typeof unverifiedPeer>

export const ipTableCommands = {
  /** Resolves what people type to endpoints: a name, ip, ip:port, [v6]:port, or the beginning of a node id. */
  'peer.resolve': {
    schema: z.object({ where }),
    action: 'administer',
    terminalEvents: ['peer.resolved', 'peer.resolveFailed'],
  },
  /** `replace` removes all other entries of the table, as Go P2PRC's `--arn` does. */
  'peer.add': {
    schema: z.object({ where, replace: z.boolean().default(false) }),
    action: 'administer',
    terminalEvents: ['peer.added', 'peer.addFailed'],
  },
  /** Says how this node reaches a peer, and why not in a better way. */
  'peer.showPath': {
    schema: z.object({ where }),
    action: 'administer',
    terminalEvents: ['peer.pathShown', 'peer.showPathFailed'],
  },
  /** Lists the peers, the nearest first, in pages. */
  'peer.list': { schema: z.object({}), action: 'administer', page: 'peer.page', terminalEvents: ['peer.listed'] },
  'table.update': {
    schema: z.object({ hops: z.number().int().min(1).max(HOPS.max).default(HOPS.default) }),
    action: 'administer',
    terminalEvents: ['table.updated', 'table.updateFailed'],
  },
  /**
   * Accepts what somebody without a key said of other nodes: a table that a Go peer uploaded, or an mDNS response from
   * the host `from`. The endpoints are probed later; what is said of a peer without a key fills the gaps of its row.
   */
  'table.addUnverified': {
    schema: z.object({ unverified: z.array(unverifiedPeer).max(UNVERIFIED_MAX.all), from: host }),
    action: 'administer',
    terminalEvents: ['table.unverifiedAdded'],
  },
  /** Shows the table as Go peers see it, without this node's measurements, in pages: this node first. */
  'table.show': { schema: z.object({}), action: 'administer', page: 'table.page', terminalEvents: ['table.shown'] },
} as const satisfies Record<string, CommandSpec>

/**
 * The endpoint at which the last dial has reached a peer, and since when its rung of the ladder is in use, in milliseconds since
 * 1970.
 */
const path = z.object({ endpoint: endpointSchema, since: z.number() })

/**
 * Why a rung of the ladder is not in use. `notOffered`: the peer names no such endpoint. `untried`: this node has not dialled
 * it. `failed`: it did not answer. `answered`: it did, and another one was faster the last time. `impossible`: this
 * machine cannot use it.
 */
const betterRung = z.object({
  rung: z.enum(rungs),
  state: z.enum(['notOffered', 'untried', 'failed', 'answered', 'impossible']),
  endpoint: endpointSchema.optional(),
  /** When it failed, in milliseconds since 1970. */
  at: z.number().optional(),
  why: failure.optional(),
})

export type BetterRung = z.infer<typeof betterRung>

/** A peer as this node sees it. Measurements are this node's own and are never sent to others. */
export const peer = z.object({
  /** Absent for Go peers, which have no key and are identified by their address. */
  id: nodeId.optional(),
  name: z.string(),
  /** The OpenSSH public key, or "" if it is unknown. */
  key: z.string(),
  /** Best first: endpoints that have answered come before the others, and IPv6 comes before IPv4. */
  endpoints: z.array(endpointSchema),
  state: z.enum(['unproved', 'answering', 'suspected']),
  /** Milliseconds since its last answer; null if it has never answered this process. */
  answeredAgoMs: z.number().nullable(),
  /** How this node reaches it; null before the first dial that has reached it, and after one that has not. */
  path: path.nullable(),
  /** Whether this node has an open gossip link to it. */
  linked: z.boolean(),
  /** Whether it has answered at one of its endpoints, or none of them has failed yet. */
  dialable: z.boolean(),
  /** To whom it lends ports, as its record says. It does not say whom its owner trusts. */
  relays: z.enum(['nobody', 'trusted', 'peers']),
  /** Whether it shows them under domains too. */
  showsDomains: z.boolean(),
  /** The round trip time in nanoseconds, and both rates in Mbit/s; null until measured. */
  latencyNs: z.number().nullable(),
  download: z.number().nullable(),
  upload: z.number().nullable(),
  /** The free text of the peer's owner (`--amd`). */
  information: z.string(),
  /** The description of its machine in its record; null if there is no record. */
  machine: machine.nullable(),
  /** The specifications of its machine in its last answer; those that the file keeps if that was to an earlier process. */
  specs: specs.nullable(),
})

export type Peer = z.infer<typeof peer>

/** The number of rows before this page. It is 0 again where a repeated request began the list anew. */
const offset = z.number()

export const ipTableFacts = {
  /**
   * `id` is the node that must answer; it is absent if the owner named an address. There is at least one endpoint, and
   * the best comes first. `key` is the OpenSSH public key of that node, if it is known.
   */
  'peer.resolved': answer({
    id: nodeId.optional(),
    key: z.string().max(1_024).optional(),
    endpoints: z.array(endpointSchema),
  }),
  'peer.resolveFailed': failed,
  /** `path` is absent while none is in use; then `better` has all rungs. `linked`: it is connected, whoever dialled. */
  'peer.pathShown': answer({
    id: nodeId.optional(),
    name: z.string(),
    path: path.extend({ rung: z.enum(rungs) }).optional(),
    linked: z.boolean(),
    better: z.array(betterRung),
  }),
  'peer.showPathFailed': failed,
  'peer.added': answer({ peer }),
  'peer.addFailed': failed,
  /** `entries` are the same peers in the same order, in the form of P2PRC's table. */
  'peer.page': answer({ offset, peers: z.array(peer), entries: z.array(tableEntry) }),
  'peer.listed': answer({ count: z.number() }),
  'peer.joined': z.object({ peer }),
  'peer.recovered': z.object({ peer }),
  'peer.suspected': z.object({ peer }),
  'peer.gone': z.object({ peer }),
  /** A crawl has reached a peer: it answered with a table of `entries`, or `failure` says why it did not. */
  'table.progress': answer({
    hop: z.number(),
    where: z.string(),
    entries: z.number().optional(),
    failure: failure.optional(),
  }),
  /** The crawl has ended and the table with `count` peers is on the disk. `peer.list` lists them. */
  'table.updated': answer({ count: z.number() }),
  'table.updateFailed': failed,
  'table.unverifiedAdded': done,
  'table.page': answer({ offset, entries: z.array(tableEntry) }),
  'table.shown': answer({ count: z.number() }),
  'table.changed': z.object({ count: z.number() }),
  'table.saveFailed': failure,
  'table.damaged': z.object({ quarantined: z.string() }),
  /** How a node may be reached: the owner named it, or the node proved its key there. The best endpoint comes first. */
  'peer.addressDiscovered': z.object({ endpoints: z.array(endpointSchema), id: nodeId.optional() }),
  /**
   * Some of the seed addresses, which the owner named or at which a node proved its key. All of them are emitted when
   * gossip starts, in as many facts as they need; an empty table is one fact without seeds.
   */
  'table.seedsListed': z.object({
    seeds: z.array(z.object({ endpoints: z.array(endpointSchema), id: nodeId.optional() })).max(SEEDS_PER_FACT_MAX),
  }),
  /** The endpoints at which this node can be dialled, best first. Also emitted at the start. */
  'table.selfAddressesChanged': z.object({ endpoints: z.array(endpointSchema), port: z.number() }),
} as const satisfies FactSpecs

export type IpTableEmits = FactsOf<typeof ipTableFacts>

export type AddressDiscovered = Extract<IpTableEmits, { type: 'peer.addressDiscovered' }>

export type SeedsListed = Extract<IpTableEmits, { type: 'table.seedsListed' }>

export type SelfAddressesChanged = Extract<IpTableEmits, { type: 'table.selfAddressesChanged' }>

export type IpTableCommand = CommandsOf<typeof ipTableCommands>

export type IpTableAccepts =
  | IpTableCommand
  | DialFailed
  | DialSucceeded
  | RequestFact
  | SpeedMeasured
  | NetworkFact
  | ConcernCrashed
  | AddressFound
  | NodeRelayed
  | ReachChanged
