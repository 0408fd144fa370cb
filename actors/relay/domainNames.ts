import { DOMAIN_LIMITS } from '../../protocol/defaults/relay.ts'
import { AppError } from '../../protocol/errors.ts'
import type { DomainsFile } from '../../protocol/files/domains.ts'
import { nodeId } from '../../protocol/ids.ts'
import { readDomainName } from '../../protocol/net/domainName.ts'
import type { Store } from '../store.ts'

/**
 * The names under which this node shows ports that it lends. A name belongs to the key that has claimed it, also while none of
 * its ports is shown, until it has not been claimed for `DOMAIN_LIMITS.keepMs`. One claimed without a key belongs to
 * the client's address, as long as the port is lent.
 */
export interface DomainNames {
  /**
   * Shows a port under a name. `client` is as the quota of the relay counts it: a node id, or an address. Only a port that
   * is lent to this client can be shown, so that a name leads nowhere else. Throws `bad_domain`, `domain_taken`,
   * `port_not_lent`, `too_many_domains` and `disk_failed`.
   */
  claim(text: string, client: string, port: number): Promise<string>
  /** Shows a port no more, because it is lent no more. Its names stay with their owners. */
  hide(port: number): void
  /** The port that is shown under a name; undefined if its owner has none at this moment, null if nobody has the name. */
  portOf(name: string): number | undefined | null
  /** The names under which a port is shown. */
  namesOf(port: number): string[]
  /** Calls back with each name that is claimed, also again. */
  onClaim(listener: (name: string) => void): void
}

interface DomainNamesOptions {
  store: Store<DomainsFile>
  /** Whether a TCP port is lent to the client at this moment. */
  isLent(port: number, client: string): boolean
  /** Milliseconds since 1970. */
  now(): number
}

export function createDomainNames({ store, isLent, now }: DomainNamesOptions): DomainNames {
  const shown = new Map<string, { port: number; client: string }>()
  const listeners: ((name: string) => void)[] = []

  /** Who has the name: the client of the port that is shown, or who has claimed it before. */
  function ownerOf(name: string, { names }: DomainsFile): string | undefined {
    const kept = names.find((entry) => entry.name === name)
    if (kept && (shown.has(name) || kept.claimedAt + DOMAIN_LIMITS.keepMs > now())) return kept.owner
    return shown.get(name)?.client
  }

  function check(name: string, client: string, file: DomainsFile): void {
    const owner = ownerOf(name, file)
    if (owner !== undefined && owner !== client) throw new AppError('domain_taken', { name })
    const names = new Set([...file.names.map((entry) => entry.name), ...shown.keys()])
    const own = [...names].filter((each) => each !== name && ownerOf(each, file) === client)
    if (own.length >= DOMAIN_LIMITS.perClient || (names.size >= DOMAIN_LIMITS.total && !names.has(name)))
      throw new AppError('too_many_domains', { name })
  }

  return {
    async claim(text, client, port) {
      const name = readDomainName(text)
      if (name === undefined) throw new AppError('bad_domain', { name: text.slice(0, 64) })
      if (!isLent(port, client)) throw new AppError('port_not_lent', { port })
      const key = nodeId.safeParse(client).data
      check(name, client, store.data)
      if (key)
        await store.update((file) => {
          check(name, client, file)
          const claimedAt = now()
          const since = file.names.find((entry) => entry.name === name && entry.owner === key)?.since ?? claimedAt
          const others = file.names.filter((entry) => entry.name !== name)
          return { ...file, names: [...others, { name, owner: key, since, claimedAt }] }
        })
      // The port may have been given back while the file was written.
      if (!isLent(port, client)) throw new AppError('port_not_lent', { port })
      shown.set(name, { port, client })
      for (const listener of listeners) listener(name)
      return name
    },
    hide(port) {
      for (const [name, found] of shown) if (found.port === port) shown.delete(name)
    },
    portOf(name) {
      const port = shown.get(name)?.port
      return port === undefined && ownerOf(name, store.data) === undefined ? null : port
    },
    namesOf: (port) => [...shown].flatMap(([name, found]) => (found.port === port ? [name] : [])),
    onClaim(listener) {
      listeners.push(listener)
    },
  }
}
