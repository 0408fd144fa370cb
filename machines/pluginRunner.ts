import { emit, fromCallback, sendTo, setup, spawnChild } from 'xstate'
import { type PluginRunnerCommand, type PluginRunnerEmits, pluginRunnerCommands } from '../protocol/pluginRunner.ts'
import type { RequestFact } from '../protocol/request.ts'
import { pluginRunMachine, type RunCommand, type RunEmits } from './pluginRun.ts'
import {
  beginAs,
  childId,
  isLastWaiterIn,
  joinIfRepeated,
  otherwiseLeave,
  type Requests,
  requestActions,
  requestGuards,
  type Tracked,
} from './requests.ts'

/** Every command except the run, which has its own machine. */
export type ShortCommand = Exclude<PluginRunnerCommand, { type: 'plugin.run' }>

export interface Abandon {
  type: 'run.abandon'
}

/**
 * `replying`: a command that ends by itself. `running`: a run, whose child has its progress. `stopping`: an abandoned
 * run.
 */
type Phase = 'replying' | 'running' | 'stopping'

interface Context {
  signal: AbortSignal
  /** Each request has a child with its id. */
  requests: Requests<Tracked<Phase>>
}

type Events = PluginRunnerCommand | RequestFact | RunEmits

const terminalTypes = new Set<string>(Object.values(pluginRunnerCommands).flatMap((spec) => [...spec.terminalEvents]))

const runner = setup({
  types: {
    context: {} as Context,
    input: {} as { signal: AbortSignal },
    events: {} as Events,
    emitted: {} as PluginRunnerEmits,
  },
  actors: {
    run: pluginRunMachine,
    /** Emits one finishing fact; aborts its work when it is abandoned or stopped, or when the signal aborts. */
    reply: fromCallback<Abandon, { command: ShortCommand; signal: AbortSignal }>(() => {
      throw new Error('not provided')
    }),
  },
  guards: {
    ...requestGuards<Context>(),
    isTerminal: (_, { type }: { type: string }) => terminalTypes.has(type),
  },
  actions: requestActions<Context, Events>(),
})

const onShortCommand = [
  joinIfRepeated,
  {
    actions: [
      beginAs('replying'),
      runner.spawnChild('reply', {
        id: ({ event }) => childId((event as ShortCommand).requestId),
        input: ({ context, event }) => ({ command: event as ShortCommand, signal: context.signal }),
      }),
    ],
  },
] as const

/** Starts a child for each request, forwards its facts, and forgets it after its finishing fact. */
export const pluginRunnerMachine = runner.createMachine({
  id: 'pluginRunner',
  options: { maxIterations: 1_000 },
  context: ({ input }) => ({ signal: input.signal, requests: [] }),
  on: {
    'plugin.list': onShortCommand,
    'plugin.show': onShortCommand,
    'plugin.pull': onShortCommand,
    'plugin.remove': onShortCommand,
    'plugin.run': [
      joinIfRepeated,
      {
        actions: [
          beginAs('running'),
          spawnChild('run', {
            id: ({ event }) => childId((event as RunCommand).requestId),
            // xstate types the input's event as every event of the machine, not as the one handled here.
            input: ({ context, event, self }) => ({
              command: event as RunCommand,
              signal: context.signal,
              parent: self,
            }),
          }),
        ],
      },
    ],
    // The child still emits its finishing fact, after it has rolled back what it began.
    'request.abandoned': [
      {
        guard: isLastWaiterIn('replying', 'running'),
        actions: [
          { type: 'leave', params: ({ event }) => event },
          { type: 'enter', params: ({ event: { requestId } }) => ({ requestId, phase: 'stopping' }) },
          sendTo(
            ({ event }) => childId(event.requestId),
            () => ({ type: 'run.abandon' as const }),
          ),
        ],
      },
      otherwiseLeave,
    ],
    'run.emitted': [
      {
        guard: { type: 'isTerminal', params: ({ event }) => event.fact },
        actions: [emit(({ event }) => event.fact), { type: 'end', params: ({ event }) => event.fact }],
      },
      { actions: emit(({ event }) => event.fact) },
    ],
  },
})
