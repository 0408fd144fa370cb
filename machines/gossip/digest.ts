import { HASH_CHARS, VERSION_CHARS } from '../../protocol/wire/gossip.ts'
import type { ShortId, SignedRecord } from '../../protocol/wire/record.ts'
import { SHORT_CHARS } from '../../protocol/wire/record.ts'
import { SHARD_COUNT, type ShardedMap } from './shardedMap.ts'

export type Members = ShardedMap<ShortId, SignedRecord>

/** Returns 66 bits of a hash in base64. The hash must be cryptographic, because peers choose what is hashed. */
export type Hash = (text: string) => string

/**
 * The digest of a table, by which two nodes find out cheaply how their tables differ: a root hash, then the hashes of 64
 * buckets, then the versions in the buckets that differ (Scuttlebutt's digest in a two-level Merkle tree). The seq alone
 * says which copy of a record is newer, so a digest does not need the records.
 */
export interface Digest {
  root(members: Members): string
  /** Returns the concatenated hashes of the 64 buckets. */
  buckets(members: Members): string
  /** Returns the concatenated versions (`short id + seq`) in one bucket, sorted. */
  versions(members: Members, bucket: number): string
}

export interface Version {
  short: ShortId
  seq: number
}

type Bucket = ReadonlyMap<ShortId, SignedRecord>

/** The versions and the hash of each bucket that some table still contains. */
export type DigestCache = WeakMap<Bucket, { readonly versions: string; readonly hash: string }>

/**
 * Creates a digest that keeps the hashes of the latest table, so that it visits only the buckets that have changed since.
 * The digests of several nodes may share the `cache` of single buckets.
 */
export function createDigest(hash: Hash, cache: DigestCache = new WeakMap()): Digest {
  let current: readonly Bucket[] = []
  const hashes: string[] = []
  let joined = ''
  let root = ''

  function entryOf(bucket: Bucket): { readonly versions: string; readonly hash: string } {
    const cached = cache.get(bucket)
    if (cached) return cached
    const versions = versionsOf(bucket)
    const entry = { versions, hash: hash(versions) }
    cache.set(bucket, entry)
    return entry
  }

  function update({ shards }: Members): void {
    if (shards === current) return
    for (let at = 0; at < SHARD_COUNT; at += 1) {
      const shard = shards[at] as Bucket
      if (shard !== current[at]) hashes[at] = entryOf(shard).hash
    }
    current = shards
    joined = ''
    root = ''
  }

  function buckets(members: Members): string {
    update(members)
    if (joined === '') joined = hashes.join('')
    return joined
  }

  return {
    buckets,
    root(members) {
      update(members)
      if (root === '') root = hash(buckets(members))
      return root
    },
    versions: ({ shards }, bucket) => entryOf(shards[bucket] ?? new Map()).versions,
  }
}

function versionsOf(bucket: Bucket): string {
  const versions = Array.from(bucket.values(), ({ short, record }) => packVersion({ short, seq: record.seq }))
  return versions.sort().join('')
}

/** Returns the numbers of the buckets whose hashes differ. */
export function differing(mine: string, theirs: string): number[] {
  const at = (text: string, bucket: number) => text.slice(bucket * HASH_CHARS, (bucket + 1) * HASH_CHARS)
  return Array.from({ length: SHARD_COUNT }, (_, bucket) => bucket).filter(
    (bucket) => at(mine, bucket) !== at(theirs, bucket),
  )
}

export function packVersion({ short, seq }: Version): string {
  return short + seq.toString(36).padStart(VERSION_CHARS - SHORT_CHARS, '0')
}

/** Splits concatenated versions. The schema of the message has already validated the text. */
export function unpackVersions(text: string): Version[] {
  return Array.from({ length: Math.floor(text.length / VERSION_CHARS) }, (_, index) => {
    const entry = text.slice(index * VERSION_CHARS, (index + 1) * VERSION_CHARS)
    return { short: entry.slice(0, SHORT_CHARS) as ShortId, seq: Number.parseInt(entry.slice(SHORT_CHARS), 36) }
  })
}
