import { HASH_CHARS, VERSION_CHARS } from '../../protocol/wire/gossip.ts'
import type { ShortId, SignedRecord } from '../../protocol/wire/record.ts'
import { SHORT_CHARS } from '../../protocol/wire/record.ts'
import { SHARD_COUNT, type ShardedMap } from './shardedMap.ts'

/**
 * Finding out cheaply how two tables differ: one root hash, then the hashes of 64 buckets, then `id + seq` of what is in
 * a bucket that differs (Scuttlebutt's digest in a two-level Merkle tree). Which copy is newer follows from the seq
 * alone, so a digest never needs the records.
 */

export type Members = ShardedMap<ShortId, SignedRecord>

/** 66 bits of a cryptographic hash, in base64: the peer chooses what is hashed. */
export type Hash = (text: string) => string

export interface Digest {
  root(members: Members): string
  /** The 64 bucket hashes, one after the other. */
  buckets(members: Members): string
  /** `short id + seq` of each member in one bucket, sorted. */
  versions(members: Members, bucket: number): string
}

export interface Version {
  short: ShortId
  seq: number
}

type Bucket = ReadonlyMap<ShortId, SignedRecord>

/** What is remembered of a bucket, for as long as some table has it. */
export type DigestMemory = WeakMap<Bucket, { readonly list: string; readonly hash: string }>

/**
 * Remembers the latest table that it saw, so that only buckets that changed since are looked at; and each bucket by
 * itself, in `memory`, which the digests of several nodes may share.
 */
export function createDigest(hash: Hash, memory: DigestMemory = new WeakMap()): Digest {
  let seen: readonly Bucket[] = []
  const hashes: string[] = []
  let joined = ''
  let root = ''

  function read(bucket: Bucket): { readonly list: string; readonly hash: string } {
    const known = memory.get(bucket)
    if (known) return known
    const list = listOf(bucket)
    const made = { list, hash: hash(list) }
    memory.set(bucket, made)
    return made
  }

  function see({ shards }: Members): void {
    if (shards === seen) return
    for (let at = 0; at < SHARD_COUNT; at += 1) {
      const shard = shards[at] as Bucket
      if (shard !== seen[at]) hashes[at] = read(shard).hash
    }
    seen = shards
    joined = ''
    root = ''
  }

  function buckets(members: Members): string {
    see(members)
    if (joined === '') joined = hashes.join('')
    return joined
  }

  return {
    buckets,
    root(members) {
      see(members)
      if (root === '') root = hash(buckets(members))
      return root
    },
    versions: ({ shards }, bucket) => read(shards[bucket] ?? new Map()).list,
  }
}

function listOf(bucket: Bucket): string {
  const versions = Array.from(bucket.values(), ({ short, record }) => packVersion({ short, seq: record.seq }))
  return versions.sort().join('')
}

/** Numbers of the buckets whose hashes differ. */
export function differing(mine: string, theirs: string): number[] {
  const at = (text: string, bucket: number) => text.slice(bucket * HASH_CHARS, (bucket + 1) * HASH_CHARS)
  return Array.from({ length: SHARD_COUNT }, (_, bucket) => bucket).filter(
    (bucket) => at(mine, bucket) !== at(theirs, bucket),
  )
}

export function packVersion({ short, seq }: Version): string {
  return short + seq.toString(36).padStart(VERSION_CHARS - SHORT_CHARS, '0')
}

/** What `packVersion` joined. The text has been checked by its schema. */
export function unpackVersions(text: string): Version[] {
  return Array.from({ length: Math.floor(text.length / VERSION_CHARS) }, (_, index) => {
    const entry = text.slice(index * VERSION_CHARS, (index + 1) * VERSION_CHARS)
    return { short: entry.slice(0, SHORT_CHARS) as ShortId, seq: Number.parseInt(entry.slice(SHORT_CHARS), 36) }
  })
}
