import { type ActorRef, assign, fromCallback, fromPromise, type Snapshot, sendTo, setup } from 'xstate'
import { AppError, toFailure } from '../protocol/errors.ts'
import type { Failure } from '../protocol/ids.ts'
import type { MemberResult, PluginRunnerCommand, PluginRunnerEmits, TaskStep } from '../protocol/pluginRunner.ts'

export type RunCommand = Extract<PluginRunnerCommand, { type: 'plugin.run' }>

/** The plan of a run: its members, their ports, and the private folder. It is complete before anything is executed. */
export interface RunPlan {
  name: string
  folder: string
  /** Run without Mitogen. */
  stock: boolean
  members: Pick<MemberResult, 'member' | 'id' | 'host' | 'ports'>[]
}

/** Ansible's counts for one host at the end of a playbook. */
export interface HostStats {
  ok: number
  changed: number
  failures: number
  unreachable: number
}

/** The events of the play to the chart. */
export type PlayEvent =
  | { type: 'play.task'; step: TaskStep }
  /** The playbook ran to its end on every member that did not fail. `stats` is keyed by member. */
  | { type: 'play.ended'; stats: Record<string, HostStats> }
  /** The playbook could not be started, or was aborted. */
  | { type: 'play.failed'; failure: Failure }

/** The events of a run to its parent: facts for the bus. */
export interface RunEmits {
  type: 'run.emitted'
  fact: PluginRunnerEmits
}

export interface PluginRunInput {
  command: RunCommand
  /** Aborts when the concern ends. */
  signal: AbortSignal
  parent: ActorRef<Snapshot<unknown>, RunEmits>
}

interface Context extends PluginRunInput {
  plan: RunPlan | undefined
  members: MemberResult[]
  failure: Failure | undefined
}

/** One run: prepare, play, finalize. However it ends, it is finalized and emits one finishing fact. */
export const pluginRunMachine = setup({
  types: {
    context: {} as Context,
    input: {} as PluginRunInput,
    events: {} as PlayEvent | { type: 'run.abandon' },
  },
  actors: {
    /**
     * Loads the plugin, finds the members, reserves ports, and writes the private folder. Undoes all of this if it
     * rejects.
     */
    prepare: fromPromise<RunPlan, PluginRunInput>(() => Promise.reject(new Error('not provided'))),
    /** Runs the playbook and emits its progress; ends it with all its processes when stopped. */
    play: fromCallback<{ type: 'none' }, { plan: RunPlan; signal: AbortSignal }>(() => {
      throw new Error('not provided')
    }),
    /** Marks the ports of the members that succeeded, frees the others, removes the private folder. */
    finalize: fromPromise<void, { plan: RunPlan; members: MemberResult[] }>(() =>
      Promise.reject(new Error('not provided')),
    ),
  },
  delays: { deadline: ({ context }) => context.command.timeoutMs },
  guards: {
    hasFailed: ({ context }) => context.failure !== undefined,
  },
  actions: {
    report: sendTo(
      ({ context }) => context.parent,
      (_, fact: PluginRunnerEmits) => ({ type: 'run.emitted' as const, fact }),
    ),
    fail: assign({ failure: (_, failure: Failure) => failure }),
  },
}).createMachine({
  id: 'pluginRun',
  options: { maxIterations: 1_000 },
  context: ({ input }) => ({ ...input, plan: undefined, members: [], failure: undefined }),
  initial: 'preparing',
  states: {
    preparing: {
      // A run that is abandoned here still waits for its plan, so that what `prepare` created is removed again.
      on: { 'run.abandon': { actions: { type: 'fail', params: () => interrupted() } } },
      invoke: {
        id: 'prepare',
        src: 'prepare',
        input: ({ context }) => context,
        onDone: {
          target: 'prepared',
          actions: assign({
            plan: ({ event }) => event.output,
            members: ({ event }) => event.output.members.map(initialResult),
          }),
        },
        onError: {
          target: 'done',
          actions: { type: 'fail', params: ({ event }) => toFailure(event.error) },
        },
      },
    },
    prepared: {
      always: [
        { guard: 'hasFailed', target: 'finalizing' },
        {
          target: 'playing',
          actions: {
            type: 'report',
            params: ({ context: { command, members } }) => ({
              type: 'plugin.started',
              requestId: command.requestId,
              name: command.name,
              members: members.map(({ member }) => member),
            }),
          },
        },
      ],
    },
    playing: {
      invoke: {
        id: 'play',
        src: 'play',
        input: ({ context }) => ({ plan: context.plan as RunPlan, signal: context.signal }),
        onError: {
          target: 'finalizing',
          actions: { type: 'fail', params: ({ event }) => toFailure(event.error) },
        },
      },
      after: {
        deadline: {
          target: 'finalizing',
          actions: { type: 'fail', params: ({ context: { command } }) => timedOut(command) },
        },
      },
      on: {
        'play.task': {
          actions: [
            assign({ members: ({ context, event }) => context.members.map((member) => withStep(member, event.step)) }),
            {
              type: 'report',
              params: ({ context, event }) => ({
                type: 'plugin.progress',
                requestId: context.command.requestId,
                ...event.step,
              }),
            },
          ],
        },
        'play.ended': {
          target: 'finalizing',
          actions: [
            assign({
              members: ({ context, event }) => context.members.map((member) => memberResult(member, event.stats)),
            }),
            assign({ failure: ({ context }) => runResult(context.command.name, context.members) }),
          ],
        },
        'play.failed': {
          target: 'finalizing',
          actions: { type: 'fail', params: ({ event }) => event.failure },
        },
        'run.abandon': { target: 'finalizing', actions: { type: 'fail', params: () => interrupted() } },
      },
    },
    finalizing: {
      invoke: {
        id: 'finalize',
        src: 'finalize',
        input: ({ context }) => ({ plan: context.plan as RunPlan, members: context.members }),
        onDone: 'done',
        onError: {
          target: 'done',
          actions: assign({ failure: ({ context, event }) => context.failure ?? toFailure(event.error) }),
        },
      },
    },
    done: {
      type: 'final',
      entry: { type: 'report', params: ({ context }) => terminalFact(context) },
    },
  },
})

function initialResult(plan: RunPlan['members'][number]): MemberResult {
  return { ...plan, status: 'stopped', done: 0, changed: 0, message: '' }
}

/** Returns a member's result after one more step. Ansible's own counts replace it at the end, if there are any. */
export function withStep(result: MemberResult, step: TaskStep): MemberResult {
  if (step.member !== result.member || step.item !== '') return result
  if (step.status === 'ok') return { ...result, done: result.done + 1 }
  if (step.status === 'changed') return { ...result, done: result.done + 1, changed: result.changed + 1 }
  if (step.status !== 'failed' && step.status !== 'unreachable') return result
  return { ...result, status: step.status, message: `${step.task}: ${step.message}` }
}

/** Returns a member's result by Ansible's counts. A failure that the playbook rescued does not count. */
export function memberResult(result: MemberResult, stats: Record<string, HostStats>): MemberResult {
  const host = stats[result.member]
  if (!host) return { ...result, status: 'untouched', message: 'no play of the plugin names this container' }
  const counts = { ...result, done: host.ok, changed: host.changed }
  if (host.unreachable > 0) return { ...counts, status: 'unreachable' }
  if (host.failures > 0) return { ...counts, status: 'failed' }
  return { ...counts, status: 'ok', message: '' }
}

/** Returns the failure of a run with the failed members and their reasons, or undefined if no member failed. */
export function runResult(name: string, members: MemberResult[]): Failure | undefined {
  const failed = members.filter(({ status }) => status !== 'ok')
  if (failed.length === 0) return undefined
  const why = failed.map(({ member, status, message }) => `${member} (${status}) ${message}`.trim()).join('; ')
  return toFailure(new AppError('plugin_failed', { name, failed: failed.length, all: members.length, why }))
}

function interrupted(): Failure {
  return toFailure(new AppError('interrupted'))
}

function timedOut({ name, timeoutMs }: RunCommand): Failure {
  return toFailure(new AppError('plugin_timed_out', { name, seconds: Math.round(timeoutMs / 1_000) }))
}

function terminalFact({ command: { requestId, name }, members, failure }: Context): PluginRunnerEmits {
  if (failure) return { type: 'plugin.runFailed', requestId, members, ...failure }
  return { type: 'plugin.finished', requestId, name, members }
}
