import { z } from 'zod'
import type { CommandSpec, CommandsOf } from './control.ts'
import { answer, type FactSpecs, type FactsOf, failed } from './facts.ts'
import { caller } from './ids.ts'
import type { SelfAddressesChanged } from './ipTable.ts'
import type { RequestFact } from './request.ts'

/** The commands of the owner about the ports that this node lends to nodes that nobody can dial. */
export const relayCommands = {
  'relay.list': { schema: z.object({}), action: 'administer', terminalEvents: ['relay.listed'] },
  /** Ends a client's login with all its ports, or one port: `which` is a port, a name, a node id or the beginning of one. */
  'relay.close': {
    schema: z.object({ which: z.string().min(1).max(128) }),
    action: 'administer',
    terminalEvents: ['relay.closed', 'relay.closeFailed'],
  },
  /**
   * Opens the UDP ports through which nodes behind routers find each other, if they are not open yet. They close when
   * nobody has requested this for `DHT_PROCESS.idleMs`.
   */
  'relay.openDht': {
    schema: z.object({}),
    action: 'relay',
    terminalEvents: ['relay.dhtOpened', 'relay.openDhtFailed'],
  },
} as const satisfies Record<string, CommandSpec>

/** A port that this node lends. */
const lentPort = z.object({
  protocol: z.enum(['tcp', 'udp']),
  port: z.int(),
  /** The client's name for it; empty for Go P2PRC. */
  name: z.string(),
  /** The names under which it is shown. */
  domains: z.array(z.string()),
  /** Who has it: a node id, or `anonymous` for frp's own client and Go P2PRC. */
  client: caller,
  /** The address from which the client has logged in. */
  from: z.string(),
  /** Milliseconds since 1970. */
  since: z.number(),
  /** Connections of users at this moment. */
  connections: z.int(),
  /** Bytes in both directions so far. */
  bytes: z.number(),
})

export type LentPortView = z.infer<typeof lentPort>

export const relayFacts = {
  'relay.listed': answer({ policy: z.enum(['off', 'trusted', 'peers', 'all']), ports: z.array(lentPort) }),
  'relay.closed': answer({ ports: z.array(lentPort) }),
  'relay.closeFailed': failed,
  /** `host` is an IPv4 address of this node, and `port` the first of `DHT_PORTS` UDP ports. */
  'relay.dhtOpened': answer({ host: z.string(), port: z.int().min(1).max(65_535) }),
  'relay.openDhtFailed': failed,
  /** `missing`: hyperdht does not load here, so that this node has one way less to lend. It is said once. */
  'relay.dhtChanged': z.object({
    state: z.enum(['running', 'stopped', 'missing']),
    port: z.int().min(1).max(65_535).optional(),
    why: z.string().optional(),
  }),
  'relay.portLent': lentPort.pick({ protocol: true, port: true, name: true, client: true, from: true }),
  /** `why` is a sentence. */
  'relay.portFreed': lentPort.pick({ protocol: true, port: true, client: true }).extend({ why: z.string() }),
  /** A port is shown under a domain. */
  'relay.domainShown': z.object({ name: z.string(), port: z.int() }),
  /** An authority has issued the certificate of a domain, or has not; then users get one that this node has signed itself. */
  'relay.certificateIssued': z.object({ name: z.string() }),
  'relay.certificateMissing': z.object({ name: z.string(), why: z.string() }),
  /** A login or a port was refused; at most one fact for each address in a while. */
  'relay.refused': z.object({ client: caller, from: z.string(), why: z.string() }),
} as const satisfies FactSpecs

export type RelayEmits = FactsOf<typeof relayFacts>

export type RelayCommand = CommandsOf<typeof relayCommands>

export type RelayDhtChanged = Extract<RelayEmits, { type: 'relay.dhtChanged' }>

export type RelayAccepts = RelayCommand | RequestFact | SelfAddressesChanged
