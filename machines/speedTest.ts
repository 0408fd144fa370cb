import { type AnyActorRef, assign, fromCallback, fromPromise, sendTo, setup } from 'xstate'
import { toFailure } from '../protocol/errors.ts'
import type { Failure, NodeId } from '../protocol/ids.ts'
import type { Endpoint } from '../protocol/net/endpoint.ts'
import type { Direction, SpeedTesterCommand, SpeedTesterEmits } from '../protocol/speedTester.ts'

/** The events of a test to its parent. */
export type SpeedTestEmits =
  | { type: 'test.progressed'; fact: SpeedTesterEmits }
  | { type: 'test.ended'; requestId: string; fact: SpeedTesterEmits }

/** The endpoints of the peer. `id` is present if the name denotes one particular node. */
export interface Target {
  id?: NodeId
  endpoints: readonly Endpoint[]
}

/** The node that answered, its endpoint and its latency. A result without `id` is a Go node. */
export interface PingResult {
  id?: NodeId
  endpoint: Endpoint
  bestNs: number
  medianNs: number
}

export interface FlowInput {
  peer: Target
  /** Whether the peer is a Go node, which has other routes or none. */
  legacy: boolean
  direction: Direction
}

export type FlowEmits =
  | { type: 'flow.progress'; mbps: number }
  | { type: 'flow.measured'; mbps: number }
  /** The Go node does not serve this direction. */
  | ({ type: 'flow.refused' } & Failure)
  | ({ type: 'flow.failed' } & Failure)

interface Context extends TestInput {
  peer: Target
  pingResult: PingResult | null
  /** The directions still to measure. */
  remaining: readonly Direction[]
  rates: Readonly<Record<Direction, number | null>>
  failure: Failure | null
}

export interface TestInput {
  parent: AnyActorRef
  command: SpeedTesterCommand
}

const notProvided = () => Promise.reject(new Error('not provided'))

/**
 * One test of one link: finds the peer, waits for a slot, measures round trips, and then one direction after the
 * other.
 */
export const speedTestMachine = setup({
  types: {
    context: {} as Context,
    input: {} as TestInput,
    events: {} as FlowEmits | { type: 'slot.acquired' },
  },
  actors: {
    resolve: fromPromise<Target, string>(notProvided),
    /** Emits `slot.acquired` when no other test runs, and releases the slot when it is stopped. */
    acquireSlot: fromCallback<{ type: 'slot.acquired' }>(() => {}),
    ping: fromPromise<PingResult, Target>(notProvided),
    flow: fromCallback<FlowEmits, FlowInput>(({ sendBack }) =>
      sendBack({ type: 'flow.failed', ...toFailure(new Error('not provided')) }),
    ),
  },
  guards: {
    hasLeft: ({ context }) => context.remaining.length > 0,
    nothingMeasured: ({ context: { rates, failure } }) =>
      failure !== null && rates.download === null && rates.upload === null,
  },
  actions: {
    recordRate: assign({
      rates: ({ context: { rates, remaining } }, { mbps }: { mbps: number | null }) => ({
        ...rates,
        [remaining[0] ?? 'download']: mbps,
      }),
      remaining: ({ context }) => context.remaining.slice(1),
    }),
    recordFailure: assign({ failure: (_, { code, message }: Failure) => ({ code, message }) }),
    emitProgress: sendTo(
      ({ context }) => context.parent,
      ({ context }, { step, mbps }: { step: 'latency' | Direction; mbps: number }): SpeedTestEmits => ({
        type: 'test.progressed',
        fact: {
          type: 'speed.progress',
          requestId: context.command.requestId,
          step,
          mbps,
          line:
            step === 'latency'
              ? `${((context.pingResult?.bestNs ?? 0) / 1e6).toFixed(2)} ms`
              : `${mbps.toFixed(1)} Mbit/s`,
        },
      }),
    ),
    emitMeasured: sendTo(
      ({ context }) => context.parent,
      ({ context: { command, pingResult, rates } }): SpeedTestEmits => {
        const { id, endpoint, bestNs, medianNs } = pingResult as PingResult
        return {
          type: 'test.ended',
          requestId: command.requestId,
          fact: {
            type: 'speed.measured',
            requestId: command.requestId,
            ...(id && { id }),
            endpoint,
            ...rates,
            latencyNs: bestNs,
            latencyMedianNs: medianNs,
          },
        }
      },
    ),
    emitFailed: sendTo(
      ({ context }) => context.parent,
      ({ context: { command, failure } }): SpeedTestEmits => ({
        type: 'test.ended',
        requestId: command.requestId,
        fact: {
          type: 'speed.measureFailed',
          requestId: command.requestId,
          ...(failure ?? toFailure(new Error('no reason'))),
        },
      }),
    ),
  },
}).createMachine({
  id: 'speedTest',
  context: ({ input }) => ({
    ...input,
    peer: { endpoints: [] },
    pingResult: null,
    remaining: input.command.direction === 'both' ? ['download', 'upload'] : [input.command.direction],
    rates: { download: null, upload: null },
    failure: null,
  }),
  initial: 'resolving',
  states: {
    resolving: {
      invoke: {
        src: 'resolve',
        id: 'resolve',
        input: ({ context }) => context.command.where,
        onDone: { target: 'testing', actions: assign({ peer: ({ event }) => event.output }) },
        onError: {
          target: 'failed',
          actions: { type: 'recordFailure', params: ({ event }) => toFailure(event.error) },
        },
      },
    },
    testing: {
      invoke: { src: 'acquireSlot', id: 'acquireSlot' },
      initial: 'waiting',
      states: {
        waiting: { on: { 'slot.acquired': 'pinging' } },
        pinging: {
          invoke: {
            src: 'ping',
            id: 'ping',
            input: ({ context }) => context.peer,
            onDone: {
              target: 'selectingDirection',
              actions: [
                assign({ pingResult: ({ event }) => event.output }),
                { type: 'emitProgress', params: { step: 'latency', mbps: 0 } },
              ],
            },
            onError: {
              target: '#speedTest.failed',
              actions: { type: 'recordFailure', params: ({ event }) => toFailure(event.error) },
            },
          },
        },
        selectingDirection: {
          always: [
            { guard: 'hasLeft', target: 'transferring' },
            { guard: 'nothingMeasured', target: '#speedTest.failed' },
            { target: '#speedTest.measured' },
          ],
        },
        transferring: {
          invoke: {
            src: 'flow',
            id: 'flow',
            // The endpoint that answered, so that both directions and the latency are measured on one path.
            input: ({ context: { pingResult, remaining } }) => {
              const { id, endpoint } = pingResult as PingResult
              return {
                peer: { endpoints: [endpoint], ...(id && { id }) },
                legacy: id === undefined,
                direction: remaining[0] ?? 'download',
              }
            },
          },
          on: {
            'flow.progress': {
              actions: {
                type: 'emitProgress',
                params: ({ context, event }) => ({ step: context.remaining[0] ?? 'download', mbps: event.mbps }),
              },
            },
            'flow.measured': {
              target: 'selectingDirection',
              actions: { type: 'recordRate', params: ({ event }) => event },
            },
            'flow.refused': {
              target: 'selectingDirection',
              actions: [
                { type: 'recordFailure', params: ({ event }) => event },
                { type: 'recordRate', params: { mbps: null } },
              ],
            },
            'flow.failed': {
              target: '#speedTest.failed',
              actions: { type: 'recordFailure', params: ({ event }) => event },
            },
          },
        },
      },
    },
    measured: { type: 'final', entry: 'emitMeasured' },
    failed: { type: 'final', entry: 'emitFailed' },
  },
  options: { maxIterations: 1_000 },
})
