import type { ShortId, SignedRecord } from '../../protocol/record.ts'
import { SHORT_CHARS } from '../../protocol/record.ts'
import { ENTRY_CHARS, HASH_CHARS } from '../../protocol/wire.ts'
import { PARTS, type Shards } from './shards.ts'

/**
 * Finding out cheaply how two tables differ: one root hash, then the hashes of 64 buckets, then `id + seq` of what is in
 * a bucket that differs (Scuttlebutt's digest in a two-level Merkle tree). Which copy is newer follows from the seq
 * alone, so a digest never needs the records.
 */

export type Members = Shards<ShortId, SignedRecord>

/** 66 bits of a cryptographic hash, in base64: the peer chooses what is hashed. */
export type Hash = (text: string) => string

export interface Digest {
  root(members: Members): string
  /** The 64 bucket hashes, one after the other. */
  buckets(members: Members): string
  /** `short id + seq` of each member in one bucket, sorted. */
  entries(members: Members, bucket: number): string
}

export interface Version {
  short: ShortId
  seq: number
}

/** Remembers what it hashed for as long as the tables live: an unchanged bucket is never hashed again. */
export function createDigest(hash: Hash): Digest {
  const roots = new WeakMap<object, string>()
  const hashes = new WeakMap<object, string>()
  const lists = new WeakMap<object, string>()

  const remembered = <K extends object>(memory: WeakMap<object, string>, key: K, make: () => string): string => {
    const known = memory.get(key)
    if (known !== undefined) return known
    const made = make()
    memory.set(key, made)
    return made
  }
  const list = (part: ReadonlyMap<ShortId, SignedRecord>) =>
    remembered(lists, part, () =>
      Array.from(part.values(), ({ short, record }) => packVersion({ short, seq: record.seq }))
        .sort()
        .join(''),
    )
  const buckets = ({ parts }: Members) => parts.map((part) => remembered(hashes, part, () => hash(list(part)))).join('')

  return {
    root: (members) => remembered(roots, members.parts, () => hash(buckets(members))),
    buckets,
    entries: (members, bucket) => list(members.parts[bucket] ?? new Map()),
  }
}

/** Numbers of the buckets whose hashes differ. */
export function differing(mine: string, theirs: string): number[] {
  const at = (text: string, bucket: number) => text.slice(bucket * HASH_CHARS, (bucket + 1) * HASH_CHARS)
  return Array.from({ length: PARTS }, (_, bucket) => bucket).filter(
    (bucket) => at(mine, bucket) !== at(theirs, bucket),
  )
}

export function packVersion({ short, seq }: Version): string {
  return short + seq.toString(36).padStart(ENTRY_CHARS - SHORT_CHARS, '0')
}

/** What `packVersion` joined. The text has been checked by its schema. */
export function unpackVersions(text: string): Version[] {
  return Array.from({ length: Math.floor(text.length / ENTRY_CHARS) }, (_, index) => {
    const entry = text.slice(index * ENTRY_CHARS, (index + 1) * ENTRY_CHARS)
    return { short: entry.slice(0, SHORT_CHARS) as ShortId, seq: Number.parseInt(entry.slice(SHORT_CHARS), 36) }
  })
}
