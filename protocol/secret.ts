import { z } from 'zod'

/** The text that every log, journal and stream shows in place of a secret. */
export const MASK = '•••'

/**
 * A value that must not be shown. It is serialised, printed and inspected as `•••`. Only `reveal()` returns the value,
 * and only the code that sends the one reply with it may call that.
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

/** The schema of a secret in a fact: an instance of `Secret` in the node, and a string in the reply that reveals it. */
export const secret = z.instanceof(Secret)

/** Returns a copy of `value` in which every secret is revealed. Only for the one reply that delivers the secret. */
export function revealed(value: unknown): unknown {
  if (value instanceof Secret) return value.reveal()
  if (Array.isArray(value)) return value.map(revealed)
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, revealed(entry)]))
}
