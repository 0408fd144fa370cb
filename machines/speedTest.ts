import { type AnyActorRef, assign, fromCallback, fromPromise, sendTo, setup } from 'xstate'
import { toFailure } from '../protocol/errors.ts'
import type { Failure, NodeId } from '../protocol/ids.ts'
import type { PeerAt } from '../protocol/ipTable.ts'
import type { Direction, SpeedTesterCommand, SpeedTesterEmits } from '../protocol/speedTester.ts'

/** What a test tells the machine that made it. */
export type SpeedTestEmits =
  | { type: 'test.said'; fact: SpeedTesterEmits }
  | { type: 'test.ended'; requestId: string; fact: SpeedTesterEmits }

/** Where the peer is; `id` where the name stood for one node alone. */
export type Target = PeerAt & { id?: NodeId }

/** Who answered, and how near it is. Without `id` it is a Go node. */
export interface Pinged {
  id?: NodeId
  bestNs: number
  medianNs: number
}

export interface FlowInput {
  peer: Target
  /** A Go node: it has other routes, and may have none. */
  legacy: boolean
  direction: Direction
}

export type FlowEmits =
  | { type: 'flow.progress'; mbps: number }
  | { type: 'flow.measured'; mbps: number }
  /** A Go node that does not serve this direction. */
  | ({ type: 'flow.refused' } & Failure)
  | ({ type: 'flow.failed' } & Failure)

interface Context extends TestInput {
  peer: Target
  pinged: Pinged
  /** Directions still to measure. */
  left: readonly Direction[]
  found: Readonly<Record<Direction, number | null>>
  failure: Failure | null
}

export interface TestInput {
  parent: AnyActorRef
  command: SpeedTesterCommand
}

const notProvided = () => Promise.reject(new Error('not provided'))

/** One test of one link: find the peer, wait for the turn, round trips, then one direction after the other. */
export const speedTestMachine = setup({
  types: {
    context: {} as Context,
    input: {} as TestInput,
    events: {} as FlowEmits | { type: 'turn.came' },
  },
  actors: {
    resolve: fromPromise<Target, string>(notProvided),
    /** Says `turn.came` when no other test runs, and lets the next one run when it is stopped. */
    takeTurn: fromCallback<{ type: 'turn.came' }>(() => {}),
    ping: fromPromise<Pinged, Target>(notProvided),
    flow: fromCallback<FlowEmits, FlowInput>(({ sendBack }) =>
      sendBack({ type: 'flow.failed', ...toFailure(new Error('not provided')) }),
    ),
  },
  guards: {
    hasLeft: ({ context }) => context.left.length > 0,
    hasNothing: ({ context: { found, failure } }) =>
      failure !== null && found.download === null && found.upload === null,
  },
  actions: {
    keepRate: assign({
      found: ({ context: { found, left } }, { mbps }: { mbps: number | null }) => ({
        ...found,
        [left[0] ?? 'download']: mbps,
      }),
      left: ({ context }) => context.left.slice(1),
    }),
    keepFailure: assign({ failure: (_, { code, message }: Failure) => ({ code, message }) }),
    tellStep: sendTo(
      ({ context }) => context.parent,
      ({ context }, { step, mbps }: { step: 'latency' | Direction; mbps: number }): SpeedTestEmits => ({
        type: 'test.said',
        fact: {
          type: 'speed.progress',
          requestId: context.command.requestId,
          step,
          mbps,
          line: step === 'latency' ? `${(context.pinged.bestNs / 1e6).toFixed(2)} ms` : `${mbps.toFixed(1)} Mbit/s`,
        },
      }),
    ),
    tellMeasured: sendTo(
      ({ context }) => context.parent,
      ({ context: { command, peer, pinged, found } }): SpeedTestEmits => ({
        type: 'test.ended',
        requestId: command.requestId,
        fact: {
          type: 'speed.measured',
          requestId: command.requestId,
          ...(pinged.id && { id: pinged.id }),
          host: peer.host,
          port: peer.port,
          ...found,
          latencyNs: pinged.bestNs,
          latencyMedianNs: pinged.medianNs,
        },
      }),
    ),
    tellFailed: sendTo(
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
    peer: { host: '', port: 0 },
    pinged: { bestNs: 0, medianNs: 0 },
    left: input.command.direction === 'both' ? ['download', 'upload'] : [input.command.direction],
    found: { download: null, upload: null },
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
        onError: { target: 'failed', actions: { type: 'keepFailure', params: ({ event }) => toFailure(event.error) } },
      },
    },
    testing: {
      invoke: { src: 'takeTurn', id: 'takeTurn' },
      initial: 'waiting',
      states: {
        waiting: { on: { 'turn.came': 'pinging' } },
        pinging: {
          invoke: {
            src: 'ping',
            id: 'ping',
            input: ({ context }) => context.peer,
            onDone: {
              target: 'choosing',
              actions: [
                assign({ pinged: ({ event }) => event.output }),
                { type: 'tellStep', params: { step: 'latency', mbps: 0 } },
              ],
            },
            onError: {
              target: '#speedTest.failed',
              actions: { type: 'keepFailure', params: ({ event }) => toFailure(event.error) },
            },
          },
        },
        choosing: {
          always: [
            { guard: 'hasLeft', target: 'flowing' },
            { guard: 'hasNothing', target: '#speedTest.failed' },
            { target: '#speedTest.measured' },
          ],
        },
        flowing: {
          invoke: {
            src: 'flow',
            id: 'flow',
            input: ({ context: { peer, pinged, left } }) => ({
              peer: { ...peer, ...(pinged.id && { id: pinged.id }) },
              legacy: pinged.id === undefined,
              direction: left[0] ?? 'download',
            }),
          },
          on: {
            'flow.progress': {
              actions: {
                type: 'tellStep',
                params: ({ context, event }) => ({ step: context.left[0] ?? 'download', mbps: event.mbps }),
              },
            },
            'flow.measured': { target: 'choosing', actions: { type: 'keepRate', params: ({ event }) => event } },
            'flow.refused': {
              target: 'choosing',
              actions: [
                { type: 'keepFailure', params: ({ event }) => event },
                { type: 'keepRate', params: { mbps: null } },
              ],
            },
            'flow.failed': {
              target: '#speedTest.failed',
              actions: { type: 'keepFailure', params: ({ event }) => event },
            },
          },
        },
      },
    },
    measured: { type: 'final', entry: 'tellMeasured' },
    failed: { type: 'final', entry: 'tellFailed' },
  },
  options: { maxIterations: 1_000 },
})
