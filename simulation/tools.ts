import { hashForDigest } from '../actors/gossip/recordSignature.ts'
import { createDigest, type DigestCache } from '../machines/gossip/digest.ts'
import type { Tools } from '../machines/gossip/gossipState.ts'
import { hasValidSignature, readRecord, type SignedRecord } from '../protocol/wire/record.ts'

/** A cache is cleared when it holds this many entries, which is more than the records of the largest network. */
const CACHE_MAX = 20_000

/**
 * Returns a factory of the tools that a node's step needs. Hashes are the real ones; signatures are fake, because no
 * simulated node forges any. All nodes share the caches, so that each text is parsed, hashed and verified once in all.
 */
export function createTools(): () => Tools {
  const records = new Map<string, SignedRecord>()
  const hashes = new Map<string, string>()
  const verified = new WeakMap<SignedRecord, boolean>()
  const cache: DigestCache = new WeakMap()

  function read(text: string, signature: string): SignedRecord | undefined {
    const known = records.get(text)
    if (known?.signature === signature) return known
    if (records.size > CACHE_MAX) records.clear()
    const signed = readRecord(text, signature)
    if (signed) records.set(text, signed)
    return signed
  }

  function hash(text: string): string {
    const known = hashes.get(text)
    if (known !== undefined) return known
    if (hashes.size > CACHE_MAX) hashes.clear()
    const hashed = hashForDigest(text)
    hashes.set(text, hashed)
    return hashed
  }

  function verify(signed: SignedRecord): boolean {
    const known = verified.get(signed)
    if (known !== undefined) return known
    const valid = hasValidSignature(signed, (_id, _key, message, signature) => fakeSignature(message) === signature)
    verified.set(signed, valid)
    return valid
  }

  return () => ({ read, hasValidSignature: verify, sign: fakeSignature, digest: createDigest(hash, cache) })
}

/** A checksum, padded to the length of a real signature. */
function fakeSignature(message: string): string {
  let sum = 0
  for (let at = 0; at < message.length; at += 1) sum = (Math.imul(sum, 31) + message.charCodeAt(at)) | 0
  return (sum >>> 0).toString(16).padStart(8, '0').repeat(11)
}

/** A random number generator with 32 bits of state (mulberry32, public domain). */
export function mulberry32(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
