import type { z } from 'zod'
import type { CommandMeta } from './ids.ts'
import type { Action } from './rights.ts'

/**
 * How commands are declared. Each slice lists its own; `index.ts` joins the lists. A listener checks a message against
 * `schema`, asks for `action`, publishes the command and passes on the facts that echo its `requestId` until one of
 * `terminalEvents` has come.
 */
export interface CommandSpec {
  /** What the outside may say, without `type`, `requestId` and `caller`. */
  schema: z.ZodObject
  /** What the caller must be allowed to do. */
  action: Action
  /** The facts that finish it, success first. A failed one carries `code` and `message`. */
  terminalEvents: readonly [string, ...string[]]
}

/** The command events that a slice's list declares. */
export type CommandsOf<T extends Record<string, CommandSpec>> = {
  [K in keyof T & string]: { type: K } & CommandMeta & Payload<z.infer<T[K]['schema']>>
}[keyof T & string]

/** zod infers an empty object as a record of nothing, which no object with a `type` would fit. */
export type Payload<P> = P extends Record<string, never> ? unknown : P

/**
 * `POST /api/v1/commands`: the body is `{ type, requestId?, ...payload }` as JSON. The answer is NDJSON, one fact a
 * line, the finishing fact last; an empty line is a heartbeat. A refusal before the command began is a plain JSON
 * `{ error: { code, message } }` with the code's HTTP status.
 */
export const COMMANDS_PATH = '/api/v1/commands'

/** `GET /api/v1/events`: every event on the bus and every state change, as NDJSON, for the owner alone. */
export const EVENTS_PATH = '/api/v1/events'

export const NDJSON = 'application/x-ndjson'
