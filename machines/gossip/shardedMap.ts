/**
 * A persistent map for many entries: an update returns a new map, which shares what has not changed. The entries are split
 * into 64 shards, so that an update copies one sixty-fourth of them.
 */
export interface ShardedMap<K extends string, V> {
  readonly size: number
  readonly shards: readonly ReadonlyMap<K, V>[]
}

/** The base64 alphabet. Keys are short ids, whose first character determines the shard. */
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
const EMPTY: ReadonlyMap<never, never> = new Map<never, never>()
const NONE: ShardedMap<never, never> = { size: 0, shards: Array.from(ALPHABET, () => EMPTY) }

export const SHARD_COUNT = ALPHABET.length

export function emptyShardedMap<K extends string, V>(): ShardedMap<K, V> {
  return NONE as unknown as ShardedMap<K, V>
}

export function shardOf(key: string): number {
  const at = ALPHABET.indexOf(key.charAt(0))
  return at < 0 ? 0 : at
}

/** Returns a key for text that is not a short id: the text behind a character that spreads such keys over the shards. */
export function shardKey(text: string): string {
  let sum = 0
  for (let at = 0; at < text.length; at += 1) sum = (Math.imul(sum, 31) + text.charCodeAt(at)) | 0
  return ALPHABET.charAt((sum ^ (sum >>> 6)) & 63) + text
}

export function getEntry<K extends string, V>(map: ShardedMap<K, V>, key: K): V | undefined {
  return map.shards[shardOf(key)]?.get(key)
}

export function setEntry<K extends string, V>(map: ShardedMap<K, V>, key: K, value: V): ShardedMap<K, V> {
  const at = shardOf(key)
  const shard = map.shards[at] ?? EMPTY
  const size = map.size + (shard.has(key) ? 0 : 1)
  return { size, shards: map.shards.with(at, copyWith(shard, key, value)) }
}

export function deleteEntry<K extends string, V>(map: ShardedMap<K, V>, key: K): ShardedMap<K, V> {
  const at = shardOf(key)
  const shard = map.shards[at] ?? EMPTY
  return shard.has(key) ? { size: map.size - 1, shards: map.shards.with(at, copyWithout(shard, key)) } : map
}

export function* valuesOf<K extends string, V>(map: ShardedMap<K, V>): Generator<V> {
  for (const shard of map.shards) yield* shard.values()
}

/** Returns a uniformly random value, or undefined if the map is empty. `random` returns numbers from 0 to below 1. */
export function sample<K extends string, V>(map: ShardedMap<K, V>, random: () => number): V | undefined {
  if (map.size === 0) return undefined
  let left = Math.floor(random() * map.size)
  for (const shard of map.shards) {
    if (left >= shard.size) left -= shard.size
    else for (const value of shard.values()) if (left-- === 0) return value
  }
  return undefined
}

export function copyWith<K, V>(map: ReadonlyMap<K, V>, key: K, value: V): ReadonlyMap<K, V> {
  return new Map(map).set(key, value)
}

export function copyWithout<K, V>(map: ReadonlyMap<K, V>, key: K): ReadonlyMap<K, V> {
  if (!map.has(key)) return map
  const next = new Map(map)
  next.delete(key)
  return next
}
