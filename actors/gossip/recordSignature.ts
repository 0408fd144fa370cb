import { createPrivateKey, createPublicKey, hash, type KeyObject, sign, verify } from 'node:crypto'
import { createDigest } from '../../machines/gossip/digest.ts'
import type { Tools } from '../../machines/gossip/gossipState.ts'
import type { NodeId } from '../../protocol/ids.ts'
import { HASH_CHARS } from '../../protocol/wire/gossip.ts'
import { hasValidSignature, readRecord, type Sign, type SignedRecord, type Verify } from '../../protocol/wire/record.ts'
import { ED25519 } from '../identity/sshPublicKey.ts'

/** Ed25519 and SHA-256 for gossip: what signs and checks records and hashes digests. */

/** Verified records that are remembered: each costs 0.1 ms to check again and 600 bytes to keep. */
const REMEMBERED = 8_192

/** What an OpenSSH Ed25519 key begins with: the length and name of its type, and the length of the point. */
const BLOB_HEAD = Buffer.concat([Buffer.from([0, 0, 0, 11]), Buffer.from(ED25519), Buffer.from([0, 0, 0, 32])])

/** `pem`: the private key as PKCS#8, as in `Identity.tls.key`. */
export function createSign(pem: string): Sign {
  const key = createPrivateKey(pem)
  return (message) => sign(null, Buffer.from(message), key).toString('base64')
}

/** Never throws: what cannot be checked is not genuine. */
export const verifySignature: Verify = (id, line, message, signature) => {
  const blob = Buffer.from(line.slice(ED25519.length + 1), 'base64')
  if (blob.length !== BLOB_HEAD.length + 32 || !blob.subarray(0, BLOB_HEAD.length).equals(BLOB_HEAD)) return false
  if (fingerprint(blob) !== id) return false
  // One signature has one spelling, or a record could be had in many texts.
  const bytes = Buffer.from(signature, 'base64')
  if (bytes.length !== 64 || bytes.toString('base64') !== signature) return false
  try {
    return verify(null, Buffer.from(message), publicKey(blob.subarray(BLOB_HEAD.length)), bytes)
  } catch {
    return false
  }
}

export function hashForDigest(text: string): string {
  return hash('sha256', text, 'base64').slice(0, HASH_CHARS)
}

/** The functions that the gossip step needs from the actor. A record that was found genuine is not checked again. */
export function createGossipTools(pem: string): Tools {
  const verified = new Map<string, SignedRecord>()
  return {
    read: readRecord,
    hasValidSignature(signed) {
      const key = `${signed.short} ${signed.record.seq}`
      const known = verified.get(key)
      if (known?.text === signed.text && known.signature === signed.signature) return true
      if (!hasValidSignature(signed, verifySignature)) return false
      verified.set(key, signed)
      const oldest = verified.size > REMEMBERED && verified.keys().next().value
      if (oldest) verified.delete(oldest)
      return true
    },
    sign: createSign(pem),
    digest: createDigest(hashForDigest),
  }
}

function fingerprint(blob: Buffer): NodeId {
  return `SHA256:${hash('sha256', blob, 'base64').slice(0, 43)}` as NodeId
}

function publicKey(point: Buffer): KeyObject {
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: point.toString('base64url') }, format: 'jwk' })
}
