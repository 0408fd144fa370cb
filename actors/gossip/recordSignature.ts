import { createPrivateKey, createPublicKey, hash, type KeyObject, sign, verify } from 'node:crypto'
import { createDigest } from '../../machines/gossip/digest.ts'
import type { Tools } from '../../machines/gossip/gossipState.ts'
import type { NodeId } from '../../protocol/ids.ts'
import { HASH_CHARS } from '../../protocol/wire/gossip.ts'
import { hasValidSignature, readRecord, type Sign, type SignedRecord, type Verify } from '../../protocol/wire/record.ts'
import { ED25519 } from '../identity/sshPublicKey.ts'

/** Size of the cache of verified records. Verifying one again takes 0.1 ms; keeping it takes 600 bytes. */
const CACHE_MAX = 8_192

/** The first bytes of an OpenSSH Ed25519 key: the length and name of its type, and the length of the point. */
const BLOB_HEAD = Buffer.concat([Buffer.from([0, 0, 0, 11]), Buffer.from(ED25519), Buffer.from([0, 0, 0, 32])])

/** Creates the signing function of a private key. `pem` is in PKCS#8, as in `Identity.tls.key`. */
export function createSign(pem: string): Sign {
  const key = createPrivateKey(pem)
  return (message) => sign(null, Buffer.from(message), key).toString('base64')
}

/** Verifies a signature. It never throws: malformed input is not valid. */
export const verifySignature: Verify = (id, line, message, signature) => {
  const blob = Buffer.from(line.slice(ED25519.length + 1), 'base64')
  if (blob.length !== BLOB_HEAD.length + 32 || !blob.subarray(0, BLOB_HEAD.length).equals(BLOB_HEAD)) return false
  if (fingerprint(blob) !== id) return false
  // Only the canonical base64 is valid; otherwise one record could have many signatures.
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

/** Creates the functions that the gossip step needs from the actor. Records with valid signatures are cached. */
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
      const oldest = verified.size > CACHE_MAX && verified.keys().next().value
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
