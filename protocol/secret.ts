import { z } from 'zod'

/** What every log, journal and stream shows in place of a secret. */
export const MASK = '•••'

/**
 * A value that must not be shown. It serialises, prints and inspects as `•••`; only `reveal()` gives it out, and only
 * the one reply it is meant for may call that.
 */
export class Secret {
  readonly #value: string

  constructor(value: string) {
    this.#value = value
  }

  reveal(): string {
    return this.#value
  }

  toJSON(): string {
    return MASK
  }

  toString(): string {
    return MASK
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return MASK
  }
}

/** A secret in a fact: an instance of `Secret` in the node, a string once the one reply has revealed it. */
export const secret = z.instanceof(Secret)

/** A JSON replacer's twin: a copy of `value` with every secret in it given out. For the one reply it is meant for. */
export function revealed(value: unknown): unknown {
  if (value instanceof Secret) return value.reveal()
  if (Array.isArray(value)) return value.map(revealed)
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, revealed(entry)]))
}
