import { z } from 'zod'
import type { Payload } from './control.ts'
import { failure } from './ids.ts'

/**
 * Declares facts. Each slice has one schema for each fact, without its `type`, and `index.ts` joins them. A schema
 * describes a fact exactly as it is published: it has no defaults and transforms nothing.
 */
export type FactSpecs = Record<string, z.ZodObject>

/** The union of the facts that a slice declares. */
export type FactsOf<T extends FactSpecs> = {
  [K in keyof T & string]: { type: K } & Payload<z.infer<T[K]>>
}[keyof T & string]

const requestId = z.string()

/** The schema of a fact that answers a command; the fact echoes the command's `requestId`. */
export function answer<T extends z.ZodRawShape>(shape: T) {
  return z.object({ requestId, ...shape })
}

/** The schema of a fact that says only that a command has succeeded. */
export const done = answer({})

/** The schema of a fact that says that a command has failed. */
export const failed = answer(failure.shape)
