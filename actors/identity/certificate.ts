import { createPublicKey, type KeyObject, sign, type X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import type { NodeId } from '../../protocol/ids.ts'
import { ed25519Line, parsePublicKey } from './sshPublicKey.ts'

/**
 * Makes the self-signed certificate for a node's Ed25519 key (RFC 5280, RFC 8410). Peers check only the key, so the
 * certificate is deterministic and never expires. It is encoded here without a library, because loading one for these 200
 * bytes would cost a short-lived CLI process more than its command.
 */
export function makeCertificate(privateKey: KeyObject, name: string): string {
  const algorithm = der(0x30, Buffer.from('06032b6570', 'hex'))
  const commonName = der(0x30, Buffer.from('0603550403', 'hex'), der(0x0c, Buffer.from(plainName(name))))
  const subject = der(0x30, der(0x31, commonName))
  const validity = der(0x30, der(0x17, Buffer.from('200101000000Z')), der(0x18, Buffer.from('99991231235959Z')))
  const publicKey = createPublicKey(privateKey).export({ format: 'der', type: 'spki' })
  const version3 = der(0xa0, der(0x02, Buffer.from([2])))
  const serial = der(0x02, Buffer.from([1]))
  const content = der(0x30, version3, serial, algorithm, subject, validity, subject, publicKey)
  const signature = der(0x03, Buffer.from([0]), sign(null, content, privateKey))
  const lines =
    der(0x30, content, algorithm, signature)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}

/**
 * Returns the 32-byte key that a peer proved in the TLS handshake and the name that it gives itself, or undefined if it
 * presented no Ed25519 certificate. The name is safe in a line that a person pastes into a shell.
 */
export function readCertificate(certificate: X509Certificate | undefined): { point: Buffer; name: string } | undefined {
  if (certificate?.publicKey.asymmetricKeyType !== 'ed25519') return undefined
  const { x = '' } = certificate.publicKey.export({ format: 'jwk' })
  const name = /^CN=(.*)$/m.exec(certificate.subject)?.[1] ?? ''
  return { point: Buffer.from(x, 'base64url'), name: plainName(name) }
}

/** The node at the other end of a connection, as its key proves. */
export interface ProvenPeer {
  id: NodeId
  /** The name that it gives itself, of letters, digits and `._-`, or "". It proves nothing. */
  name: string
  /** `ssh-ed25519 AAAA…`, without a comment. */
  key: string
}

/** Returns the peer of a connection after its handshake, or undefined if it presented no Ed25519 certificate. */
export function provenPeer(socket: TLSSocket): ProvenPeer | undefined {
  const read = readCertificate(socket.getPeerX509Certificate())
  if (!read) return undefined
  const key = ed25519Line(read.point)
  return { id: parsePublicKey(key).fingerprint as NodeId, name: read.name, key }
}

/** Returns the part of a name that is safe in a certificate, in a key line and in a shell. */
export function plainName(name: string): string {
  return name
    .replace(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/^[-.]+|-+$/g, '')
    .slice(0, 64)
}

/** Encodes a DER element of tag, length and content. */
function der(tag: number, ...content: Buffer[]): Buffer {
  const body = Buffer.concat(content)
  const { length } = body
  const head = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...head]), body])
}
