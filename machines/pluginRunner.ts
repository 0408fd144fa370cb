import { assign, emit, fromCallback, sendTo, setup, spawnChild, stopChild } from 'xstate'
import { type PluginRunnerCommand, type PluginRunnerEmits, pluginRunnerCommands } from '../protocol/pluginRunner.ts'
import type { RequestFact } from '../protocol/request.ts'
import { pluginRunMachine, type RunCommand, type RunEmits } from './pluginRun.ts'

/** Every command but the run, which has a life of its own. */
export type ShortCommand = Exclude<PluginRunnerCommand, { type: 'plugin.run' }>

export interface Abandon {
  type: 'run.abandon'
}

interface Context {
  signal: AbortSignal
  /** Requests under way, which are also the ids of the children at work for them. */
  busy: readonly string[]
}

interface Request {
  requestId: string
}

const terminalTypes = new Set<string>(Object.values(pluginRunnerCommands).flatMap((spec) => [...spec.terminalEvents]))

const runner = setup({
  types: {
    context: {} as Context,
    input: {} as { signal: AbortSignal },
    events: {} as PluginRunnerCommand | RequestFact | RunEmits,
    emitted: {} as PluginRunnerEmits,
  },
  actors: {
    run: pluginRunMachine,
    /** Says one finishing fact; gives its work up when it is told to, is stopped, or the signal aborts. */
    reply: fromCallback<Abandon, { command: ShortCommand; signal: AbortSignal }>(() => {
      throw new Error('not provided')
    }),
  },
  guards: {
    isNew: ({ context }, { requestId }: Request) => !context.busy.includes(requestId),
    isActive: ({ context }, { requestId }: Request) => context.busy.includes(requestId),
    isTerminal: (_, { type }: { type: string }) => terminalTypes.has(type),
  },
  actions: {
    begin: assign({ busy: ({ context }, { requestId }: Request) => [...context.busy, requestId] }),
    forget: assign({ busy: ({ context }, { requestId }: Request) => context.busy.filter((id) => id !== requestId) }),
    abandon: sendTo(
      (_, { requestId }: Request) => requestId,
      () => ({ type: 'run.abandon' as const }),
    ),
  },
})

const onShortCommand = {
  guard: { type: 'isNew', params: ({ event }: { event: Request }) => event },
  actions: [
    { type: 'begin', params: ({ event }: { event: Request }) => event },
    runner.spawnChild('reply', {
      id: ({ event }) => (event as ShortCommand).requestId,
      input: ({ context, event }) => ({ command: event as ShortCommand, signal: context.signal }),
    }),
  ],
} as const

/** Starts a child for each request, passes on what it says, and forgets it at its finishing fact. */
export const pluginRunnerMachine = runner.createMachine({
  id: 'pluginRunner',
  options: { maxIterations: 1_000 },
  context: ({ input }) => ({ signal: input.signal, busy: [] }),
  on: {
    'plugin.list': onShortCommand,
    'plugin.show': onShortCommand,
    'plugin.pull': onShortCommand,
    'plugin.remove': onShortCommand,
    'plugin.run': {
      guard: { type: 'isNew', params: ({ event }) => event },
      actions: [
        { type: 'begin', params: ({ event }) => event },
        spawnChild('run', {
          id: ({ event }) => event.requestId,
          // xstate types the input's event as every event of the machine, not as the one handled here.
          input: ({ context, event, self }) => ({
            command: event as RunCommand,
            signal: context.signal,
            parent: self,
          }),
        }),
      ],
    },
    'request.abandoned': {
      guard: { type: 'isActive', params: ({ event }) => event },
      actions: { type: 'abandon', params: ({ event }) => event },
    },
    'run.emitted': [
      {
        guard: { type: 'isTerminal', params: ({ event }) => event.fact },
        actions: [
          emit(({ event }) => event.fact),
          { type: 'forget', params: ({ event }) => event.fact },
          stopChild(({ event }) => event.fact.requestId),
        ],
      },
      { actions: emit(({ event }) => event.fact) },
    ],
  },
})
