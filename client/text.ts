import { FAILURE_MAX_CHARS } from '../protocol/defaults/net.ts'
import { type AppError, errorKinds, fromFailure } from '../protocol/errors.ts'

/** What another node says about a failure, bounded and without control characters. An unknown code is `internal`. */
export function receivedError({ code, message }: { code: string; message: string }): AppError {
  const words = withoutControlCharacters(message)
    .replace(/[\n\t]+/g, ' ')
    .slice(0, FAILURE_MAX_CHARS)
  return fromFailure({ code: Object.hasOwn(errorKinds, code) ? code : 'internal', message: words })
}

/** A copy of what came from outside whose texts cannot steer a terminal; line breaks and tabs stay. */
export function withoutControlCharacters<T>(value: T): T {
  return cleaned(value) as T
}

/**
 * The escape sequences of ECMA-48: control strings such as a window's title with their terminator (BEL, ST), control
 * sequences such as colours, and the short ones. No part can match what begins another, so the time is linear.
 */
const ESCAPE_SEQUENCES =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  /(?:\u001b[P\]X^_]|[\u0090\u0098\u009d-\u009f])\P{Cc}*(?:\u0007|\u001b\\|\u009c)|(?:\u001b\[|\u009b)[0-?]*[ -/]*[@-~]|\u001b[ -/]*[0-~]/gu

/** Control characters other than tab and line feed, and those that turn the direction of writing. */
const CONTROL_CHARACTERS = /(?![\t\n])[\p{Cc}\p{Bidi_Control}]/gu

function cleaned(value: unknown): unknown {
  if (typeof value === 'string') return value.replace(ESCAPE_SEQUENCES, '').replace(CONTROL_CHARACTERS, '')
  if (Array.isArray(value)) return value.map(cleaned)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [cleaned(key), cleaned(entry)]))
}
