import { hashForDigest } from '../actors/gossip/recordSignature.ts'
import { createDigest, type DigestMemory } from '../machines/gossip/digest.ts'
import type { Tools } from '../machines/gossip/gossipState.ts'
import { isGenuine, readRecord, type SignedRecord } from '../protocol/wire/record.ts'

/** What the simulated nodes need from the actor: keys, hashes, random numbers. */

/** Texts of each kind that are remembered: enough for a network, however long it runs. */
const REMEMBERED = 20_000

/**
 * Makes tools for one node after another. Hashes as in the real world; signatures are fake, since no simulated node forges.
 * All share what was read, hashed and checked, so that the same text costs its work once and not once a node.
 */
export function createTools(): () => Tools {
  const records = new Map<string, SignedRecord>()
  const hashes = new Map<string, string>()
  const genuine = new WeakMap<SignedRecord, boolean>()
  const memory: DigestMemory = new WeakMap()

  function read(text: string, signature: string): SignedRecord | undefined {
    const known = records.get(text)
    if (known?.signature === signature) return known
    if (records.size > REMEMBERED) records.clear()
    const signed = readRecord(text, signature)
    if (signed) records.set(text, signed)
    return signed
  }

  function hash(text: string): string {
    const known = hashes.get(text)
    if (known !== undefined) return known
    if (hashes.size > REMEMBERED) hashes.clear()
    const made = hashForDigest(text)
    hashes.set(text, made)
    return made
  }

  function isSigned(signed: SignedRecord): boolean {
    const known = genuine.get(signed)
    if (known !== undefined) return known
    const is = isGenuine(signed, (_id, _key, message, signature) => toySignature(message) === signature)
    genuine.set(signed, is)
    return is
  }

  return () => ({ read, genuine: isSigned, sign: toySignature, digest: createDigest(hash, memory) })
}

/** As long as a real one. */
function toySignature(message: string): string {
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
