import { assign, emit, enqueueActions, fromCallback, not, sendTo, setup, spawnChild } from 'xstate'
import type { GossipAccepts, GossipEmits } from '../protocol/gossip.ts'
import type { Failure } from '../protocol/ids.ts'
import type { SelfAddressesChanged } from '../protocol/ipTable.ts'
import { formatEndpoint } from '../protocol/net/endpoint.ts'
import { machineOf, type RecordFields } from '../protocol/wire/record.ts'
import {
  type GossipEffect,
  type GossipEvent,
  type GossipStart,
  type GossipState,
  startGossip,
  type Tools,
} from './gossip/gossipState.ts'
import { stepGossip } from './gossip/gossipStep.ts'
import { gossipView } from './gossip/gossipView.ts'
import { isActive } from './gossip/linkPhase.ts'
import { begin, childId, end, find, join, joinIfRepeated, type Requests, type Tracked } from './requests.ts'

/** What the transport receives: effects of the step, the time of the next tick, and events to be returned with a timestamp. */
export type ToTransport =
  | Exclude<GossipEffect, { type: 'emit' }>
  | { type: 'wake'; at: number }
  | { type: 'timestamp'; event: Untimed }

/** An event of the step without its time, because the machine has no clock. */
export type Untimed = GossipEvent extends infer E ? (E extends GossipEvent ? Omit<E, 'at'> : never) : never

export interface GossipInput {
  start: GossipStart
  tools: Tools
  /** Aborts when the concern ends; the transport then closes. */
  signal: AbortSignal
}

/** An event of the step with its monotonic time. */
export type FromTransport = { type: 'timestamped'; event: GossipEvent }

/** The owner's text has been written to the disk, or could not be. */
export type FromPersist = { type: 'persist.ended'; requestId: string; text: string; failure?: Failure }

type RecordDescribe = Extract<GossipAccepts, { type: 'record.describe' }>

interface RequestId {
  requestId: string
}

interface Context {
  state: GossipState
  tools: Tools
  signal: AbortSignal
  /** Texts that are being written. Nobody takes a write back, so an abandoned one ends as any other. */
  requests: Requests<Tracked<'persisting'>>
}

/**
 * The machine of the gossip concern: it connects the pure step with the bus and the transport. The lifecycle of a link is
 * data of the step and not a machine of its own, so that the simulation runs all of it.
 */
export const gossipMachine = setup({
  types: {
    context: {} as Context,
    input: {} as GossipInput,
    events: {} as GossipAccepts | FromTransport | FromPersist,
    emitted: {} as GossipEmits,
    meta: {} as { view: (context: Context) => object },
  },
  actors: {
    /** Owns the sockets and the timer. It sends nothing back after `signal` has aborted. */
    transport: fromCallback<ToTransport, { signal: AbortSignal }, FromTransport>(() => {
      throw new Error('not provided')
    }),
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
    step: enqueueActions(({ context, enqueue }, event: GossipEvent) => {
      const { state, effects } = stepGossip(context.state, event, context.tools)
      enqueue.assign({ state })
      for (const effect of effects) {
        if (effect.type === 'emit') enqueue.emit(effect.fact)
        else enqueue.sendTo('transport', effect)
        if (effect.type === 'emit' && effect.fact.type === 'record.ownSigned')
          enqueue.sendTo('seqStore', { type: 'signed', seq: effect.fact.record.seq })
      }
      enqueue.sendTo('transport', { type: 'wake', at: state.dueAt })
    }),
  },
}).createMachine({
  id: 'gossip',
  meta: { view: gossipView },
  context: ({ input: { start, tools, signal } }) => ({ state: startGossip(start, tools), tools, signal, requests: [] }),
  invoke: [
    { id: 'transport', src: 'transport', input: ({ context }) => ({ signal: context.signal }) },
    { id: 'seqStore', src: 'seqStore' },
  ],
  entry: enqueueActions(({ context: { state }, enqueue }) => {
    const { record, text, signature } = state.self
    enqueue.sendTo('seqStore', { type: 'signed', seq: record.seq })
    enqueue.sendTo('transport', { type: 'wake', at: state.dueAt })
    enqueue.emit({ type: 'record.ownSigned', record, signed: { text, signature } })
    enqueue.emit({ type: 'gossip.started' })
  }),
  on: {
    timestamped: { actions: { type: 'step', params: ({ event }) => event.event } },
    'peer.addressDiscovered': {
      actions: sendTo('transport', ({ event: { endpoints, id } }) => ({
        type: 'timestamp',
        event: { type: 'addressDiscovered', endpoints, ...(id && { id }) },
      })),
    },
    'table.seedsListed': {
      actions: sendTo('transport', ({ event: { seeds } }) => ({
        type: 'timestamp',
        event: { type: 'seedsListed', seeds },
      })),
    },
    'table.selfAddressesChanged': {
      guard: 'isMoved',
      actions: sendTo('transport', ({ event: { endpoints, port } }) =>
        recordUpdated({ endpoints: endpoints.map(formatEndpoint), port }),
      ),
    },
    'specs.changed': {
      actions: enqueueActions(({ context, event, enqueue }) => {
        const machine = machineOf(event.specs)
        if (JSON.stringify(machine) === JSON.stringify(context.state.self.record.machine)) return
        enqueue.sendTo('transport', recordUpdated({ machine }))
      }),
    },
    'trust.changed': {
      actions: sendTo('transport', ({ event: { trusted } }) => ({
        type: 'timestamp',
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
          sendTo('transport', ({ event: { text } }) => recordUpdated({ customInformation: text })),
          emit(({ event: { requestId, text } }) => ({ type: 'record.described', requestId, text })),
        ],
      },
    ],
    'node.stopping': { actions: sendTo('transport', { type: 'timestamp', event: { type: 'leaving' } }) },
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
  },
  options: { maxIterations: 1_000 },
})

function recordUpdated(fields: Partial<RecordFields>): ToTransport {
  return { type: 'timestamp', event: { type: 'recordUpdated', fields } }
}
