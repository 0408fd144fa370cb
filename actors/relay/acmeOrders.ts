import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createSecureContext, type SecureContext } from 'node:tls'
import { createActor, fromPromise } from 'xstate'
import { type CertificateEmits, certificateMachine, type Issued } from '../../machines/relay/certificate.ts'
import { CERTIFICATE } from '../../protocol/defaults/relay.ts'
import { createOnce } from '../home/atomicFile.ts'
import type { DomainCertificates } from './domainCertificates.ts'

export interface AcmeOptions {
  /** Where the key of the account is kept. */
  folder: string
  /** The owner's address, to which the authority writes. Whoever gives it agrees to the terms of the authority. */
  email: string
  certificates: DomainCertificates
  onChange(fact: CertificateEmits): void
  /** The directory of the authority; Let's Encrypt's by default. */
  directoryUrl?: string
  /**
   * Whether to look whether port 443 of the name leads to this node before the authority is asked to, so that a name that
   * leads elsewhere costs no failure there.
   */
  looksFirst?: boolean
}

/** Orders the certificates of domains from an authority (RFC 8555), and proves by TLS alone that they lead here (RFC 8737). */
export interface AcmeOrders {
  /** Gets and renews the certificate of a name from now on. May be called again. */
  follow(name: string): void
  /** The certificate that proves to the authority that a name leads here, while it is ordered. */
  challengeOf(name: string): SecureContext | undefined
  stop(): void
}

const CHALLENGE = 'tls-alpn-01'

export function createAcmeOrders(options: AcmeOptions): AcmeOrders {
  const { folder, email, certificates, onChange, directoryUrl = CERTIFICATE.directoryUrl, looksFirst = true } = options
  const challenges = new Map<string, SecureContext>()
  const followed = new Map<string, { stop(): void }>()

  async function loadLibrary() {
    const acme = await import('acme-client')
    // The chart orders again by itself; the library would be silent for 75 s first.
    Object.assign(acme.axios.defaults, { acmeSettings: { retryMaxAttempts: 0 } })
    return acme
  }

  async function accountKey(): Promise<string> {
    const acme = await loadLibrary()
    const path = join(folder, 'account.pem')
    await createOnce(path, String(await acme.crypto.createPrivateEcdsaKey()))
    return readFile(path, 'utf8')
  }

  async function order(name: string): Promise<Issued> {
    const acme = await loadLibrary()
    const client = new acme.Client({ directoryUrl, accountKey: await accountKey() })
    const [key, csr] = await acme.crypto.createCsr({ altNames: [name] }, await acme.crypto.createPrivateEcdsaKey())
    const certificate = await client.auto({
      csr,
      email,
      termsOfServiceAgreed: true,
      challengePriority: [CHALLENGE],
      skipChallengeVerification: !looksFirst,
      async challengeCreateFn(authorization, challenge, proof) {
        // The types of the library know this kind of challenge no more than its default order does.
        if ((challenge.type as string) !== CHALLENGE) throw new Error(`the authority offers no ${CHALLENGE}`)
        const own = await acme.crypto.createPrivateEcdsaKey()
        const [, cert] = await acme.crypto.createAlpnCertificate(authorization, proof, own)
        challenges.set(name, createSecureContext({ key: own, cert }))
      },
      async challengeRemoveFn() {
        challenges.delete(name)
      },
    })
    await certificates.save(name, { key: String(key), certificate })
    return { renewInMs: renewalOf(certificate) }
  }

  async function start(name: string): Promise<void> {
    const until = await certificates.issuedUntil(name)
    // One of an earlier start is renewed when a third of the usual 90 days is left.
    const renewInMs = until === undefined ? 0 : until - Date.now() - (1 - CERTIFICATE.renewAtPart) * 90 * 86_400_000
    if (!followed.has(name)) return
    const actor = createActor(
      certificateMachine.provide({
        actors: { order: fromPromise<Issued, { name: string }>(({ input }) => order(input.name).catch(explain)) },
      }),
      { input: { name, renewInMs } },
    )
    actor.on('certificate.issued', onChange)
    actor.on('certificate.failed', onChange)
    followed.set(name, actor)
    actor.start()
  }

  /** Where no answer comes at all, the library fails while it reads the answer. */
  function explain(error: unknown): never {
    const isUnanswered = error instanceof TypeError
    throw isUnanswered ? new Error(`${new URL(directoryUrl).host} does not answer`, { cause: error }) : error
  }

  return {
    follow(name) {
      if (followed.has(name)) return
      followed.set(name, { stop() {} })
      void start(name)
    },
    challengeOf: (name) => challenges.get(name),
    stop() {
      for (const actor of followed.values()) actor.stop()
      followed.clear()
    },
  }
}

/** Milliseconds until a certificate is to be renewed, counted from now, when it has just been issued. */
function renewalOf(certificate: string): number {
  const { validTo, validFrom } = new X509Certificate(certificate)
  return (Date.parse(validTo) - Date.parse(validFrom)) * CERTIFICATE.renewAtPart
}
