/**
 * A map that never changes: a change gives a new one. Made for a few dozen entries whose values change often. The keys and
 * where they stand are shared for as long as only values change, so that a change copies a short list and no Map.
 */
export class SmallMap<K, V> {
  private readonly names: readonly K[]
  private readonly items: readonly V[]
  /** Where each key stands; undefined where there are so few that looking along the list is faster. */
  private readonly places: ReadonlyMap<K, number> | undefined

  private constructor(names: readonly K[], items: readonly V[], places: ReadonlyMap<K, number> | undefined) {
    this.names = names
    this.items = items
    this.places = places
  }

  static none<K, V>(): SmallMap<K, V> {
    return NONE as SmallMap<never, never> as SmallMap<K, V>
  }

  static of<K, V>(names: readonly K[], items: readonly V[]): SmallMap<K, V> {
    return new SmallMap(names, items, placesOf(names))
  }

  get size(): number {
    return this.names.length
  }

  get(key: K): V | undefined {
    const at = this.placeOf(key)
    return at < 0 ? undefined : this.items[at]
  }

  has(key: K): boolean {
    return this.placeOf(key) >= 0
  }

  /** In the order in which their keys came. */
  values(): readonly V[] {
    return this.items
  }

  with(key: K, value: V): SmallMap<K, V> {
    const at = this.placeOf(key)
    if (at >= 0) return new SmallMap(this.names, this.items.with(at, value), this.places)
    return SmallMap.of([...this.names, key], [...this.items, value])
  }

  without(key: K): SmallMap<K, V> {
    const at = this.placeOf(key)
    if (at < 0) return this
    return this.size === 1 ? SmallMap.none() : SmallMap.of(this.names.toSpliced(at, 1), this.items.toSpliced(at, 1))
  }

  /** The same map where all are kept. */
  filter(keep: (value: V) => boolean): SmallMap<K, V> {
    if (this.items.every(keep)) return this
    const kept = this.items.map(keep)
    return SmallMap.of(
      this.names.filter((_, at) => kept[at]),
      this.items.filter((_, at) => kept[at]),
    )
  }

  map(change: (value: V) => V): SmallMap<K, V> {
    return new SmallMap(this.names, this.items.map(change), this.places)
  }

  private placeOf(key: K): number {
    return this.places ? (this.places.get(key) ?? -1) : this.names.indexOf(key)
  }
}

/** From how many keys on an index pays. */
const INDEXED = 9

const NONE = SmallMap.of<never, never>([], [])

function placesOf<K>(names: readonly K[]): ReadonlyMap<K, number> | undefined {
  if (names.length < INDEXED) return undefined
  const places = new Map<K, number>()
  for (let at = 0; at < names.length; at += 1) places.set(names[at] as K, at)
  return places
}
