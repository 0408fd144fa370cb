import { type AnyActorRef, assign, type EventObject, enqueueActions, fromCallback, setup } from 'xstate'
import { DHT_PROCESS, PUNCHED } from '../../protocol/defaults/punched.ts'
import type { Failure, NodeId } from '../../protocol/ids.ts'
import type { Endpoint } from '../../protocol/net/endpoint.ts'

/** What it sends to the concern. */
export type PunchedPathEmits =
  | { type: 'punched.opened'; relay: NodeId; endpoint: Endpoint }
  | { type: 'punched.closed'; relay: NodeId; failure: Failure }

/** The events of what listens at the relay, and of what requests its ports again. */
export type PunchedListenEmits =
  | { type: 'listen.opened'; endpoint: Endpoint }
  | { type: 'listen.failed'; failure: Failure }
  | { type: 'renew.done' }

interface Input {
  /** Absent in tests of the chart by itself. */
  parent?: AnyActorRef
  relay: NodeId
}

interface Context extends Input {
  failure: Failure
}

type Failed = Extract<PunchedListenEmits, { type: 'listen.failed' }>

/** Makes this node known at a relay's DHT, so that peers punch through to it. */
export const punchedPathMachine = setup({
  types: { context: {} as Context, input: {} as Input, events: {} as PunchedListenEmits },
  actors: {
    /** Requests the ports of the relay and listens there until it is stopped. */
    listen: fromCallback<EventObject, { relay: NodeId }, PunchedListenEmits>(() => {
      throw new Error('not provided')
    }),
    /** Requests the ports again, so that they stay open. */
    renew: fromCallback<EventObject, { relay: NodeId }, PunchedListenEmits>(() => {
      throw new Error('not provided')
    }),
  },
  delays: { renewInterval: DHT_PROCESS.idleMs / 3, retryInterval: PUNCHED.retryMs },
  guards: { isMissing: (_, { failure }: Failed) => failure.code === 'punching_missing' },
  actions: {
    setFailure: assign({ failure: (_, { failure }: Failed) => failure }),
    reportOpened: enqueueActions(({ context: { parent, relay }, enqueue }, { endpoint }: { endpoint: Endpoint }) => {
      if (parent) enqueue.sendTo(parent, { type: 'punched.opened', relay, endpoint } satisfies PunchedPathEmits)
    }),
    reportClosed: enqueueActions(({ context: { parent, relay, failure }, enqueue }) => {
      if (parent) enqueue.sendTo(parent, { type: 'punched.closed', relay, failure } satisfies PunchedPathEmits)
    }),
  },
}).createMachine({
  id: 'punchedPath',
  options: { maxIterations: 1_000 },
  context: ({ input }) => ({ ...input, failure: { code: 'unreachable', message: '' } }),
  initial: 'alive',
  states: {
    alive: {
      invoke: { src: 'listen', input: ({ context: { relay } }) => ({ relay }) },
      initial: 'opening',
      on: {
        'listen.failed': [
          {
            guard: { type: 'isMissing', params: ({ event }) => event },
            target: 'missing',
            actions: { type: 'setFailure', params: ({ event }) => event },
          },
          { target: 'waiting', actions: { type: 'setFailure', params: ({ event }) => event } },
        ],
      },
      states: {
        opening: {
          on: {
            'listen.opened': {
              target: 'listening',
              actions: { type: 'reportOpened', params: ({ event }) => event },
            },
          },
        },
        listening: { after: { renewInterval: 'renewing' } },
        renewing: {
          invoke: { src: 'renew', input: ({ context: { relay } }) => ({ relay }) },
          on: { 'renew.done': 'listening' },
        },
      },
    },
    /** The relay has no such ports, or no datagram comes through. */
    waiting: { entry: 'reportClosed', after: { retryInterval: 'alive' } },
    /** hyperdht does not load here, or not there. */
    missing: { entry: 'reportClosed' },
  },
})
