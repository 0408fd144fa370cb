import { createHash } from 'node:crypto'
import { AppError } from '../../protocol/errors.ts'
import type { Caller } from '../../protocol/ids.ts'
import { text, type Wire, wireReader } from './sshWire.ts'

/** A line of a `.pub` file (RFC 4253 6.6, RFC 8709, OpenSSH's PROTOCOL.u2f). */
export interface SshPublicKey {
  /** `ssh-ed25519`, `ssh-rsa`, … */
  type: string
  /** Type and base64 without the comment, which identify the key. */
  key: string
  comment: string
  /** `SHA256:<43 base64 characters>`, as `ssh-keygen -l` prints it. */
  fingerprint: string
}

/** NIST has disallowed smaller RSA keys since 2014. */
const RSA_BITS_MIN = 2_048

/** The size of the key that Go P2PRC makes, and the least that OpenSSH's server accepts. */
const GO_RSA_BITS_MIN = 1_024

/**
 * Returns how weak a borrower's key may be. Only a node that is open to everybody lends to anonymous callers, and Go
 * P2PRC is one of them.
 */
export function keyLimits(caller: Caller): { rsaBitsMin: number } {
  return { rsaBitsMin: caller === 'anonymous' ? GO_RSA_BITS_MIN : RSA_BITS_MIN }
}

export const ED25519 = 'ssh-ed25519'

/** Returns the line of a 32-byte Ed25519 key, without a comment. */
export function ed25519Line(point: Buffer): string {
  return `${ED25519} ${ed25519Blob(point).toString('base64')}`
}

/** Checks what follows the type inside the blob. Throws an `Error` that says what is wrong. */
const checks: Record<string, (wire: Wire, rsaBitsMin: number) => void> = {
  [ED25519]: edPoint,
  'ecdsa-sha2-nistp256': (wire) => ecPoint(wire, 'nistp256', 65),
  'ecdsa-sha2-nistp384': (wire) => ecPoint(wire, 'nistp384', 97),
  'ecdsa-sha2-nistp521': (wire) => ecPoint(wire, 'nistp521', 133),
  'ssh-rsa': rsaNumbers,
  'sk-ssh-ed25519@openssh.com': (wire) => {
    edPoint(wire)
    application(wire)
  },
  'sk-ecdsa-sha2-nistp256@openssh.com': (wire) => {
    ecPoint(wire, 'nistp256', 65)
    application(wire)
  },
}

/**
 * Parses a public-key line as in a `.pub` file. Throws `bad_key`. It is strict, because the line is written to a container's
 * `authorized_keys`: there must be no options before the type, no second line, no control characters, canonical base64, the
 * same type inside and outside, no trailing bytes, and for RSA `rsaBitsMin` to 16,384 bits.
 */
export function parsePublicKey(line: string, { rsaBitsMin = RSA_BITS_MIN } = {}): SshPublicKey {
  const bad = (why: string) => new AppError('bad_key', { why })
  const trimmed = line.replace(/\r?\n$/, '').trim()
  if (trimmed === '') throw bad('it is empty')
  if (/[\p{Cc}\p{Zl}\p{Zp}]/u.test(trimmed)) throw bad('it holds a line break or control character')
  const [, type = '', encoded = '', comment = ''] = /^(\S+) +(\S+)(?: +(.*))?$/.exec(trimmed) ?? []
  const check = Object.hasOwn(checks, type) ? checks[type] : undefined
  if (!check) throw bad('it does not begin with a type that is taken here (ssh-ed25519, ecdsa-sha2-…, ssh-rsa, sk-…)')
  const blob = Buffer.from(encoded, 'base64')
  if (blob.toString('base64') !== encoded) throw bad('its second part is not base64')
  try {
    const wire = wireReader(blob)
    if (wire.text() !== type) throw new Error('its type and its content differ')
    check(wire, rsaBitsMin)
    if (wire.left() !== 0) throw new Error('there is something behind its end')
  } catch (error) {
    throw bad((error as Error).message)
  }
  return { type, key: `${type} ${encoded}`, comment, fingerprint: fingerprintOf(blob) }
}

function fingerprintOf(blob: Buffer): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`
}

/** The decoded blob of the line. */
export function ed25519Blob(point: Buffer): Buffer {
  return Buffer.concat([text(ED25519), text(point)])
}

function edPoint(wire: Wire): void {
  if (wire.bytes().length !== 32) throw new Error('it is cut short or too long')
}

function ecPoint(wire: Wire, curve: string, length: number): void {
  if (wire.text() !== curve) throw new Error('its type and its curve differ')
  const point = wire.bytes()
  if (point.length !== length || point[0] !== 4) throw new Error('it is cut short or too long')
}

function rsaNumbers(wire: Wire, bitsMin: number): void {
  const { exponent, bits } = readRsa(wire)
  if (exponent.length === 0 || exponent.length > 8) throw new Error('its exponent is not usable')
  if (bits < bitsMin) throw new Error(`RSA of ${bits} bits is too weak, at least ${bitsMin} are required`)
  if (bits > 16_384) throw new Error(`RSA of ${bits} bits is too long, at most 16384 are allowed`)
}

function readRsa(wire: Wire): { exponent: Buffer; bits: number } {
  const exponent = wire.bytes()
  const modulus = wire.bytes()
  const first = modulus.findIndex((byte) => byte !== 0)
  const bits = first < 0 ? 0 : (modulus.length - first) * 8 - Math.clz32(modulus[first] ?? 0) + 24
  return { exponent, bits }
}

/** Returns the size of a parsed RSA key that is weaker than others are accepted; undefined for every other key. */
export function weakRsaBits({ type, key }: Pick<SshPublicKey, 'type' | 'key'>): number | undefined {
  if (type !== 'ssh-rsa') return undefined
  const wire = wireReader(Buffer.from(key.split(' ')[1] ?? '', 'base64'))
  wire.text()
  const { bits } = readRsa(wire)
  return bits < RSA_BITS_MIN ? bits : undefined
}

function application(wire: Wire): void {
  if (!/^[\x21-\x7e]{1,255}$/.test(wire.text())) throw new Error('its application is not usable')
}
