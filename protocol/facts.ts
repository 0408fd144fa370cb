import { z } from 'zod'
import type { Payload } from './control.ts'
import { failure } from './ids.ts'

/**
 * How facts are declared. Each slice has one schema for each fact, without its `type`; `index.ts` joins them. A schema
 * describes what is published, as it is: it has no defaults and transforms nothing.
 */
export type FactSpecs = Record<string, z.ZodObject>

/** The facts that a slice's map declares, as a union of types. */
export type FactsOf<T extends FactSpecs> = {
  [K in keyof T & string]: { type: K } & Payload<z.infer<T[K]>>
}[keyof T & string]

const requestId = z.string()

/** A fact that answers a command, whose `requestId` it echoes. */
export function answer<T extends z.ZodRawShape>(shape: T) {
  return z.object({ requestId, ...shape })
}

/** A fact that answers a command: it is done, and there is nothing more to tell. */
export const done = answer({})

/** A fact that answers a command: it could not be done. */
export const failed = answer(failure.shape)
