import { type AnyActorRef, assign, sendTo, setup } from 'xstate'
import { TUNNEL_RETRY_MS, TUNNEL_TIMEOUT_MS } from '../../protocol/defaults/turnClient.ts'

/** A port of a relay that leads to a port of this machine. */
export interface TunnelSpec {
  /** Unique within the session. */
  name: string
  protocol: 'tcp' | 'udp'
  /** The port at the relay; 0 lets the relay choose one. */
  remotePort: number
  /** The name under which the relay is to show the port. */
  domain?: string
}

/** The events of a tunnel to its session. */
export type TunnelEmits =
  | { type: 'tunnel.requesting'; tunnel: TunnelSpec }
  /** `domainPort` is where the relay shows its domain, 0 if it has none. */
  | { type: 'tunnel.opened'; name: string; remotePort: number; domainPort: number }
  | { type: 'tunnel.refused'; name: string; why: string }

/** The events of a session to its tunnels. `relay.answered` has the port, or why there is none. */
export type TunnelEvent =
  | { type: 'session.activated' }
  | { type: 'session.lost' }
  | ({ type: 'relay.answered' } & RelayAnswer)

interface RelayAnswer {
  remotePort: number
  domainPort: number
  error: string
}

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
  domainPort: number
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
    isAccepted: ({ context: { spec } }, { error, remotePort, domainPort }: RelayAnswer) =>
      error === '' && remotePort > 0 && (spec.domain === undefined || domainPort > 0),
  },
  actions: {
    setPort: assign({
      spec: ({ context: { spec } }, { remotePort }: RelayAnswer) => ({ ...spec, remotePort }),
      domainPort: (_, { domainPort }: RelayAnswer) => domainPort,
    }),
    emitRequesting: sendTo(
      ({ context }) => context.session,
      ({ context: { spec } }): TunnelEmits => ({ type: 'tunnel.requesting', tunnel: spec }),
    ),
    emitOpened: sendTo(
      ({ context }) => context.session,
      ({ context: { spec, domainPort } }): TunnelEmits => ({
        type: 'tunnel.opened',
        name: spec.name,
        remotePort: spec.remotePort,
        domainPort,
      }),
    ),
    emitRefused: sendTo(
      ({ context }) => context.session,
      ({ context: { spec } }, { error, remotePort }: RelayAnswer): TunnelEmits => ({
        type: 'tunnel.refused',
        name: spec.name,
        why: error || (remotePort > 0 ? 'the relay shows no domains' : 'the relay named no port'),
      }),
    ),
  },
}).createMachine({
  id: 'tunnel',
  options: { maxIterations: 1_000 },
  context: ({ input }) => ({ ...input, domainPort: 0 }),
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
