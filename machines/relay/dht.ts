import { assign, type EventObject, emit, fromCallback, setup } from 'xstate'
import { DHT_PROCESS } from '../../protocol/defaults/punched.ts'

/** The events of the process that runs the DHT. */
export type DhtProcessEmits =
  | { type: 'process.ready'; port: number }
  | { type: 'process.missing'; why: string }
  | { type: 'process.ended'; why: string }

export type DhtEmits =
  /** The first of its UDP ports. */
  | { type: 'dht.started'; port: number }
  | { type: 'dht.stopped'; why: string }
  /** hyperdht does not load here, so that this relay has no DHT. */
  | { type: 'dht.missing'; why: string }

interface Context {
  /** Attempts that failed since it last ran. */
  failures: number
  why: string
}

/** The DHT of a relay, in a process of its own, which starts again when it has ended. */
export const dhtMachine = setup({
  types: { context: {} as Context, events: {} as DhtProcessEmits, emitted: {} as DhtEmits },
  actors: {
    /** Owns the process, and ends it when it is stopped. */
    process: fromCallback<EventObject, undefined, DhtProcessEmits>(({ sendBack }) => {
      sendBack({ type: 'process.ended', why: 'not provided' })
    }),
  },
  delays: {
    startTimeout: DHT_PROCESS.startTimeoutMs,
    backoff: ({ context: { failures } }) =>
      Math.min(DHT_PROCESS.backoff.maxMs, DHT_PROCESS.backoff.initialMs * 2 ** Math.min(failures - 1, 20)),
  },
  actions: {
    setWhy: assign({ why: (_, { why }: { why: string }) => why }),
    countFailure: assign({ failures: ({ context }) => context.failures + 1 }),
    forgetFailures: assign({ failures: 0, why: '' }),
    emitStarted: emit((_, { port }: { port: number }) => ({ type: 'dht.started', port })),
    emitStopped: emit(({ context: { why } }) => ({ type: 'dht.stopped', why })),
    emitMissing: emit(({ context: { why } }) => ({ type: 'dht.missing', why })),
  },
}).createMachine({
  id: 'dht',
  options: { maxIterations: 1_000 },
  context: { failures: 0, why: '' },
  initial: 'alive',
  states: {
    alive: {
      invoke: { src: 'process' },
      initial: 'starting',
      on: {
        'process.ended': { target: 'waiting', actions: { type: 'setWhy', params: ({ event }) => event } },
        'process.missing': { target: 'missing', actions: { type: 'setWhy', params: ({ event }) => event } },
      },
      states: {
        starting: {
          after: {
            startTimeout: {
              target: '#dht.waiting',
              actions: { type: 'setWhy', params: { why: 'it did not start in time' } },
            },
          },
          on: {
            'process.ready': {
              target: 'running',
              actions: { type: 'emitStarted', params: ({ event }) => event },
            },
          },
        },
        running: { entry: 'forgetFailures' },
      },
    },
    waiting: { entry: ['countFailure', 'emitStopped'], after: { backoff: 'alive' } },
    missing: { entry: 'emitMissing' },
  },
})
