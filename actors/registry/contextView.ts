import { CONTEXT_MAX_CHARS, CONTEXT_MAX_DEPTH, TEXT_MAX_CHARS } from '../../protocol/defaults/registry.ts'
import type { Json } from '../../protocol/json.ts'
import { MASK, Secret } from '../../protocol/secret.ts'
import { type ActorRefView, actorPath, isActorRef } from './actorPath.ts'

/**
 * A copy of an actor's context that can be shown: JSON-safe, redacted and bounded.
 *
 * - Functions and `undefined` are left out; a Map becomes an object, a Set a list.
 * - A `Secret` is `•••`, also as a key of a Map or a value under a name such as `password`; so are private keys in PEM
 *   form and the credentials of a URL.
 * - An actor is its path, an AbortSignal whether it has aborted, a buffer its size, a Date its ISO text, an error its
 *   name and message, a BigInt its digits with an `n`, and an instance of any other class the name of that class.
 * - A value that contains itself is `[circular]`, and what throws when it is read is `[unreadable]`.
 * - What exceeds `CONTEXT_MAX_CHARS` in all, `CONTEXT_MAX_DEPTH` levels or `TEXT_MAX_CHARS` of one text is cut there, with
 *   a mark that begins with `…` and says how much is missing.
 *
 * Nothing of `context` is kept, and none of its methods is called.
 */
export function contextView(context: unknown, maxChars = CONTEXT_MAX_CHARS): Json {
  return (valueView(context, { left: maxChars }, []) ?? null) as Json
}

/** Characters of JSON that may still be written. */
interface Budget {
  left: number
}

const CIRCULAR = '[circular]'
const UNREADABLE = '[unreadable]'

/** Names under which text is a secret even where nobody has made it a `Secret`. */
const SECRET_NAME = /(password|passphrase|secret|private_?key|credentials?|token)$/i

const PRIVATE_KEY = /-----BEGIN [A-Z ]*PRIVATE KEY-----/

const URL_CREDENTIALS = /(:\/\/)[^/@\s]+@/g

function valueView(value: unknown, budget: Budget, ancestors: readonly object[]): unknown {
  switch (typeof value) {
    case 'undefined':
    case 'function':
      return undefined
    case 'boolean':
      return spend(budget, value)
    case 'number':
      return spend(budget, Number.isFinite(value) ? value : String(value))
    case 'bigint':
      return spend(budget, textView(`${value}n`))
    case 'string':
    case 'symbol':
      return spend(budget, textView(String(value)))
    default:
      return value === null ? spend(budget, null) : objectView(value as object, budget, ancestors)
  }
}

function objectView(value: object, budget: Budget, ancestors: readonly object[]): unknown {
  try {
    const short = shortView(value)
    if (short !== undefined) return spend(budget, short)
    if (ancestors.includes(value)) return spend(budget, CIRCULAR)
    if (ancestors.length >= CONTEXT_MAX_DEPTH) return spend(budget, '…')
    const path = [...ancestors, value]
    if (Array.isArray(value)) return listView(value, value.length, budget, path)
    if (value instanceof Set) return listView(value, value.size, budget, path)
    if (value instanceof Map) return entriesView(value, value.size, budget, path)
    const keys = Object.keys(value)
    return entriesView(propertiesOf(value, keys), keys.length, budget, path)
  } catch {
    return spend(budget, UNREADABLE)
  }
}

/** The one text that stands for an object, or undefined where its entries are shown. */
function shortView(value: object): string | undefined {
  if (value instanceof Secret) return MASK
  if (Array.isArray(value) || value instanceof Map || value instanceof Set) return undefined
  if (isActorRef(value)) return textView(actorPath(value as ActorRefView))
  if (value instanceof AbortSignal) return value.aborted ? '[AbortSignal: aborted]' : '[AbortSignal: not aborted]'
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? '[Invalid Date]' : value.toISOString()
  if (value instanceof Error) return textView(`${value.name}: ${value.message}`)
  if (value instanceof URL) return textView(value.href)
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer || value instanceof SharedArrayBuffer)
    return `[${className(value)}: ${value.byteLength} bytes]`
  const prototype = Object.getPrototypeOf(value)
  return prototype === null || prototype === Object.prototype ? undefined : `[${className(value)}]`
}

function className(value: object): string {
  return textView(String(Object.getPrototypeOf(value)?.constructor?.name || 'Object'))
}

function listView(items: Iterable<unknown>, size: number, budget: Budget, path: readonly object[]): unknown[] {
  const list: unknown[] = []
  budget.left -= 2
  let read = 0
  for (const item of items) {
    if (budget.left <= 0) {
      list.push(`… ${size - read} more`)
      break
    }
    read += 1
    list.push(valueView(item, budget, path) ?? spend(budget, null))
  }
  return list
}

function* propertiesOf(value: object, keys: readonly string[]): Generator<[string, unknown]> {
  for (const key of keys) {
    let property: unknown = UNREADABLE
    try {
      property = (value as Record<string, unknown>)[key]
    } catch {
      // A getter that throws costs its own entry alone.
    }
    yield [key, property]
  }
}

function entriesView(
  entries: Iterable<readonly [unknown, unknown]>,
  size: number,
  budget: Budget,
  path: readonly object[],
): object {
  const view = new Map<string, unknown>()
  budget.left -= 2
  let read = 0
  for (const [key, value] of entries) {
    if (budget.left <= 0) {
      view.set('…', `${size - read} more`)
      break
    }
    read += 1
    if (value === undefined || typeof value === 'function') continue
    const name = freeName(keyView(key, path), view)
    budget.left -= name.length + 4
    view.set(name, isSecretName(key, value) ? spend(budget, MASK) : (valueView(value, budget, path) ?? null))
  }
  return Object.fromEntries(view)
}

/** A key of a Map may be anything. */
function keyView(key: unknown, path: readonly object[]): string {
  if (typeof key === 'string') return key === '__proto__' ? '[__proto__]' : textView(key)
  if (typeof key === 'function') return '[function]'
  const shown = valueView(key, { left: TEXT_MAX_CHARS }, path)
  return textView(typeof shown === 'string' ? shown : (JSON.stringify(shown) ?? String(shown)))
}

/** Two secrets, or two texts that were cut, may look the same as keys; neither may hide the other. */
function freeName(name: string, taken: ReadonlyMap<string, unknown>): string {
  if (!taken.has(name)) return name
  let number = 2
  while (taken.has(`${name} (${number})`)) number += 1
  return `${name} (${number})`
}

function isSecretName(key: unknown, value: unknown): boolean {
  if (typeof key !== 'string' || !SECRET_NAME.test(key)) return false
  return (typeof value === 'string' && value !== '') || ArrayBuffer.isView(value)
}

function textView(text: string): string {
  if (PRIVATE_KEY.test(text)) return MASK
  const masked = text.replace(URL_CREDENTIALS, `$1${MASK}@`)
  if (masked.length <= TEXT_MAX_CHARS) return masked
  return `${masked.slice(0, TEXT_MAX_CHARS)}… ${masked.length - TEXT_MAX_CHARS} more characters`
}

function spend<T extends string | number | boolean | null>(budget: Budget, value: T): T {
  budget.left -= (typeof value === 'string' ? value.length + 2 : String(value).length) + 1
  return value
}
