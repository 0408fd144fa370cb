import { type AnyActorRef, assign, type EventObject, enqueueActions, fromCallback, setup } from 'xstate'
import { DHT_PROCESS } from '../../protocol/defaults/punched.ts'
import { AppError } from '../../protocol/errors.ts'
import type { Failure } from '../../protocol/ids.ts'
import type { SelfAddressesChanged } from '../../protocol/ipTable.ts'
import { isIPv4 } from '../../protocol/net/address.ts'
import type { DhtEmits } from './dht.ts'

/** What it sends to the concern. */
export type LentDhtEmits =
  | { type: 'lentDht.opened'; requestId: string; host: string; port: number }
  | { type: 'lentDht.failed'; requestId: string; failure: Failure }
  | { type: 'lentDht.changed'; state: 'running' | 'stopped' | 'missing'; port?: number; why?: string }

/** `host` is the public IPv4 address of this machine. */
export type LentDhtEvent = { type: 'lentDht.open'; requestId: string; host: string } | DhtEmits

interface Input {
  /** Absent in tests of the chart by itself. */
  parent?: AnyActorRef
  signal: AbortSignal
}

type Changed = Extract<LentDhtEmits, { type: 'lentDht.changed' }>

type FailedCode = 'punching_missing' | 'no_relay'

interface Context extends Input {
  host: string
  port: number
  /** The requests that wait for the ports. */
  requestIds: readonly string[]
  why: string
}

const noRelay = { type: 'replyFailed', params: { code: 'no_relay' } } as const
const missing = { type: 'replyFailed', params: { code: 'punching_missing' } } as const

/**
 * The UDP ports through which nodes behind routers find each other. They are open while somebody needs them: nodes that
 * listen through them request them again before `idleMs` have passed, and then the process ends, which takes 50 MB. On a LAN
 * where every node would lend them, none runs the process.
 */
export const lentDhtMachine = setup({
  types: { context: {} as Context, input: {} as Input, events: {} as LentDhtEvent },
  actors: {
    /** Runs the DHT, and starts it again when it has ended. */
    dht: fromCallback<EventObject, { host: string; signal: AbortSignal }, DhtEmits>(() => {
      throw new Error('not provided')
    }),
  },
  delays: { idle: DHT_PROCESS.idleMs },
  actions: {
    setHost: assign({ host: (_, { host }: { host: string }) => host }),
    setPort: assign({ port: (_, { port }: { port: number }) => port }),
    setWhy: assign({ why: (_, { why }: { why: string }) => why }),
    wait: assign({
      requestIds: ({ context }, { requestId }: { requestId: string }) => [...context.requestIds, requestId],
    }),
    replyOpened: enqueueActions(({ context: { parent, requestIds, host, port }, enqueue }) => {
      for (const requestId of requestIds)
        if (parent) enqueue.sendTo(parent, { type: 'lentDht.opened', requestId, host, port } satisfies LentDhtEmits)
      enqueue.assign({ requestIds: [] })
    }),
    replyFailed: enqueueActions(({ context: { parent, requestIds, why }, enqueue }, { code }: { code: FailedCode }) => {
      const failure = new AppError(code, { why }).toJSON()
      for (const requestId of requestIds)
        if (parent) enqueue.sendTo(parent, { type: 'lentDht.failed', requestId, failure } satisfies LentDhtEmits)
      enqueue.assign({ requestIds: [] })
    }),
    report: enqueueActions(({ context: { parent, port, why }, enqueue }, { state }: Pick<Changed, 'state'>) => {
      const more = state === 'running' ? { port } : { why }
      if (parent) enqueue.sendTo(parent, { type: 'lentDht.changed', state, ...more } satisfies LentDhtEmits)
    }),
  },
}).createMachine({
  id: 'lentDht',
  options: { maxIterations: 1_000 },
  context: ({ input }) => ({ ...input, host: '', port: 0, requestIds: [], why: '' }),
  initial: 'closed',
  states: {
    closed: {
      on: {
        'lentDht.open': {
          target: 'open',
          actions: [
            { type: 'setHost', params: ({ event }) => event },
            { type: 'wait', params: ({ event }) => event },
          ],
        },
      },
    },
    open: {
      invoke: { src: 'dht', input: ({ context: { host, signal } }) => ({ host, signal }) },
      initial: 'starting',
      on: {
        'dht.missing': { target: 'missing', actions: { type: 'setWhy', params: ({ event }) => event } },
        'dht.stopped': {
          target: '.starting',
          actions: [
            { type: 'setWhy', params: ({ event }) => event },
            noRelay,
            { type: 'report', params: { state: 'stopped' } },
          ],
        },
      },
      states: {
        starting: {
          after: { idle: '#lentDht.closed' },
          on: {
            'lentDht.open': { actions: { type: 'wait', params: ({ event }) => event } },
            'dht.started': {
              target: 'running',
              actions: [
                { type: 'setPort', params: ({ event }) => event },
                'replyOpened',
                { type: 'report', params: { state: 'running' } },
              ],
            },
          },
        },
        running: {
          after: {
            idle: {
              target: '#lentDht.closed',
              actions: [
                { type: 'setWhy', params: { why: 'nobody has requested them for a while' } },
                { type: 'report', params: { state: 'stopped' } },
              ],
            },
          },
          on: {
            'lentDht.open': {
              target: 'running',
              reenter: true,
              actions: [{ type: 'wait', params: ({ event }) => event }, 'replyOpened'],
            },
          },
        },
      },
    },
    /** hyperdht does not load here. */
    missing: {
      entry: [missing, { type: 'report', params: { state: 'missing' } }],
      on: {
        'lentDht.open': { actions: [{ type: 'wait', params: ({ event }) => event }, missing] },
      },
    },
  },
})

/** Returns the first IPv4 address of this machine itself: a router maps no UDP ports for the DHT. */
export function dhtHostOf({ endpoints }: Pick<SelfAddressesChanged, 'endpoints'>): string | undefined {
  return endpoints.find(({ kind, host }) => kind === 'direct' && isIPv4(host))?.host
}
