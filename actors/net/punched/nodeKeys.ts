import { createPrivateKey } from 'node:crypto'
import { AppError } from '../../../protocol/errors.ts'
import type { NodeId } from '../../../protocol/ids.ts'
import { ed25519Line, parsePublicKey } from '../../identity/sshPublicKey.ts'
import type { Identity } from '../../identity.ts'

/** The 32 bytes of the node key from which hyperdht makes the same key pair. */
export function seedOf({ tls }: Pick<Identity, 'tls'>): Buffer {
  return Buffer.from(createPrivateKey(tls.key).export({ format: 'jwk' }).d as string, 'base64url')
}

/** The 32 bytes of an Ed25519 key in an OpenSSH line. Throws `bad_key`. */
export function pointOf(line: string): Buffer {
  const { type, key } = parsePublicKey(line)
  if (type !== 'ssh-ed25519') throw new AppError('bad_key', { why: 'it is not an Ed25519 key' })
  return Buffer.from(key.split(' ')[1] as string, 'base64').subarray(-32)
}

/** The node id of the 32 bytes of a key. */
export function idOf(point: Buffer): NodeId {
  return parsePublicKey(ed25519Line(point)).fingerprint as NodeId
}
