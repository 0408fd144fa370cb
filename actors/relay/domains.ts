import type { RelayEmits } from '../../protocol/relay.ts'
import { createAcmeOrders } from './acmeOrders.ts'
import { createDomainCertificates } from './domainCertificates.ts'
import type { DomainNames } from './domainNames.ts'
import { type DomainProxy, openDomainProxy } from './domainProxy.ts'

export interface DomainsOptions {
  names: DomainNames
  /** Where certificates and the key of the account at the authority are kept. */
  folder: string
  port: number
  host?: string
  /** The address at which this machine reaches the ports that it lends. */
  lentHost: string
  /** The owner's e-mail address. Without one, every certificate is self-signed. */
  email?: string | undefined
  /** The directory of the authority, if it is not the default one. */
  directoryUrl?: string | undefined
  publish(fact: RelayEmits): void
}

/** Shows the lent ports under their names: the reverse proxy with its certificates. Throws `port_busy` and `listen_failed`. */
export async function openDomains(options: DomainsOptions): Promise<DomainProxy> {
  const { names, folder, email, directoryUrl, publish, ...at } = options
  const certificates = createDomainCertificates(folder)
  const orders =
    email &&
    createAcmeOrders({
      ...{ folder, email, certificates, ...(directoryUrl && { directoryUrl }) },
      onChange(change) {
        if (change.type === 'certificate.issued') publish({ type: 'relay.certificateIssued', name: change.name })
        else publish({ type: 'relay.certificateMissing', name: change.name, why: change.why })
      },
    })
  const proxy = await openDomainProxy({
    ...at,
    names,
    certificates,
    ...(orders && { challengeOf: orders.challengeOf }),
  })
  names.onClaim((name) => {
    const port = names.portOf(name)
    if (port) publish({ type: 'relay.domainShown', name, port })
    if (orders) orders.follow(name)
  })
  return {
    port: proxy.port,
    async close() {
      if (orders) orders.stop()
      await proxy.close()
    },
  }
}
