import { randomBytes, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createSecureContext, type SecureContext } from 'node:tls'
import { DOMAIN_PROXY } from '../../protocol/defaults/relay.ts'
import { replace } from '../home/atomicFile.ts'

const DAY_MS = 86_400_000

/** A private key and the certificates for it, the own one first, as PEM texts. */
export interface KeyedCertificate {
  key: string
  certificate: string
}

/** The certificates of the names that are shown, each in a file of its own. */
export interface DomainCertificates {
  /**
   * The one that users of a name get: an authority's, else one that this node has signed itself, and keeps, so that whoever
   * has accepted it once is not asked again. Throws `disk_failed`.
   */
  contextOf(name: string): Promise<SecureContext>
  /** Stores an authority's certificate, which users get from now on. Throws `disk_failed`. */
  save(name: string, issued: KeyedCertificate): Promise<void>
  /** When the authority's certificate of a name ends, in milliseconds since 1970; undefined if there is none. */
  issuedUntil(name: string): Promise<number | undefined>
}

/** Keeps the certificates below `folder`. The names are checked ones, which are safe as the names of files. */
export function createDomainCertificates(folder: string): DomainCertificates {
  const contexts = new Map<string, Promise<{ context: SecureContext; until: number; isSelfSigned: boolean }>>()
  const pathOf = (name: string) => join(folder, `${name}.pem`)

  function load(name: string) {
    const known = contexts.get(name)
    if (known) return known
    const loading = read(name).then(async (stored) => {
      if (stored) return stored
      const made = await signOwn(name)
      await replace(pathOf(name), made.key + made.certificate)
      return parsed(made)
    })
    contexts.set(name, loading)
    loading.catch(() => contexts.delete(name))
    return loading
  }

  async function read(name: string) {
    const text = await readFile(pathOf(name), 'utf8').catch(() => '')
    const end = text.indexOf('-----BEGIN CERTIFICATE-----')
    if (end < 0) return undefined
    try {
      const stored = parsed({ key: text.slice(0, end), certificate: text.slice(end) })
      return stored.until > Date.now() ? stored : undefined
    } catch {
      // A damaged file is replaced, as an old one is.
      return undefined
    }
  }

  return {
    async contextOf(name) {
      const found = await load(name)
      if (found.until > Date.now()) return found.context
      contexts.delete(name)
      return (await load(name)).context
    },
    async save(name, issued) {
      const next = parsed(issued)
      await replace(pathOf(name), issued.key + issued.certificate)
      contexts.set(name, Promise.resolve(next))
    },
    async issuedUntil(name) {
      const stored = await read(name)
      return stored && !stored.isSelfSigned ? stored.until : undefined
    },
  }
}

function parsed({ key, certificate }: KeyedCertificate) {
  const read = new X509Certificate(certificate)
  return {
    context: createSecureContext({ key, cert: certificate }),
    until: Date.parse(read.validTo),
    isSelfSigned: read.issuer === read.subject,
  }
}

/** Signs a certificate for a name with a new key of a kind that browsers know, which a node's own key is not. */
async function signOwn(name: string): Promise<KeyedCertificate> {
  const x509 = await import('@peculiar/x509')
  const signingAlgorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
  const keys = await crypto.subtle.generateKey(signingAlgorithm, true, ['sign', 'verify'])
  const now = Date.now()
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    // A positive number (RFC 5280 4.1.2.2).
    serialNumber: `01${randomBytes(15).toString('hex')}`,
    // A common name has 64 characters at most; users look at the alternative name alone.
    name: `CN=${name.slice(-64).replace(/^[.-]+/, '')}`,
    // Clocks differ.
    notBefore: new Date(now - DAY_MS),
    notAfter: new Date(now + (DOMAIN_PROXY.selfSignedDays - 1) * DAY_MS),
    signingAlgorithm,
    keys,
    extensions: [
      new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: name }]),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
    ],
  })
  const key = x509.PemConverter.encode(await crypto.subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY')
  return { key: `${key}\n`, certificate: `${certificate.toString('pem')}\n` }
}
