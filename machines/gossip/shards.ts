/**
 * Maps that never change: a change gives a new one that shares what stayed. Large ones are cut into 64 parts, so that a
 * change copies a sixty-fourth.
 */
export interface Shards<K extends string, V> {
  readonly size: number
  readonly parts: readonly ReadonlyMap<K, V>[]
}

/** Base64's alphabet: keys are short ids, whose first character names the part. */
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
const EMPTY: ReadonlyMap<never, never> = new Map<never, never>()
const NONE: Shards<never, never> = { size: 0, parts: Array.from(ALPHABET, () => EMPTY) }

export const PARTS = ALPHABET.length

export function noShards<K extends string, V>(): Shards<K, V> {
  return NONE as unknown as Shards<K, V>
}

export function partOf(key: string): number {
  const at = ALPHABET.indexOf(key.charAt(0))
  return at < 0 ? 0 : at
}

/** A key for text that is no short id, so that such keys too spread over the parts. */
export function keyOf(text: string): string {
  let sum = 0
  for (let at = 0; at < text.length; at += 1) sum = (Math.imul(sum, 31) + text.charCodeAt(at)) | 0
  return ALPHABET.charAt((sum ^ (sum >>> 6)) & 63) + text
}

export function look<K extends string, V>(shards: Shards<K, V>, key: K): V | undefined {
  return shards.parts[partOf(key)]?.get(key)
}

export function put<K extends string, V>(shards: Shards<K, V>, key: K, value: V): Shards<K, V> {
  const at = partOf(key)
  const part = shards.parts[at] ?? EMPTY
  const size = shards.size + (part.has(key) ? 0 : 1)
  return { size, parts: shards.parts.with(at, withKey(part, key, value)) }
}

export function cut<K extends string, V>(shards: Shards<K, V>, key: K): Shards<K, V> {
  const at = partOf(key)
  const part = shards.parts[at] ?? EMPTY
  return part.has(key) ? { size: shards.size - 1, parts: shards.parts.with(at, withoutKey(part, key)) } : shards
}

export function* all<K extends string, V>(shards: Shards<K, V>): Generator<V> {
  for (const part of shards.parts) yield* part.values()
}

/** One at random, `draw` giving numbers from 0 to below 1; undefined where there is none. */
export function sample<K extends string, V>(shards: Shards<K, V>, draw: () => number): V | undefined {
  if (shards.size === 0) return undefined
  let left = Math.floor(draw() * shards.size)
  for (const part of shards.parts) {
    if (left >= part.size) left -= part.size
    else for (const value of part.values()) if (left-- === 0) return value
  }
  return undefined
}

export function withKey<K, V>(map: ReadonlyMap<K, V>, key: K, value: V): ReadonlyMap<K, V> {
  return new Map(map).set(key, value)
}

export function withoutKey<K, V>(map: ReadonlyMap<K, V>, key: K): ReadonlyMap<K, V> {
  if (!map.has(key)) return map
  const next = new Map(map)
  next.delete(key)
  return next
}
