import { assign, emit, enqueueActions, fromCallback, sendTo, setup } from 'xstate'
import { CLOSED_CLIENT_MS } from '../protocol/defaults/relay.ts'
import { AppError, toFailure } from '../protocol/errors.ts'
import type { NodeId } from '../protocol/ids.ts'
import type { RelayAccepts, RelayEmits } from '../protocol/relay.ts'
import { isAuthorized, type Rights } from '../protocol/rights.ts'
import type { TrustChanged } from '../protocol/trust.ts'
import { dhtHostOf, type LentDhtEmits, lentDhtMachine } from './relay/lentDht.ts'
import { type LentPort, type LoginEmits, type LoginEvent, loginMachine } from './relay/login.ts'
import {
  allPorts,
  type Login,
  type Logins,
  type Meant,
  meantBy,
  type PortOfLogin,
  type RelayServerCommand,
  type RelayServerEmits,
  withoutPort,
  withPort,
} from './relay/logins.ts'

export interface RelayInput extends Rights {
  /** This node, which may always use its own relay. */
  id: string
  /** The IPv4 address at which others reach this machine; undefined while none is known. */
  host: string | undefined
  signal: AbortSignal
}

type Events =
  | RelayAccepts
  | TrustChanged
  | RelayServerEmits
  | LoginEmits
  | LentDhtEmits
  | { type: 'client.forgiven'; holder: string }

interface Context extends RelayInput {
  logins: Logins
  /** The clients that have streams through the DHT now. */
  dhtClients: readonly NodeId[]
  /** The clients whose logins are refused for a while because the owner has closed them: ids, or addresses without a key. */
  closed: readonly string[]
}

/**
 * Lends ports to nodes that nobody can dial. A child for each login decides what that client gets; here is who has logged
 * in, what the owner sees of it, and whose ports end because the owner takes a right away.
 */
export const relayMachine = setup({
  types: {
    context: {} as Context,
    input: {} as RelayInput,
    events: {} as Events,
    emitted: {} as RelayEmits,
  },
  actors: {
    /** Accepts the connections of clients, and measures what ports carry. */
    server: fromCallback<RelayServerCommand, { signal: AbortSignal }, RelayServerEmits>(() => {}),
    login: loginMachine,
    lentDht: lentDhtMachine,
  },
  guards: {
    isLast: ({ context: { logins } }, { loginId }: { loginId: string }) =>
      Object.keys(logins).every((one) => one === loginId),
    isMeant: ({ context: { logins, dhtClients } }, { which }: { which: string }) =>
      meantBy(logins, dhtClients, which) !== undefined,
    hasHost: ({ context: { host } }) => host !== undefined,
  },
  actions: {
    addLogin: enqueueActions(({ enqueue, self }, { login }: { login: Omit<Login, 'ports'> }) => {
      const { loginId, runId, poolCount } = login
      // It is known before its child can lend anything.
      enqueue.assign(({ context: { logins } }) => ({ logins: { ...logins, [loginId]: { ...login, ports: {} } } }))
      enqueue.spawnChild('login', { id: loginId, input: { loginId, parent: self, runId, poolCount } })
    }),
    addPort: assign({ logins: ({ context: { logins } }, added: PortOfLogin) => withPort(logins, added) }),
    removePort: assign({ logins: ({ context: { logins } }, removed: PortOfLogin) => withoutPort(logins, removed) }),
    emitLent: enqueueActions(({ context: { logins }, enqueue }, { loginId, port }: PortOfLogin) => {
      const login = logins[loginId]
      if (login) enqueue.emit({ type: 'relay.portLent', ...port, client: login.client, from: login.from })
    }),
    emitFreed: enqueueActions(({ context: { logins }, enqueue }, freed: PortOfLogin & { why: string }) => {
      const login = logins[freed.loginId]
      if (login) enqueue.emit(freedFact(login, freed.port, freed.why))
    }),
    removeLogin: enqueueActions(({ context, enqueue }, { loginId, why }: { loginId: string; why: string }) => {
      const { [loginId]: ended, ...logins } = context.logins
      if (!ended) return
      for (const port of Object.values(ended.ports)) enqueue.emit(freedFact(ended, port, why))
      enqueue.stopChild(loginId)
      enqueue.assign({ logins })
    }),
    setTrusted: assign({
      trusted: ({ context: { id } }, { trusted }: { trusted: readonly string[] }) => new Set([id, ...trusted]),
    }),
    /** Those who may no longer have ports lose them at once. Whoever has logged in with a token needs no trust. */
    closeUntrusted: enqueueActions(({ context, enqueue }) => {
      for (const { loginId, client } of Object.values(context.logins))
        if (client !== 'anonymous' && !isAuthorized(context, client, 'relay'))
          enqueue.sendTo(loginId, closing('the owner does not trust the client any more'))
      const clients = context.dhtClients.filter((client) => !isAuthorized(context, client, 'relay'))
      if (clients.length > 0) enqueue.sendTo('server', { type: 'endStreams', clients })
    }),
    closeMeant: enqueueActions(({ context, enqueue }, { which }: { which: string }) => {
      const { logins, ports, dhtClients } = meantBy(context.logins, context.dhtClients, which) as Meant
      const why = 'the owner closed it'
      for (const { loginId, port } of ports)
        enqueue.sendTo(loginId, { type: 'login.freePort', name: port.name, why } satisfies LoginEvent)
      for (const { loginId } of logins) enqueue.sendTo(loginId, closing(why))
      if (dhtClients.length > 0) enqueue.sendTo('server', { type: 'endStreams', clients: dhtClients })
      const ofLogins = logins.map(({ client, from }) => (client === 'anonymous' ? from : client))
      const holders = [...new Set([...ofLogins, ...dhtClients])]
      if (holders.length === 0) return
      enqueue.assign({ closed: [...new Set([...context.closed, ...holders])] })
      for (const holder of holders)
        enqueue.raise({ type: 'client.forgiven', holder }, { delay: CLOSED_CLIENT_MS, id: `forgive ${holder}` })
    }),
    forgive: assign({
      closed: ({ context: { closed } }, { holder }: { holder: string }) => closed.filter((one) => one !== holder),
    }),
    tellClosed: sendTo('server', ({ context: { closed } }) => ({ type: 'refuse', holders: closed })),
    measure: sendTo('server', (_, command: Omit<Extract<RelayServerCommand, { type: 'measure' }>, 'type'>) => ({
      type: 'measure',
      ...command,
    })),
  },
}).createMachine({
  id: 'relay',
  options: { maxIterations: 1_000 },
  context: ({ input }) => ({ ...input, logins: {}, dhtClients: [], closed: [] }),
  invoke: [
    { id: 'server', src: 'server', input: ({ context: { signal } }) => ({ signal }) },
    { id: 'lentDht', src: 'lentDht', input: ({ context: { signal }, self }) => ({ parent: self, signal }) },
  ],
  initial: 'idle',
  states: {
    /** Nobody has logged in. */
    idle: {},
    lending: {
      on: {
        'login.lent': {
          actions: [
            { type: 'addPort', params: ({ event }) => event },
            { type: 'emitLent', params: ({ event }) => event },
          ],
        },
        'login.freed': {
          actions: [
            { type: 'removePort', params: ({ event }) => event },
            { type: 'emitFreed', params: ({ event }) => event },
          ],
        },
        'login.ended': [
          {
            guard: { type: 'isLast', params: ({ event }) => event },
            target: 'idle',
            actions: { type: 'removeLogin', params: ({ event }) => event },
          },
          { actions: { type: 'removeLogin', params: ({ event }) => event } },
        ],
      },
    },
  },
  on: {
    'server.loggedIn': { target: '.lending', actions: { type: 'addLogin', params: ({ event }) => event } },
    'server.refused': {
      actions: emit(({ event: { client, from, why } }) => ({ type: 'relay.refused', client, from, why })),
    },
    'server.measured': {
      actions: emit(({ context, event: { requestId, reply, ports } }) =>
        reply === 'relay.closed'
          ? { type: reply, requestId, ports }
          : { type: reply, requestId, ports, policy: policyOf(context) },
      ),
    },
    'relay.list': {
      actions: {
        type: 'measure',
        params: ({ context, event: { requestId } }) => ({
          requestId,
          reply: 'relay.listed' as const,
          ports: allPorts(Object.values(context.logins)),
          dhtClients: context.dhtClients,
        }),
      },
    },
    'relay.close': [
      {
        guard: { type: 'isMeant', params: ({ event }) => event },
        actions: [
          {
            type: 'measure',
            params: ({ context, event: { requestId, which } }) => {
              const { logins, ports, dhtClients } = meantBy(context.logins, context.dhtClients, which) as Meant
              return { requestId, reply: 'relay.closed' as const, ports: [...ports, ...allPorts(logins)], dhtClients }
            },
          },
          { type: 'closeMeant', params: ({ event }) => event },
          'tellClosed',
        ],
      },
      {
        actions: emit(({ event: { requestId, which } }) => ({
          type: 'relay.closeFailed',
          requestId,
          ...toFailure(new AppError('not_found', { kind: 'lent port', id: which.replace(/\p{Cc}/gu, '?') })),
        })),
      },
    ],
    'server.dhtClients': { actions: assign({ dhtClients: ({ event }) => event.clients }) },
    'relay.openDht': [
      {
        guard: 'hasHost',
        actions: sendTo('lentDht', ({ context: { host = '' }, event: { requestId } }) => ({
          type: 'lentDht.open',
          requestId,
          host,
        })),
      },
      {
        actions: emit(({ event: { requestId } }) => ({
          type: 'relay.openDhtFailed',
          requestId,
          ...new AppError('no_relay', { why: 'it does not know an IPv4 address at which others reach it' }).toJSON(),
        })),
      },
    ],
    'lentDht.opened': { actions: emit(({ event }) => ({ ...event, type: 'relay.dhtOpened' })) },
    'lentDht.failed': {
      actions: emit(({ event: { requestId, failure } }) => ({ type: 'relay.openDhtFailed', requestId, ...failure })),
    },
    'lentDht.changed': { actions: emit(({ event }) => ({ ...event, type: 'relay.dhtChanged' })) },
    'table.selfAddressesChanged': { actions: assign({ host: ({ event }) => dhtHostOf(event) }) },
    'client.forgiven': { actions: [{ type: 'forgive', params: ({ event }) => event }, 'tellClosed'] },
    'trust.changed': { actions: [{ type: 'setTrusted', params: ({ event }) => event }, 'closeUntrusted'] },
  },
})

const closing = (why: string): LoginEvent => ({ type: 'login.close', why })

function freedFact({ client }: Login, { protocol, port }: LentPort, why: string) {
  return { type: 'relay.portFreed', protocol, port, client, why } as const
}

/** With `--open`, everybody gets ports, unless the owner has turned that off. */
function policyOf({ open, relay }: Rights): Rights['relay'] {
  return open && relay !== 'off' ? 'all' : relay
}
