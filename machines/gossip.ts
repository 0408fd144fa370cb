import { assign, emit, enqueueActions, fromCallback, fromPromise, not, sendTo, setup, spawnChild } from 'xstate'
import type { GossipAccepts, GossipEmits } from '../protocol/gossip.ts'
import type { Failure } from '../protocol/ids.ts'
import type { SelfAddressesChanged } from '../protocol/ipTable.ts'
import { formatEndpoint } from '../protocol/net/endpoint.ts'
import { dhtPortOf, machineOf, type RecordFields, withDhtPort } from '../protocol/wire/record.ts'
import {
  type GossipEffect,
  type GossipEvent,
  type GossipStart,
  type GossipState,
  startGossip,
  type Tools,
} from './gossip/gossipState.ts'
import { gossipView } from './gossip/gossipView.ts'
import { isActive } from './gossip/linkPhase.ts'
import { begin, childId, end, find, join, joinIfRepeated, type Requests, type Tracked } from './requests.ts'

/** An event of the step without its time, because the machine has no clock. */
export type Untimed = GossipEvent extends infer E ? (E extends GossipEvent ? Omit<E, 'at'> : never) : never

export interface GossipInput {
  start: GossipStart
  tools: Tools
  /** Aborts when the concern ends; the sockets then close. */
  signal: AbortSignal
}

/** What the stepper receives: events that do not come from a link. */
export type ToStepper = { type: 'step'; event: Untimed }

/**
 * The events of the stepper: the facts of its steps, with the state after them. A step without facts is reported only if it
 * changes the state of the machine, and otherwise from time to time: most steps are pings, and an event costs more than they do.
 */
export type FromStepper =
  | { type: 'stepped'; state: GossipState; facts: readonly Fact[] }
  | { type: 'stepFailed'; error: unknown }

type Fact = Extract<GossipEffect, { type: 'emit' }>['fact']

export type StepperInput = Pick<Context, 'state' | 'tools' | 'signal'>

/** The owner's text has been written to the disk, or could not be. */
export type FromPersist = { type: 'persist.ended'; requestId: string; text: string; failure?: Failure }

type RecordDescribe = Extract<GossipAccepts, { type: 'record.describe' }>

type Stepped = Extract<FromStepper, { type: 'stepped' }>

interface RequestId {
  requestId: string
}

interface Context {
  /** As it was last reported. */
  state: GossipState
  tools: Tools
  signal: AbortSignal
  /** Texts that are being written. Nobody takes a write back, so an abandoned one ends as any other. */
  requests: Requests<Tracked<'persisting'>>
  /** Why the stepper failed. */
  error: unknown
}

/**
 * The machine of the gossip concern: it connects the pure step, which runs beside the sockets, with the bus. The lifecycle of a link is
 * data of the step and not a machine of its own, so that the simulation runs all of it.
 */
export const gossipMachine = setup({
  types: {
    context: {} as Context,
    input: {} as GossipInput,
    events: {} as GossipAccepts | FromStepper | FromPersist,
    emitted: {} as GossipEmits,
    meta: {} as { view: (context: Context) => object },
  },
  actors: {
    /** Steps with what happens at the sockets, which it owns, and by its timer. It sends nothing back after `signal` has aborted. */
    stepper: fromCallback<ToStepper, StepperInput, FromStepper>(() => {
      throw new Error('not provided')
    }),
    /** Ends the machine with an error, so that the supervisor starts it again. */
    fail: fromPromise<never, { error: unknown }>(({ input }) => Promise.reject(input.error)),
    /** Writes the seq of each own record to the disk, so that this node never signs two records with one seq. */
    seqStore: fromCallback<{ type: 'signed'; seq: number }>(() => {}),
    /** Writes the owner's text to the disk. */
    persist: fromCallback<{ type: 'none' }, { requestId: string; text: string }, FromPersist>(() => {
      throw new Error('not provided')
    }),
  },
  guards: {
    isUnderWay: ({ context }, { requestId }: RequestId) => find(context.requests, requestId) !== undefined,
    isConnected: ({ context }) => context.state.links.values().some(isActive),
    hasLeft: ({ context }) => context.state.left,
    isMoved: ({ context, event }) => {
      const { endpoints, port } = event as SelfAddressesChanged
      const { record } = context.state.self
      return port !== record.port || endpoints.map(formatEndpoint).join() !== record.endpoints.join()
    },
  },
  actions: {
    begin: assign({
      requests: ({ context }, { requestId }: RequestId) => begin(context.requests, { requestId, phase: 'persisting' }),
    }),
    join: assign({ requests: ({ context }, { requestId }: RequestId) => join(context.requests, requestId) }),
    end: enqueueActions(({ context, enqueue }, { requestId }: RequestId) => {
      enqueue.stopChild(childId(requestId))
      enqueue.assign({ requests: end(context.requests, requestId) })
    }),
    setState: assign({ state: (_, { state }: Stepped) => state }),
    setError: assign({ error: (_, { error }: { error: unknown }) => error }),
    emitFacts: enqueueActions(({ enqueue }, { facts }: Stepped) => {
      for (const fact of facts) {
        enqueue.emit(fact)
        if (fact.type === 'record.ownSigned') enqueue.sendTo('seqStore', { type: 'signed', seq: fact.record.seq })
      }
    }),
  },
}).createMachine({
  id: 'gossip',
  meta: { view: gossipView },
  context: ({ input: { start, tools, signal } }) => ({
    state: startGossip(start, tools),
    tools,
    signal,
    requests: [],
    error: undefined,
  }),
  invoke: [
    {
      id: 'stepper',
      src: 'stepper',
      input: ({ context: { state, tools, signal } }) => ({ state, tools, signal }),
    },
    { id: 'seqStore', src: 'seqStore' },
  ],
  entry: enqueueActions(({ context: { state }, enqueue }) => {
    const { record, text, signature } = state.self
    enqueue.sendTo('seqStore', { type: 'signed', seq: record.seq })
    enqueue.emit({ type: 'record.ownSigned', record, signed: { text, signature } })
    enqueue.emit({ type: 'gossip.started' })
  }),
  on: {
    stepped: {
      actions: [
        { type: 'setState', params: ({ event }) => event },
        { type: 'emitFacts', params: ({ event }) => event },
      ],
    },
    stepFailed: { target: '.failed', actions: { type: 'setError', params: ({ event }) => event } },
    'peer.addressDiscovered': {
      actions: sendTo('stepper', ({ event: { endpoints, id } }) => ({
        type: 'step',
        event: { type: 'addressDiscovered', endpoints, ...(id && { id }) },
      })),
    },
    'table.seedsListed': {
      actions: sendTo('stepper', ({ event: { seeds } }) => ({
        type: 'step',
        event: { type: 'seedsListed', seeds },
      })),
    },
    'table.selfAddressesChanged': {
      guard: 'isMoved',
      actions: sendTo('stepper', ({ event: { endpoints, port } }) =>
        recordUpdated({ endpoints: endpoints.map(formatEndpoint), port }),
      ),
    },
    'specs.changed': {
      actions: enqueueActions(({ context, event, enqueue }) => {
        const machine = machineOf(event.specs)
        if (JSON.stringify(machine) === JSON.stringify(context.state.self.record.machine)) return
        enqueue.sendTo('stepper', recordUpdated({ machine }))
      }),
    },
    'relay.dhtChanged': {
      guard: ({ context, event: { port } }) => port !== dhtPortOf(context.state.self.record.capabilities),
      actions: sendTo('stepper', ({ context, event: { port } }) =>
        recordUpdated({ capabilities: withDhtPort(context.state.self.record.capabilities, port) }),
      ),
    },
    'trust.changed': {
      actions: sendTo('stepper', ({ event: { trusted } }) => ({
        type: 'step',
        event: { type: 'trustChanged', trusted },
      })),
    },
    'record.describe': [
      joinIfRepeated,
      {
        actions: [
          { type: 'begin', params: ({ event }) => event },
          spawnChild('persist', {
            id: ({ event }) => childId((event as RecordDescribe).requestId),
            input: ({ event }) => {
              const { requestId, text } = event as RecordDescribe
              return { requestId, text }
            },
          }),
        ],
      },
    ],
    // A text that could not be written is not published, because a restart would lose it.
    'persist.ended': [
      {
        guard: ({ event }) => event.failure !== undefined,
        actions: [
          { type: 'end', params: ({ event }) => event },
          emit(({ event: { requestId, failure } }) => ({
            type: 'record.describeFailed',
            requestId,
            ...(failure as Failure),
          })),
        ],
      },
      {
        actions: [
          { type: 'end', params: ({ event }) => event },
          sendTo('stepper', ({ event: { text } }) => recordUpdated({ customInformation: text })),
          emit(({ event: { requestId, text } }) => ({ type: 'record.described', requestId, text })),
        ],
      },
    ],
    'node.stopping': { actions: sendTo('stepper', { type: 'step', event: { type: 'leaving' } }) },
  },
  initial: 'isolated',
  states: {
    isolated: {
      always: [
        { guard: 'hasLeft', target: 'left' },
        { guard: 'isConnected', target: 'connected' },
      ],
    },
    connected: {
      always: [
        { guard: 'hasLeft', target: 'left' },
        { guard: not('isConnected'), target: 'isolated' },
      ],
    },
    /** The node has sent its farewell; later events change nothing. */
    left: {},
    failed: { invoke: { src: 'fail', input: ({ context: { error } }) => ({ error }) } },
  },
  options: { maxIterations: 1_000 },
})

function recordUpdated(fields: Partial<RecordFields>): ToStepper {
  return { type: 'step', event: { type: 'recordUpdated', fields } }
}
