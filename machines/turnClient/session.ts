import { type ActorRefFrom, type AnyActorRef, assign, enqueueActions, fromCallback, sendTo, setup } from 'xstate'
import { FRP_LOGIN_TIMEOUT_MS, SESSION_BACKOFF } from '../../protocol/defaults/turnClient.ts'
import type { FrpMessage } from '../../protocol/wire/frp/message.ts'
import { type TunnelEmits, type TunnelSpec, tunnelMachine } from './tunnel.ts'

/**
 * The events of the connection to the relay. The connection answers pings, and opens work connections when the relay
 * requests them; it ends when the relay is silent for too long.
 */
export type RelayEmits =
  | { type: 'relay.connected' }
  | { type: 'relay.received'; message: FrpMessage }
  | { type: 'relay.lost'; why: string }

/** The events of a session to its connection. */
export type RelayCommand =
  | { type: 'login'; runId: string }
  | { type: 'request'; tunnel: TunnelSpec }
  | { type: 'close'; name: string }

export type SessionEvent =
  | RelayEmits
  | TunnelEmits
  | { type: 'tunnel.open'; tunnel: TunnelSpec }
  | { type: 'tunnel.close'; name: string }

export type SessionEmits =
  | { type: 'session.activated' }
  | { type: 'session.lost'; why: string }
  | { type: 'session.refused'; why: string }
  | Extract<TunnelEmits, { type: 'tunnel.opened' | 'tunnel.refused' }>

/** Absent for a session that runs by itself. */
export interface SessionInput {
  /** Is told what the session emits, with the id of the relay. */
  parent: AnyActorRef
  relay: string
}

interface Context extends Partial<SessionInput> {
  /** What the relay knows this session by, empty before the first login. */
  runId: string
  /** Attempts that failed since the session was last active. */
  failures: number
  why: string
  tunnels: Readonly<Record<string, ActorRefFrom<typeof tunnelMachine>>>
}

/**
 * This node's session at a relay, as frp's client: connects, logs in and keeps its tunnels open. After an interruption it
 * does so again under the same run id, by which the relay knows the former connection and frees its ports at once.
 */
export const sessionMachine = setup({
  types: {
    context: {} as Context,
    input: {} as SessionInput | undefined,
    events: {} as SessionEvent,
    emitted: {} as SessionEmits,
  },
  actors: {
    relay: fromCallback<RelayCommand, { relay: string }, RelayEmits>(({ sendBack }) => {
      sendBack({ type: 'relay.lost', why: 'not provided' })
    }),
    tunnel: tunnelMachine,
  },
  delays: {
    loginTimeout: FRP_LOGIN_TIMEOUT_MS,
    backoff: ({ context: { failures } }) =>
      Math.min(SESSION_BACKOFF.maxMs, SESSION_BACKOFF.initialMs * 2 ** Math.min(failures - 1, 20)),
  },
  guards: {
    isLogin: (_, { message }: { message: FrpMessage }) => message.kind === 'LoginResp' && message.body.error === '',
    isRefusal: (_, { message }: { message: FrpMessage }) => message.kind === 'LoginResp' && message.body.error !== '',
  },
  actions: {
    setWhy: assign({ why: (_, { why }: { why: string }) => why }),
    countFailure: assign({ failures: ({ context }) => context.failures + 1 }),
    setActive: assign({
      failures: 0,
      runId: ({ context }, { message }: { message: FrpMessage }) =>
        message.kind === 'LoginResp' ? message.body.run_id : context.runId,
    }),
    sendLogin: sendTo('relay', ({ context: { runId } }): RelayCommand => ({ type: 'login', runId })),
    sendRequest: sendTo(
      'relay',
      (_, { tunnel }: { tunnel: TunnelSpec }): RelayCommand => ({ type: 'request', tunnel }),
    ),
    sendClose: sendTo('relay', (_, { name }: { name: string }): RelayCommand => ({ type: 'close', name })),
    report: enqueueActions(({ context, enqueue }, fact: SessionEmits) => {
      enqueue.emit(fact)
      if (context.parent) enqueue.sendTo(context.parent, { ...fact, relay: context.relay })
    }),
    notifyTunnels: enqueueActions(({ context, enqueue }, event: { type: 'session.activated' | 'session.lost' }) => {
      for (const tunnel of Object.values(context.tunnels)) enqueue.sendTo(tunnel, event)
    }),
    answerTunnel: enqueueActions(({ context, enqueue }, { message }: { message: FrpMessage }) => {
      if (message.kind !== 'NewProxyResp') return
      const { proxy_name, remote_addr, domain_port: domainPort, error } = message.body
      const tunnel = Object.hasOwn(context.tunnels, proxy_name) ? context.tunnels[proxy_name] : undefined
      const [, port = '0'] = /:(\d{1,5})$/.exec(remote_addr) ?? []
      if (tunnel) enqueue.sendTo(tunnel, { type: 'relay.answered', remotePort: Number(port), domainPort, error })
    }),
    // The name of a tunnel that is open already changes nothing: two of one name would both request its port.
    addTunnel: assign({
      tunnels: ({ context, self, spawn }, { tunnel, isActive }: { tunnel: TunnelSpec; isActive: boolean }) =>
        Object.hasOwn(context.tunnels, tunnel.name)
          ? context.tunnels
          : {
              ...context.tunnels,
              [tunnel.name]: spawn('tunnel', {
                id: `tunnel ${tunnel.name}`,
                input: { session: self, spec: tunnel, isActive },
              }),
            },
    }),
    removeTunnel: enqueueActions(({ context, enqueue }, { name }: { name: string }) => {
      const { [name]: removed, ...tunnels } = context.tunnels
      if (!removed) return
      enqueue.stopChild(removed)
      enqueue.assign({ tunnels })
    }),
  },
}).createMachine({
  id: 'session',
  options: { maxIterations: 1_000 },
  context: ({ input }) => ({ ...input, runId: '', failures: 0, why: '', tunnels: {} }),
  initial: 'connected',
  on: {
    'tunnel.open': { actions: { type: 'addTunnel', params: ({ event }) => ({ ...event, isActive: false }) } },
    'tunnel.close': { actions: { type: 'removeTunnel', params: ({ event }) => event } },
    'tunnel.opened': { actions: { type: 'report', params: ({ event }) => event } },
    'tunnel.refused': { actions: { type: 'report', params: ({ event }) => event } },
  },
  states: {
    connected: {
      invoke: { id: 'relay', src: 'relay', input: ({ context }) => ({ relay: context.relay ?? '' }) },
      initial: 'connecting',
      on: { 'relay.lost': { target: 'waiting', actions: { type: 'setWhy', params: ({ event }) => event } } },
      states: {
        connecting: {
          on: { 'relay.connected': 'loggingIn' },
          after: {
            loginTimeout: {
              target: '#session.waiting',
              actions: { type: 'setWhy', params: { why: 'the relay did not accept the connection in time' } },
            },
          },
        },
        loggingIn: {
          entry: 'sendLogin',
          on: {
            'relay.received': [
              {
                guard: { type: 'isLogin', params: ({ event }) => event },
                target: 'active',
                actions: { type: 'setActive', params: ({ event }) => event },
              },
              {
                guard: { type: 'isRefusal', params: ({ event }) => event },
                target: '#session.refused',
                actions: {
                  type: 'setWhy',
                  params: ({ event: { message } }) => ({ why: 'error' in message.body ? message.body.error : '' }),
                },
              },
            ],
          },
          after: {
            loginTimeout: {
              target: '#session.waiting',
              actions: { type: 'setWhy', params: { why: 'the relay did not answer the login' } },
            },
          },
        },
        active: {
          entry: [
            { type: 'report', params: { type: 'session.activated' } },
            { type: 'notifyTunnels', params: { type: 'session.activated' } },
          ],
          on: {
            'relay.received': { actions: { type: 'answerTunnel', params: ({ event }) => event } },
            'tunnel.requesting': { actions: { type: 'sendRequest', params: ({ event }) => event } },
            'tunnel.open': { actions: { type: 'addTunnel', params: ({ event }) => ({ ...event, isActive: true }) } },
            'tunnel.close': {
              actions: [
                { type: 'sendClose', params: ({ event }) => event },
                { type: 'removeTunnel', params: ({ event }) => event },
              ],
            },
          },
        },
      },
    },
    waiting: {
      entry: [
        'countFailure',
        { type: 'notifyTunnels', params: { type: 'session.lost' } },
        { type: 'report', params: ({ context }) => ({ type: 'session.lost', why: context.why }) },
      ],
      after: { backoff: 'connected' },
    },
    refused: {
      entry: { type: 'report', params: ({ context }) => ({ type: 'session.refused', why: context.why }) },
      type: 'final',
    },
  },
})
