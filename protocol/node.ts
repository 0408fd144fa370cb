import { z } from 'zod'
import type { CommandSpec, CommandsOf } from './control.ts'
import { answer, type FactSpecs, type FactsOf } from './facts.ts'
import { failure, nodeId } from './ids.ts'

/** What the composition root itself says and answers. */
export const nodeCommands = {
  /** The greeting: who this is and which protocol versions it speaks. */
  'node.show': { schema: z.object({}), action: 'see', terminalEvents: ['node.shown'] },
} as const satisfies Record<string, CommandSpec>

export const nodeFacts = {
  'node.started': z.object({ id: nodeId, addresses: z.array(z.string()) }),
  'node.stopping': z.object({}),
  /** The service that the owner named did not say this machine's public address. */
  'node.addressFailed': failure,
  /** A file that could not be read was renamed to `quarantinePath`; the node goes on with an empty one. */
  'node.fileQuarantined': z.object({ path: z.string(), quarantinePath: z.string() }),
  'node.shown': answer({
    id: nodeId,
    name: z.string(),
    key: z.string(),
    version: z.string(),
    protocols: z.array(z.number()),
  }),
  /** A concern's machine crashed and will be started again in `retryMs`. */
  'node.concernCrashed': z.object({ concern: z.string(), message: z.string(), retryMs: z.number() }),
  'node.concernRestarted': z.object({ concern: z.string() }),
} as const satisfies FactSpecs

export type NodeEmits = FactsOf<typeof nodeFacts>

export type ConcernCrashed = Extract<NodeEmits, { type: 'node.concernCrashed' }>

export type NodeStopping = Extract<NodeEmits, { type: 'node.stopping' }>

export type NodeCommand = CommandsOf<typeof nodeCommands>
