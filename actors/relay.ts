import { fromCallback } from 'xstate'
import { dhtHostOf } from '../machines/relay/lentDht.ts'
import type { PortOfLogin, RelayServerCommand, RelayServerEmits } from '../machines/relay/logins.ts'
import { relayMachine } from '../machines/relay.ts'
import { REFUSALS_REPORTED_RATE } from '../protocol/defaults/listeners.ts'
import { RELAY_LIMITS } from '../protocol/defaults/relay.ts'
import { AppError } from '../protocol/errors.ts'
import type { DomainsFile } from '../protocol/files/domains.ts'
import type { NodeId } from '../protocol/ids.ts'
import type { LentPortView } from '../protocol/relay.ts'
import { isAuthorized, type Rights } from '../protocol/rights.ts'
import type { Identity } from './identity.ts'
import type { AcceptFrp } from './listeners/principal.ts'
import { createRateLimit } from './listeners/rateLimit.ts'
import { createDomainNames, type DomainNames } from './relay/domainNames.ts'
import { createRelayServer, holderOf, type RelayServer } from './relay/frpServer.ts'
import { createLentDht } from './relay/lentDht.ts'
import { createRelayQuota, type RelayLimits } from './relay/quota.ts'
import { loginLogic, type RelayClient, type RelayLogin } from './relay/relayLogin.ts'
import type { Store } from './store.ts'
import type { ConcernParts } from './supervise.ts'

/** What the owner has decided about the ports that this node lends, beside to whom. */
export interface RelayChoices {
  /** The token with which clients without a key may log in. */
  token?: string
  limits?: Partial<RelayLimits>
}

export interface RelayOptions {
  /** This node. */
  identity: Pick<Identity, 'id' | 'tls'>
  /** The current rights. */
  rights: () => Rights
  choices: RelayChoices
  /** Set when the listener is open; `proxyPort` where domains are shown. */
  listenAddresses: { port: number; hosts: readonly string[]; proxyPort?: number }
  /** Whose each domain is. If absent, this node shows none. */
  domains?: Store<DomainsFile> | undefined
}

export interface Relay {
  parts: ConcernParts<typeof relayMachine>
  /** Takes over a connection of the listener. */
  accept: AcceptFrp
  /** Absent if this node shows no domains. */
  names?: DomainNames
  /** Shows a port that a client has under a domain. Throws what `DomainNames.claim` throws, and `no_domains`. */
  addDomain(name: string, client: RelayClient, port: number): Promise<void>
}

/** Creates the concern that lends ports to nodes that nobody can dial. */
export function createRelay({ identity, rights, choices, listenAddresses, domains: store }: RelayOptions): Relay {
  const { id } = identity
  const { token = '', limits } = choices
  const isOwn = (port: number) => port === listenAddresses.port || port === listenAddresses.proxyPort
  const quota = createRelayQuota({ ...RELAY_LIMITS, ...limits }, isOwn)
  const names =
    store && createDomainNames({ store, isLent: (port, client) => quota.holds(client, 'tcp', port), now: Date.now })
  /** The server of the present life of the concern. */
  let current: RelayServer | undefined
  const logins = new Map<string, RelayLogin>()
  let closed: readonly string[] = []
  let reportClients = (_clients: readonly NodeId[]) => {}
  const lentDht = createLentDht({
    ...{ identity, quota, listenAddresses },
    authorize: (client) => !closed.includes(client) && isAuthorized(rights(), client, 'relay'),
    onClients: (clients) => reportClients(clients),
  })

  const server = fromCallback<RelayServerCommand, { signal: AbortSignal }, RelayServerEmits>(
    ({ input: { signal }, sendBack, receive }) => {
      closed = []
      reportClients = (clients) => sendBack({ type: 'server.dhtClients', clients })
      const isReported = createRateLimit(REFUSALS_REPORTED_RATE)
      const [host] = listenAddresses.hosts

      function refusalOf({ caller, address }: RelayClient, hasToken: boolean): string | undefined {
        const now = rights()
        if (closed.includes(caller) || closed.includes(address)) return 'the owner of this node has closed this client'
        if (isAuthorized(now, caller, 'relay')) return undefined
        if (now.relay === 'off') return 'this node lends no ports'
        if (caller !== 'anonymous') return 'this node lends ports to those alone whom its owner trusts'
        return hasToken ? undefined : 'this node lends ports to those alone who prove a node key or know its token'
      }

      const own = createRelayServer({
        ...{ quota, token, authorize: refusalOf, ...(host !== undefined && { host }) },
        ...(names && { domains: { names, port: () => listenAddresses.proxyPort ?? 0 } }),
        onLogin(login) {
          logins.set(login.id, login)
          const { id: loginId, runId, poolCount, caller: client, address: from } = login
          sendBack({ type: 'server.loggedIn', login: { loginId, runId, poolCount, client, from } })
        },
        onRefused({ caller: client, address: from }, why) {
          if (isReported(from, performance.now())) sendBack({ type: 'server.refused', client, from, why })
        },
      })
      const end = () => {
        if (current === own) current = undefined
        own.close()
        logins.clear()
      }
      current = own
      // xstate stops no child of a concern that has crashed.
      signal.addEventListener('abort', end)
      receive((command) => {
        if (command.type === 'refuse') closed = command.holders
        else if (command.type === 'endStreams') lentDht.endStreams(command.clients)
        else {
          const ports = [...command.ports.flatMap(viewOf), ...lentDht.viewsOf(command.dhtClients)]
          sendBack({ ...command, type: 'server.measured', ports })
        }
      })
      return () => {
        signal.removeEventListener('abort', end)
        end()
      }
    },
  )

  function viewOf({ loginId, port }: PortOfLogin): LentPortView[] {
    const login = logins.get(loginId)
    const meter = login?.meters.get(port.name)
    return login && meter
      ? [{ ...port, ...meter, client: login.caller, from: login.address, domains: domainsOf(port) }]
      : []
  }

  function domainsOf({ protocol, port }: PortOfLogin['port']): string[] {
    return protocol === 'tcp' ? (names?.namesOf(port) ?? []) : []
  }

  return {
    ...(names && { names }),
    parts: {
      name: 'relay',
      logic: relayMachine.provide({
        actors: { server, login: loginLogic((loginId) => logins.get(loginId)), lentDht: lentDht.logic },
      }),
      input: (signal, retained) => ({
        ...rights(),
        trusted: new Set([id, ...(retained['trust.changed']?.trusted ?? [])]),
        id,
        host: dhtHostOf(retained['table.selfAddressesChanged'] ?? { endpoints: [] }),
        signal,
      }),
      retains: ['trust.changed', 'table.selfAddressesChanged'],
    },
    async addDomain(name, client, port) {
      if (!names) throw new AppError('no_domains')
      await names.claim(name, holderOf(client), port)
    },
    accept(connection, { caller, address }, release) {
      if (current) current.accept(connection, { caller, address }, release)
      else connection.destroy()
    },
  }
}
