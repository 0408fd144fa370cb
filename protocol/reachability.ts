import { z } from 'zod'
import type { CommandSpec, CommandsOf } from './control.ts'
import { answer, type FactSpecs, type FactsOf, failed } from './facts.ts'
import type { LinkFact } from './gossip.ts'
import { failure, nodeId } from './ids.ts'
import type { SelfAddressesChanged } from './ipTable.ts'
import { endpointSchema } from './net/endpointSchema.ts'
import type { RequestFact } from './request.ts'

export const reachabilityCommands = {
  /**
   * Dials the caller back at this port and no other address than the one from which its request comes, so that it learns
   * whether others can reach it.
   */
  'reach.dialBack': {
    schema: z.object({ port: z.int().min(1).max(65_535) }),
    action: 'dialBack',
    isObserved: true,
    terminalEvents: ['reach.dialledBack', 'reach.dialBackFailed'],
  },
  /** How others can reach this node. */
  'reach.show': { schema: z.object({}), action: 'administer', terminalEvents: ['reach.shown'] },
} as const satisfies Record<string, CommandSpec>

/** `unknown`: nobody has dialled back yet, or those who did are not sure. */
const reachState = z.enum(['reachable', 'unreachable', 'unknown'])

export type ReachState = z.infer<typeof reachState>

/** What peers found that dialled an endpoint of this node. */
const dialledEndpoint = z.object({
  endpoint: endpointSchema,
  state: reachState,
  /** When it last came into this state, in milliseconds since 1970. */
  since: z.number(),
  /** The peers that dialled it and found this. */
  by: z.array(nodeId),
  /** Why they did not reach it. */
  why: failure.optional(),
})

export type DialledEndpoint = z.infer<typeof dialledEndpoint>

/**
 * What the router does. `unneeded`: peers reach this node without it, or nobody has tried. `confirming`: the router says that it
 * maps the port, and peers outside try it. `refused`: there is no router that maps, or nobody reaches the port; `why` says which.
 */
const mapping = z.object({
  state: z.enum(['unneeded', 'requesting', 'confirming', 'confirmed', 'refused']),
  /** When it last came into this state, in milliseconds since 1970. */
  since: z.number(),
  by: z.enum(['NAT-PMP', 'UPnP']).optional(),
  why: failure.optional(),
})

/** How others can reach this node. */
export const reach = z.object({
  /** Whether they reach it from outside its own network. */
  state: reachState,
  /** Among them the one that the router maps, once a peer outside has reached this node there. */
  endpoints: z.array(dialledEndpoint),
  mapping,
})

export type Reach = z.infer<typeof reach>

export const reachabilityFacts = {
  /** `endpoint` is where this node saw the caller and dialled it; `failure` says why it was not reached there. */
  'reach.dialledBack': answer({ endpoint: endpointSchema, failure: failure.optional() }),
  'reach.dialBackFailed': failed,
  'reach.shown': answer(reach.shape),
  /** Others reach this node in another way than before. Also emitted at the start. */
  'reach.changed': reach,
} as const satisfies FactSpecs

export type ReachabilityEmits = FactsOf<typeof reachabilityFacts>

export type ReachChanged = Extract<ReachabilityEmits, { type: 'reach.changed' }>

export type ReachabilityCommand = CommandsOf<typeof reachabilityCommands>

export type ReachabilityAccepts = ReachabilityCommand | LinkFact | SelfAddressesChanged | RequestFact
