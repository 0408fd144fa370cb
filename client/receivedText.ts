import { stripVTControlCharacters } from 'node:util'
import { FAILURE_MAX_CHARACTERS } from '../protocol/defaults/net.ts'
import { type AppError, errorKinds, fromFailure } from '../protocol/errors.ts'

/** What another node says about a failure, bounded and without control characters. An unknown code is `internal`. */
export function receivedError({ code, message }: { code: string; message: string }): AppError {
  const words = withoutControlCharacters(message)
    .replace(/[\n\t]+/g, ' ')
    .slice(0, FAILURE_MAX_CHARACTERS)
  return fromFailure({ code: Object.hasOwn(errorKinds, code) ? code : 'internal', message: words })
}

/** A copy of what came from outside whose texts cannot steer a terminal; line breaks and tabs stay. */
export function withoutControlCharacters<T>(value: T): T {
  return cleaned(value) as T
}

/** Control characters other than tab and line feed, and those that turn the direction of writing. */
const STEERING = /(?![\t\n])[\p{Cc}\p{Bidi_Control}]/gu

function cleaned(value: unknown): unknown {
  if (typeof value === 'string') return stripVTControlCharacters(value).replace(STEERING, '')
  if (Array.isArray(value)) return value.map(cleaned)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [cleaned(key), cleaned(entry)]))
}
