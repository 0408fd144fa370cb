import { z } from 'zod'
import type { ContainerGone } from './containerManager.ts'
import type { CommandSpec, CommandsOf } from './control.ts'
import { answer, type FactSpecs, type FactsOf, failed } from './facts.ts'
import type { RecordMerged } from './gossip.ts'
import { containerId, failure, nodeId } from './ids.ts'
import { domainName } from './net/domainName.ts'
import { endpointSchema } from './net/endpointSchema.ts'
import type { ReachChanged } from './reachability.ts'
import type { RequestFact } from './request.ts'

const port = z.int().min(1).max(65_535)
const where = z.string().min(1).max(512)
const protocol = z.enum(['tcp', 'udp'])

/** Another node that is to do it, at the owner's request. */
const on = where.optional()

/** The commands about what this node shows to the outside through a relay. */
export const turnClientCommands = {
  /**
   * Maps a port of this machine out through a relay: `via`, or else the nearest one that is willing. It is answered as
   * soon as something sent to the relay's port has arrived here. A peer may map the ports of its own containers here.
   */
  'port.map': {
    schema: z.object({
      port,
      protocol: protocol.default('tcp'),
      via: where.optional(),
      domain: domainName.optional(),
      on,
    }),
    action: 'map',
    terminalEvents: ['port.mapped', 'port.mapFailed'],
  },
  /** Lists the mappings; for a peer, those that it has requested. */
  'port.list': { schema: z.object({ on }), action: 'map', terminalEvents: ['port.listed', 'port.listFailed'] },
  /** How others reach this node itself through a relay. */
  'port.showNode': { schema: z.object({}), action: 'administer', terminalEvents: ['port.nodeShown'] },
  /** `which` is the mapped port, with `/udp` for UDP, or the address or the domain outside. */
  'port.unmap': {
    schema: z.object({ which: where, on }),
    action: 'map',
    terminalEvents: ['port.unmapped', 'port.unmapFailed'],
  },
} as const satisfies Record<string, CommandSpec>

export const mapping = z.object({
  port,
  protocol,
  /** The address outside; absent while there is none. */
  address: endpointSchema.optional(),
  /** The relay that lends it: its node id, or the endpoint of one without a key. */
  relay: z.string().max(512).optional(),
  /** The relay that must lend it, as the owner named it. */
  via: where.optional(),
  /** The name under which the relay shows it, and where users open it. */
  domain: domainName.optional(),
  url: z.url().max(512).optional(),
  /** The peer that requested it, for its container. Absent for the owner. */
  by: nodeId.optional(),
  container: containerId.optional(),
  /** `open`: users outside reach it. `waiting`: its relay is gone or refuses; `why` says so. */
  state: z.enum(['connecting', 'open', 'waiting']),
  why: failure.optional(),
  /** When it was last opened, in milliseconds since 1970; 0 before. */
  since: z.number(),
})

export type Mapping = z.infer<typeof mapping>

export const turnClientFacts = {
  'port.mapped': answer({ mapping }),
  'port.mapFailed': failed,
  /** What a request to map a port waits for. */
  'port.progress': answer({ line: z.string() }),
  'port.listed': answer({ mappings: z.array(mapping) }),
  'port.listFailed': failed,
  /** No mapping while the node needs none. */
  'port.nodeShown': answer({
    mapping: mapping.optional(),
    /** The punched path to it, or why there is none; absent while none is tried. */
    punched: z.object({ endpoint: endpointSchema.optional(), why: failure.optional() }).optional(),
  }),
  'port.unmapped': answer({ mapping }),
  'port.unmapFailed': failed,
  /** A mapping that was open cannot be reached any more; it comes back by itself. */
  'port.lost': z.object({ mapping }),
  'port.saveFailed': failure,
  /** It can be reached again, maybe at another address. */
  'port.restored': z.object({ mapping }),
  /** Where others reach this node itself through a relay: punched, relayed; no endpoint while it needs none or has none. */
  'port.nodeRelayed': z.object({ endpoints: z.array(endpointSchema).max(2) }),
} as const satisfies FactSpecs

export type TurnClientEmits = FactsOf<typeof turnClientFacts>

export type NodeRelayed = Extract<TurnClientEmits, { type: 'port.nodeRelayed' }>

export type TurnClientCommand = CommandsOf<typeof turnClientCommands>

export type TurnClientAccepts = TurnClientCommand | ContainerGone | ReachChanged | RecordMerged | RequestFact
