import type { z } from 'zod'
import type { Answer, BusEvent, Command, Concern, commandsByConcern } from '../protocol/index.ts'
import type { Secret } from '../protocol/secret.ts'

/** What a client sends and gets, by command, derived from the slices. Types only: no schema is loaded for them. */

export type CommandType = Command['type']

/** The row of a command in its slice. */
type SpecOf<T extends CommandType> = {
  [C in Concern]: T extends keyof (typeof commandsByConcern)[C] ? (typeof commandsByConcern)[C][T] : never
}[Concern]

/** zod infers an empty object as a record of nothing, which no object with a `type` would fit. */
type Fields<P> = P extends Record<string, never> ? unknown : P

/** A command as its schema takes it, so that what has a default may be left out. */
export type CommandInput<T extends CommandType> = {
  type: T
  /** The same id from the same caller means the same request, so that a retry is safe. */
  requestId?: string
} & Fields<z.input<SpecOf<T>['schema']>>

/** The name of the fact that a command ends with when it succeeds. */
export type AnswerType<T extends CommandType> = SpecOf<T>['terminalEvents'][0]

/** The fact that a command ends with when it succeeds. */
export type AnswerOf<T extends CommandType> = Revealed<Extract<Answer, { type: AnswerType<T> }>>

/**
 * A fact that may come while a command is at work, its answer or failure last: the facts of the same noun. A newer
 * node may send others, and other keys; they are passed through.
 */
export type FactOf<T extends CommandType> = T extends `${infer Noun}.${string}`
  ? Revealed<Extract<Answer, { type: `${Noun}.${string}` }>>
  : never

/** `T` as JSON has it: what is a `Secret` inside the node is a plain string for whom it is meant. */
export type Revealed<T> = T extends Secret
  ? string
  : T extends z.core.util.JSONType | undefined
    ? T
    : { [Key in keyof T]: Revealed<T[Key]> }

/** The state of a machine changed: `from` is undefined for its first one, `actor` for the concern itself. */
export type StateChanged = {
  type: 'state.changed'
  concern: string
  actor?: string
  from?: string
  to: string
  event: string
}

/** The last event of a reader that was too slow. */
export type StreamDropped = { type: 'stream.dropped'; message: string }

/** An event of the node as its owner sees it, secrets masked. `at` is in milliseconds since 1970. */
export type NodeEvent = { at: number } & (Revealed<BusEvent> | StateChanged | StreamDropped)
