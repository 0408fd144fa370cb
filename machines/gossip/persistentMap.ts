/**
 * A persistent map for a few dozen entries whose values change often: an update returns a new map. Maps share the keys and
 * their index as long as only values change, so that such an update copies a short array and no Map.
 */
export class PersistentMap<K, V> {
  private readonly keys: readonly K[]
  private readonly list: readonly V[]
  /** The position of each key; undefined if there are so few keys that a linear search is faster. */
  private readonly index: ReadonlyMap<K, number> | undefined

  private constructor(keys: readonly K[], list: readonly V[], index: ReadonlyMap<K, number> | undefined) {
    this.keys = keys
    this.list = list
    this.index = index
  }

  static empty<K, V>(): PersistentMap<K, V> {
    return EMPTY as PersistentMap<never, never> as PersistentMap<K, V>
  }

  static from<K, V>(keys: readonly K[], list: readonly V[]): PersistentMap<K, V> {
    return new PersistentMap(keys, list, buildIndex(keys))
  }

  get size(): number {
    return this.keys.length
  }

  get(key: K): V | undefined {
    const at = this.indexOf(key)
    return at < 0 ? undefined : this.list[at]
  }

  has(key: K): boolean {
    return this.indexOf(key) >= 0
  }

  /** Returns the values in the order in which their keys were inserted. */
  values(): readonly V[] {
    return this.list
  }

  set(key: K, value: V): PersistentMap<K, V> {
    const at = this.indexOf(key)
    if (at >= 0) return new PersistentMap(this.keys, this.list.with(at, value), this.index)
    return PersistentMap.from([...this.keys, key], [...this.list, value])
  }

  delete(key: K): PersistentMap<K, V> {
    const at = this.indexOf(key)
    if (at < 0) return this
    return this.size === 1
      ? PersistentMap.empty()
      : PersistentMap.from(this.keys.toSpliced(at, 1), this.list.toSpliced(at, 1))
  }

  /** Returns the map without the values that `keep` rejects; the same map if it rejects none. */
  filter(keep: (value: V) => boolean): PersistentMap<K, V> {
    if (this.list.every(keep)) return this
    const kept = this.list.map(keep)
    return PersistentMap.from(
      this.keys.filter((_, at) => kept[at]),
      this.list.filter((_, at) => kept[at]),
    )
  }

  map(change: (value: V) => V): PersistentMap<K, V> {
    return new PersistentMap(this.keys, this.list.map(change), this.index)
  }

  private indexOf(key: K): number {
    return this.index ? (this.index.get(key) ?? -1) : this.keys.indexOf(key)
  }
}

/** From this number of keys on, an index is faster than a linear search. */
const INDEX_MIN_KEYS = 9

const EMPTY = PersistentMap.from<never, never>([], [])

function buildIndex<K>(keys: readonly K[]): ReadonlyMap<K, number> | undefined {
  if (keys.length < INDEX_MIN_KEYS) return undefined
  const index = new Map<K, number>()
  for (let at = 0; at < keys.length; at += 1) index.set(keys[at] as K, at)
  return index
}
