import { emit, enqueueActions, fromCallback, not, sendTo, setup, stopChild } from 'xstate'
import type { GossipAccepts, GossipEmits } from '../protocol/gossip.ts'
import type { Failure } from '../protocol/ids.ts'
import { machineOf, type RecordWords } from '../protocol/wire/record.ts'
import {
  type GossipEffect,
  type GossipEvent,
  type GossipStart,
  type GossipState,
  startGossip,
  type Tools,
} from './gossip/gossipState.ts'
import { stepGossip } from './gossip/gossipStep.ts'
import { isLasting } from './gossip/turn.ts'

/** What the wires are told: effects of the step, when it wants to be woken, and what is to come back with the time. */
export type ToWires =
  | Exclude<GossipEffect, { type: 'say' }>
  | { type: 'wake'; at: number }
  | { type: 'stamp'; event: Untimed }

/** An event of the step before it has a time: the machine has no clock. */
export type Untimed = GossipEvent extends infer E ? (E extends GossipEvent ? Omit<E, 'at'> : never) : never

export interface GossipInput {
  start: GossipStart
  tools: Tools
  /** Ends with this life; the wires close on it. */
  signal: AbortSignal
}

/** Everything that happens to the step, stamped with monotonic time. */
export type FromWires = { type: 'happened'; event: GossipEvent }

/** The owner's text is on the disk, or why not. */
export type FromKeep = { type: 'keep.ended'; requestId: string; text: string; failure?: Failure }

interface Context {
  state: GossipState
  tools: Tools
  signal: AbortSignal
}

/**
 * Gossip's chart: the pure step between the bus and the wires. A link's life (dialled, greeted, lasting, visiting) is data
 * of the step rather than a machine each, so that the simulation runs every part of it.
 */
export const gossipMachine = setup({
  types: {
    context: {} as Context,
    input: {} as GossipInput,
    events: {} as GossipAccepts | FromWires | FromKeep,
    emitted: {} as GossipEmits,
  },
  actors: {
    /** Owns the sockets and the timer. Sends nothing back after `signal` has aborted. */
    carry: fromCallback<ToWires, { signal: AbortSignal }, FromWires>(() => {
      throw new Error('not provided')
    }),
    /** Writes the owner's text down. */
    keep: fromCallback<{ type: 'none' }, { requestId: string; text: string }, FromKeep>(() => {
      throw new Error('not provided')
    }),
  },
  guards: {
    isLinked: ({ context }) => context.state.links.values().some(isLasting),
    hasLeft: ({ context }) => context.state.left,
  },
  actions: {
    step: enqueueActions(({ context, enqueue }, event: GossipEvent) => {
      const { state, effects } = stepGossip(context.state, event, context.tools)
      enqueue.assign({ state })
      for (const effect of effects) {
        if (effect.type === 'say') enqueue.emit(effect.fact)
        else enqueue.sendTo('wires', effect)
      }
      enqueue.sendTo('wires', { type: 'wake', at: state.dueAt })
    }),
  },
}).createMachine({
  id: 'gossip',
  context: ({ input: { start, tools, signal } }) => ({ state: startGossip(start, tools), tools, signal }),
  invoke: { id: 'wires', src: 'carry', input: ({ context }) => ({ signal: context.signal }) },
  entry: sendTo('wires', ({ context }) => ({ type: 'wake', at: context.state.dueAt })),
  on: {
    happened: { actions: { type: 'step', params: ({ event }) => event.event } },
    'gossip.met': {
      actions: sendTo('wires', ({ event: { addresses, id } }) => ({
        type: 'stamp',
        event: { type: 'met', addresses, ...(id && { id }) },
      })),
    },
    'gossip.placed': {
      actions: sendTo('wires', ({ event: { addresses, port } }) => reworded({ addresses, port })),
    },
    'specs.changed': {
      actions: enqueueActions(({ context, event, enqueue }) => {
        const machine = machineOf(event.specs)
        if (JSON.stringify(machine) === JSON.stringify(context.state.self.record.machine)) return
        enqueue.sendTo('wires', reworded({ machine }))
      }),
    },
    'record.describe': {
      actions: enqueueActions(({ event: { requestId, text }, enqueue }) => {
        enqueue.spawnChild('keep', { id: `keep ${requestId}`, input: { requestId, text } })
      }),
    },
    // What could not be written down is not said either: after a restart it would be gone.
    'keep.ended': {
      actions: enqueueActions(({ event: { requestId, text, failure }, enqueue }) => {
        enqueue(stopChild(`keep ${requestId}`))
        if (!failure) enqueue.sendTo('wires', reworded({ customInformation: text }))
        enqueue(
          emit(
            failure
              ? { type: 'record.describeFailed', requestId, ...failure }
              : { type: 'record.described', requestId, text },
          ),
        )
      }),
    },
    'node.stopping': { actions: sendTo('wires', { type: 'stamp', event: { type: 'leaving' } }) },
  },
  initial: 'lonely',
  states: {
    lonely: {
      always: [
        { guard: 'hasLeft', target: 'gone' },
        { guard: 'isLinked', target: 'linked' },
      ],
    },
    linked: {
      always: [
        { guard: 'hasLeft', target: 'gone' },
        { guard: not('isLinked'), target: 'lonely' },
      ],
    },
    /** It has said goodbye; what comes now changes nothing. */
    gone: {},
  },
  options: { maxIterations: 1_000 },
})

function reworded(words: Partial<RecordWords>): ToWires {
  return { type: 'stamp', event: { type: 'reworded', words } }
}
