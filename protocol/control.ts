import type { z } from 'zod'
import type { CommandMeta } from './ids.ts'
import type { Action } from './rights.ts'

/**
 * Declares a command. Each slice lists its own commands, and `index.ts` joins the lists. A listener validates a message
 * with `schema`, authorizes the caller for `action`, publishes the command, and forwards the facts that echo its
 * `requestId` until one of `terminalEvents` arrives.
 */
export interface CommandSpec {
  /** The payload that a caller may send, without `type`, `requestId` and `caller`. */
  schema: z.ZodObject
  /** The action that the caller must be authorized for. */
  action: Action
  /** The facts that complete the command, success first. A failure carries `code` and `message`. */
  terminalEvents: readonly [string, ...string[]]
  /**
   * The fact that carries one page of a long answer, so that no message is as large as the answer. The concern publishes
   * the next page when `request.continued` says that the reader has taken this one.
   */
  page?: string
  /** Whether the listener adds `from`, the address that it observed of the caller's connection, which no caller can choose. */
  isObserved?: boolean
}

/** The union of the command events that a slice's list declares. */
export type CommandsOf<T extends Record<string, CommandSpec>> = {
  [K in keyof T & string]: { type: K } & CommandMeta & Payload<z.infer<T[K]['schema']>>
}[keyof T & string]

/** The type of a payload. zod infers an empty object as `Record<string, never>`, which no object with a `type` fits. */
export type Payload<P> = P extends Record<string, never> ? unknown : P

/**
 * The path of `POST /api/v1/commands`. The body is `{ type, requestId?, ...payload }` as JSON. The response is NDJSON
 * with one fact per line and the terminal event last; an empty line is a heartbeat. If the command is rejected before
 * it starts, the response is JSON, `{ error: { code, message } }`, with the HTTP status of the code.
 */
export const COMMANDS_PATH = '/api/v1/commands'

/** The path of `GET /api/v1/events`: every event on the bus and every state change as NDJSON, for the owner only. */
export const EVENTS_PATH = '/api/v1/events'

/** The path of `GET /api/v1/ping`, whose answer is empty: nodes measure round trips by it. */
export const PING_PATH = '/api/v1/ping'

export const NDJSON = 'application/x-ndjson'
