import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hashForDigest } from '../../actors/gossip/recordSignature.ts'
import { createDigest, differing, type Members, packVersion, unpackVersions } from '../../machines/gossip/digest.ts'
import {
  deleteEntry,
  emptyShardedMap,
  getEntry,
  SHARD_COUNT,
  sample,
  setEntry,
  shardKey,
  shardOf,
  valuesOf,
} from '../../machines/gossip/shardedMap.ts'
import { HASH_CHARS } from '../../protocol/wire/gossip.ts'
import type { ShortId, SignedRecord } from '../../protocol/wire/record.ts'

const digest = createDigest(hashForDigest)

function member(number: number, seq: number): SignedRecord {
  const short = hashForDigest(`member ${number}`) as ShortId
  return { short, text: '', signature: '', record: { seq } as SignedRecord['record'] }
}

function table(...members: SignedRecord[]): Members {
  return members.reduce<Members>((shards, each) => setEntry(shards, each.short, each), emptyShardedMap())
}

const hundred = Array.from({ length: 100 }, (_, number) => member(number, number + 1))

test('equal tables have equal digests, whatever the order of insertion', () => {
  const one = table(...hundred)
  const other = table(...[...hundred].reverse())
  assert.equal(digest.root(one), digest.root(other))
  assert.equal(digest.buckets(one), digest.buckets(other))
  assert.equal(digest.root(one).length, HASH_CHARS)
  assert.equal(digest.buckets(one).length, HASH_CHARS * SHARD_COUNT)
})

test('a changed, missing or added member changes the root and only its own bucket', () => {
  const base = table(...hundred)
  const changed = member(7, 1_000)
  for (const other of [
    setEntry(base, changed.short, changed),
    deleteEntry(base, changed.short),
    table(...hundred.slice(0, 7), ...hundred.slice(8)),
  ]) {
    assert.notEqual(digest.root(base), digest.root(other))
    assert.deepEqual(differing(digest.buckets(base), digest.buckets(other)), [shardOf(changed.short)])
  }
})

test('a digest that was used for other tables gives the same results as a new one', () => {
  const used = createDigest(hashForDigest)
  let one = table(...hundred)
  let other = table(...hundred.slice(0, 50))
  for (let run = 0; run < 50; run += 1) {
    one = setEntry(one, hundred[run]?.short as ShortId, member(run, 2_000 + run))
    if (run % 3 === 0) other = deleteEntry(other, hundred[run]?.short as ShortId)
    for (const each of run % 2 === 0 ? [one, other, one] : [one]) {
      const fresh = createDigest(hashForDigest)
      assert.equal(used.root(each), fresh.root(each))
      assert.equal(used.buckets(each), fresh.buckets(each))
      assert.equal(used.versions(each, run), fresh.versions(each, run))
    }
  }
})

test('the versions of a bucket list every member with its seq', () => {
  const base = table(...hundred)
  const listed = Array.from({ length: SHARD_COUNT }, (_, bucket) =>
    unpackVersions(digest.versions(base, bucket)),
  ).flat()
  assert.equal(listed.length, 100)
  for (const { short, seq } of listed) assert.equal(getEntry(base, short)?.record.seq, seq)
})

test('versions up to the highest seq can be packed and unpacked', () => {
  for (const seq of [1, 35, 36, 0xffff_ffff]) {
    const version = { short: 'ABCDEFGHIJ/' as ShortId, seq }
    assert.deepEqual(unpackVersions(packVersion(version) + packVersion(version)), [version, version])
  }
})

test('sharded maps share unchanged shards, and their sizes are right', () => {
  const base = table(...hundred)
  const other = setEntry(base, hundred[0]?.short as ShortId, member(0, 9))
  assert.equal(base.size, 100)
  assert.equal(other.size, 100)
  assert.equal(deleteEntry(base, hundred[3]?.short as ShortId).size, 99)
  assert.equal(deleteEntry(base, 'AAAAAAAAAAA' as ShortId), base)
  assert.equal(base.shards.filter((shard, at) => shard !== other.shards[at]).length, 1)
  assert.equal([...valuesOf(base)].length, 100)
})

test('samples are uniform, and keys of any text are spread over the shards', () => {
  const base = table(...hundred)
  const drawn = new Set(Array.from({ length: 100 }, (_, at) => sample(base, () => (at + 0.5) / 100)?.short))
  assert.equal(drawn.size, 100)
  assert.equal(
    sample(emptyShardedMap(), () => 0),
    undefined,
  )
  const found = new Set(Array.from({ length: 1_000 }, (_, at) => shardOf(shardKey(`20.0.${at}`))))
  assert.ok(found.size > 50)
})
