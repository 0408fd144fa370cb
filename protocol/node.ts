import { z } from 'zod'
import type { CommandSpec, CommandsOf } from './control.ts'
import type { Failure, NodeId } from './ids.ts'

/** What the composition root itself says and answers. */
export const nodeCommands = {
  /** The greeting: who this is and which protocol versions it speaks. */
  'node.show': { schema: z.object({}), action: 'see', terminalEvents: ['node.shown'] },
} as const satisfies Record<string, CommandSpec>

/** A concern's machine died and will be started again in `retryMs`. */
export type ConcernCrashed = { type: 'node.concernCrashed'; concern: string; message: string; retryMs: number }

export type NodeStopping = { type: 'node.stopping' }

export type NodeEmits =
  | { type: 'node.started'; id: NodeId; addresses: string[] }
  | NodeStopping
  /** The service that the owner named did not say this machine's public address. */
  | ({ type: 'node.addressFailed' } & Failure)
  /** A file that could not be read was renamed to `quarantinePath`; the node goes on with an empty one. */
  | { type: 'node.fileQuarantined'; path: string; quarantinePath: string }
  | {
      type: 'node.shown'
      requestId: string
      id: NodeId
      name: string
      key: string
      version: string
      protocols: number[]
    }
  | ConcernCrashed
  | { type: 'node.concernRestarted'; concern: string }

export type NodeCommand = CommandsOf<typeof nodeCommands>
