import { z } from 'zod'
import type { CommandSpec, CommandsOf } from './control.ts'
import { answer, type FactSpecs, type FactsOf } from './facts.ts'
import { failure, nodeId } from './ids.ts'

/** The commands that the composition root answers itself. */
export const nodeCommands = {
  /** The greeting: the identity of this node and the protocol versions that it speaks. */
  'node.show': { schema: z.object({}), action: 'see', terminalEvents: ['node.shown'] },
  /** Every living actor of the node, as the registry sees it. */
  'actor.list': {
    schema: z.object({
      /** An actor's path, or text that its path, machine or state contains; "" selects all actors. */
      filter: z.string().max(256).default(''),
      /** Whether to include contexts and all recorded transitions, instead of the latest transition only. */
      details: z.boolean().default(true),
    }),
    action: 'administer',
    terminalEvents: ['actor.listed'],
  },
} as const satisfies Record<string, CommandSpec>

/** One change of a machine's state. */
const actorTransition = z.object({
  /** Milliseconds since 1970. */
  at: z.number(),
  /** Absent for the first state. */
  from: z.string().optional(),
  to: z.string(),
  /** The type of the event that caused it. */
  event: z.string(),
})

export type ActorTransition = z.infer<typeof actorTransition>

/** A living actor: a concern's machine, a machine below it, or a promise or callback at the end of a path. */
const actorView = z.object({
  /** `concern`, `concern/child`, `concern/child/grandchild`. */
  path: z.string(),
  concern: z.string(),
  /** The machine's id; for a promise or a callback, the name that its parent gives it. */
  machine: z.string(),
  /** `a.b` for a state inside another, `a|b` for parallel ones, `active` where there are no states. */
  state: z.string(),
  /** The last few transitions, oldest first; only the latest one if no details were requested. */
  transitions: z.array(actorTransition),
  /** The context, JSON-safe, redacted and bounded (see `contextView`); absent if no details were requested. */
  context: z.json().optional(),
})

export type ActorView = z.infer<typeof actorView>

export const nodeFacts = {
  'node.started': z.object({ id: nodeId, addresses: z.array(z.string()) }),
  'node.stopping': z.object({}),
  /** The service that the owner chose has reported the public address of this machine. */
  'node.addressFound': z.object({ address: z.string() }),
  /** The service that the owner chose did not report the public address of this machine. */
  'node.addressFailed': failure,
  /**
   * A file that could not be read was renamed to `quarantinePath`, and the node continues with an empty one. With `lost`,
   * these entries were left out and the others stay. An empty `quarantinePath` means that the file has no bytes, though
   * these entries were written to it.
   */
  'node.fileQuarantined': z.object({
    path: z.string(),
    quarantinePath: z.string(),
    lost: z.array(z.string()).optional(),
  }),
  /** Somebody whom the owner does not trust wanted to borrow. `key` is the one that they have proved, if any. */
  'node.borrowerRefused': z.object({ from: z.string(), caller: z.string(), key: z.string().optional() }),
  'node.shown': answer({
    id: nodeId,
    name: z.string(),
    key: z.string(),
    version: z.string(),
    protocols: z.array(z.number()),
  }),
  /** `omitted` is the number of actors for which the list had no room. */
  'actor.listed': answer({ actors: z.array(actorView), omitted: z.number() }),
  /** The machine of a concern has crashed and will be restarted in `retryMs`. */
  'node.concernCrashed': z.object({ concern: z.string(), message: z.string(), retryMs: z.number() }),
  'node.concernRestarted': z.object({ concern: z.string() }),
} as const satisfies FactSpecs

export type NodeEmits = FactsOf<typeof nodeFacts>

export type ConcernCrashed = Extract<NodeEmits, { type: 'node.concernCrashed' }>

export type AddressFound = Extract<NodeEmits, { type: 'node.addressFound' }>

export type NodeStopping = Extract<NodeEmits, { type: 'node.stopping' }>

export type NodeCommand = CommandsOf<typeof nodeCommands>
