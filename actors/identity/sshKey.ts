import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto'
import { ED25519, ed25519Blob, ed25519Line } from './sshPublicKey.ts'
import { text, wireReader } from './sshWire.ts'

/** The first bytes of OpenSSH's private-key files (PROTOCOL.key). */
const MAGIC = 'openssh-key-v1\0'
/** The PKCS#8 prefix of a raw Ed25519 seed (RFC 8410), which is the form that Node reads. */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')

/** Makes an Ed25519 key pair: the private key as OpenSSH PEM without a passphrase, the public key as a line with a comment. */
export function makeSshKeyPair(comment: string): { privateKey: string; publicKey: string } {
  const { privateKey } = generateKeyPairSync('ed25519')
  const { d = '', x = '' } = privateKey.export({ format: 'jwk' })
  const [seed, point] = [Buffer.from(d, 'base64url'), Buffer.from(x, 'base64url')]
  const check = randomBytes(4)
  const section = [check, check, text(ED25519), text(point), text(Buffer.concat([seed, point])), text(comment)]
  const length = section.reduce((sum, part) => sum + part.length, 0)
  const padding = Buffer.from([1, 2, 3, 4, 5, 6, 7].slice(0, (8 - (length % 8)) % 8))
  const header = [Buffer.from(MAGIC), text('none'), text('none'), text(''), Buffer.from([0, 0, 0, 1])]
  const blob = Buffer.concat([...header, text(ed25519Blob(point)), text(Buffer.concat([...section, padding]))])
  const lines = blob.toString('base64').match(/.{1,70}/g) ?? []
  return {
    privateKey: `-----BEGIN OPENSSH PRIVATE KEY-----\n${lines.join('\n')}\n-----END OPENSSH PRIVATE KEY-----\n`,
    publicKey: `${ed25519Line(point)} ${comment}`.trimEnd(),
  }
}

/** Parses a private key of `makeSshKeyPair` or `ssh-keygen -t ed25519 -N ''`. Throws an `Error` that says what is wrong. */
export function readSshPrivateKey(pem: string): { privateKey: KeyObject; point: Buffer; comment: string } {
  const body = /^-----BEGIN OPENSSH PRIVATE KEY-----\s([A-Za-z0-9+/=\s]+)-----END OPENSSH PRIVATE KEY-----\s*$/.exec(
    pem,
  )
  if (!body?.[1]) throw new Error('it is not an OpenSSH private key')
  const blob = Buffer.from(body[1], 'base64')
  if (!blob.subarray(0, MAGIC.length).equals(Buffer.from(MAGIC))) throw new Error('it is not an OpenSSH private key')
  const outer = wireReader(blob.subarray(MAGIC.length))
  if (outer.text() !== 'none') throw new Error('it is locked with a passphrase')
  outer.bytes()
  outer.bytes()
  if (outer.number() !== 1) throw new Error('it holds more than one key')
  outer.bytes()
  const inner = wireReader(outer.bytes())
  const [check, again] = [inner.number(), inner.number()]
  if (check !== again) throw new Error('it is damaged')
  if (inner.text() !== ED25519) throw new Error('it is not an Ed25519 key')
  const point = Buffer.from(inner.bytes())
  const both = inner.bytes()
  const seed = both.subarray(0, 32)
  const comment = inner.text()
  const privateKey = createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: 'der', type: 'pkcs8' })
  const { x = '' } = privateKey.export({ format: 'jwk' })
  const agree = both.length === 64 && both.subarray(32).equals(point) && Buffer.from(x, 'base64url').equals(point)
  if (!agree) throw new Error('its two halves do not belong together')
  return { privateKey, point, comment }
}
