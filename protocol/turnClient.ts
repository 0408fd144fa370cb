import { z } from 'zod'
import type { CommandSpec, CommandsOf } from './control.ts'
import { answer, type FactSpecs, type FactsOf, failed } from './facts.ts'
import { failure, nodeId } from './ids.ts'
import { endpointSchema } from './net/endpointSchema.ts'
import type { RequestFact } from './request.ts'

const port = z.int().min(1).max(65_535)

/** The commands about what this node shows to the outside through a relay. */
export const turnClientCommands = {
  /**
   * Maps a port of this machine out. Other nodes than the owner may map only ports of their own containers here. `via` is
   * the relay to use; without it, the nearest that is willing. With `on`, the port is one of that peer's machine.
   */
  'port.map': {
    schema: z.object({
      port,
      protocol: z.enum(['tcp', 'udp']).default('tcp'),
      via: z.string().max(512).default(''),
      on: z.string().max(512).default(''),
    }),
    action: 'map',
    terminalEvents: ['port.mapped', 'port.mapFailed'],
  },
  'port.list': { schema: z.object({}), action: 'administer', terminalEvents: ['port.listed'] },
  /** `which` is the mapped port, with `/udp` for UDP, or the address outside. */
  'port.unmap': {
    schema: z.object({ which: z.string().min(1).max(512) }),
    action: 'administer',
    terminalEvents: ['port.unmapped', 'port.unmapFailed'],
  },
} as const satisfies Record<string, CommandSpec>

const mapping = z.object({
  port,
  protocol: z.enum(['tcp', 'udp']),
  /** The address outside; absent while there is none. */
  address: endpointSchema.optional(),
  /** The relay that lends it. */
  relay: nodeId.optional(),
  /** `open`: users outside reach it. `waiting`: its relay is gone or refuses; `why` says so. */
  state: z.enum(['connecting', 'open', 'waiting']),
  why: failure.optional(),
  /** When it last came into its state, in milliseconds since 1970. */
  since: z.number(),
})

export type Mapping = z.infer<typeof mapping>

export const turnClientFacts = {
  'port.mapped': answer({ mapping }),
  'port.mapFailed': failed,
  'port.listed': answer({ mappings: z.array(mapping) }),
  'port.unmapped': answer({ mapping }),
  'port.unmapFailed': failed,
  /** A mapping that was open cannot be reached any more; it comes back by itself. */
  'port.lost': z.object({ mapping }),
  /** It can be reached again, maybe at another address. */
  'port.restored': z.object({ mapping }),
} as const satisfies FactSpecs

export type TurnClientEmits = FactsOf<typeof turnClientFacts>

export type TurnClientCommand = CommandsOf<typeof turnClientCommands>

export type TurnClientAccepts = TurnClientCommand | RequestFact
