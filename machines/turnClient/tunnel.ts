import { type AnyActorRef, assign, sendTo, setup } from 'xstate'
import { TUNNEL_RETRY_MS, TUNNEL_TIMEOUT_MS } from '../../protocol/defaults/turnClient.ts'

/** A port of a relay that leads to a port of this machine. */
export interface TunnelSpec {
  /** Unique within the session. */
  name: string
  protocol: 'tcp' | 'udp'
  /** The port at the relay; 0 lets the relay choose one. */
  remotePort: number
}

/** The events of a tunnel to its session. */
export type TunnelEmits =
  | { type: 'tunnel.requesting'; tunnel: TunnelSpec }
  | { type: 'tunnel.opened'; name: string; remotePort: number }
  | { type: 'tunnel.refused'; name: string; why: string }

/** The events of a session to its tunnels. `relay.answered` has the port, or why there is none. */
export type TunnelEvent =
  | { type: 'session.activated' }
  | { type: 'session.lost' }
  | { type: 'relay.answered'; remotePort: number; error: string }

export interface TunnelInput {
  session: AnyActorRef
  spec: TunnelSpec
  /** Whether the session has logged in. */
  isActive: boolean
}

interface Context {
  session: AnyActorRef
  spec: TunnelSpec
  isActive: boolean
}

/**
 * One tunnel of a session: requests its port as soon as the session has logged in, and again if the relay refuses or does
 * not answer. The port that the relay chose is requested again after an interruption.
 */
export const tunnelMachine = setup({
  types: { context: {} as Context, input: {} as TunnelInput, events: {} as TunnelEvent },
  delays: { answerTimeout: TUNNEL_TIMEOUT_MS, retryDelay: TUNNEL_RETRY_MS },
  guards: {
    isActive: ({ context }) => context.isActive,
    isAccepted: (_, { error, remotePort }: { error: string; remotePort: number }) => error === '' && remotePort > 0,
  },
  actions: {
    setPort: assign({
      spec: ({ context: { spec } }, { remotePort }: { remotePort: number }) => ({ ...spec, remotePort }),
    }),
    emitRequesting: sendTo(
      ({ context }) => context.session,
      ({ context: { spec } }): TunnelEmits => ({ type: 'tunnel.requesting', tunnel: spec }),
    ),
    emitOpened: sendTo(
      ({ context }) => context.session,
      ({ context: { spec } }): TunnelEmits => ({ type: 'tunnel.opened', ...spec }),
    ),
    emitRefused: sendTo(
      ({ context }) => context.session,
      ({ context: { spec } }, { error }: { error: string }): TunnelEmits => ({
        type: 'tunnel.refused',
        name: spec.name,
        why: error || 'the relay named no port',
      }),
    ),
  },
}).createMachine({
  id: 'tunnel',
  options: { maxIterations: 1_000 },
  context: ({ input }) => input,
  initial: 'checking',
  on: { 'session.lost': '.waiting' },
  states: {
    checking: { always: [{ guard: 'isActive', target: 'requesting' }, { target: 'waiting' }] },
    waiting: { on: { 'session.activated': 'requesting' } },
    requesting: {
      entry: 'emitRequesting',
      on: {
        'relay.answered': [
          {
            guard: { type: 'isAccepted', params: ({ event }) => event },
            target: 'open',
            actions: { type: 'setPort', params: ({ event }) => event },
          },
          { target: 'refused', actions: { type: 'emitRefused', params: ({ event }) => event } },
        ],
      },
      after: { answerTimeout: { target: 'requesting', reenter: true } },
    },
    open: { entry: 'emitOpened' },
    refused: { after: { retryDelay: 'requesting' } },
  },
})
