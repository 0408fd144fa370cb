import { type AnyActorRef, assign, enqueueActions, fromPromise, sendTo, setup } from 'xstate'
import { TAKES_AT_ONCE } from '../protocol/defaults/groupTracker.ts'
import { AppError, toFailure } from '../protocol/errors.ts'
import type { Group, MemberFailure } from '../protocol/groups.ts'
import type { GroupTrackerCommand, GroupTrackerEmits } from '../protocol/groupTracker.ts'
import type { ContainerId, Failure } from '../protocol/ids.ts'
import { type ChildEmits, loanMachine, type TakeAbandoned, type TakeCommand } from './loan.ts'

export type CreateCommand = Extract<GroupTrackerCommand, { type: 'group.create' }>

interface Context {
  parent: AnyActorRef
  command: CreateCommand
  /** Takes that are not begun yet. */
  queued: TakeCommand[]
  /** Those under way, by request. */
  inFlight: Record<string, TakeCommand>
  taken: ContainerId[]
  failures: MemberFailure[]
  group: Group | null
  failure: Failure | null
}

export interface GroupCreateInput {
  parent: AnyActorRef
  command: CreateCommand
}

/** What is written: the loans named and the containers taken. */
export interface NewGroup {
  name: string
  members: string[]
}

/** The takes that a command asks for: `count` containers, dealt out over `on` in turn; each a request of its own. */
export function takeCommands(command: CreateCommand): TakeCommand[] {
  const { on, count, requestId, caller, key, ports, udpPorts, gpu, image, password, keyFile } = command
  const wanted = on.length === 0 ? 0 : count || on.length
  return Array.from({ length: wanted }, (_, index) => ({
    ...{ type: 'loan.take', caller, key, ports, udpPorts, gpu, image, password, keyFile },
    requestId: `${requestId}/${index + 1}`,
    where: on[index % on.length] as string,
  }))
}

/**
 * One group made, with the containers that are taken for it in parallel. A take that fails is reported beside the group
 * of the others. Where all fail there is no group; where it cannot be written, what was taken is given back.
 */
export const groupCreateMachine = setup({
  types: {
    context: {} as Context,
    input: {} as GroupCreateInput,
    events: {} as ChildEmits | TakeAbandoned,
  },
  actors: {
    take: loanMachine,
    /** Checks name and members before anything is taken; rejects with what is wrong with them. */
    check: fromPromise<void, NewGroup>(() => Promise.reject(new Error('not provided'))),
    /** The nearest machines that answer, so many of them; rejects where there are fewer. */
    findNearest: fromPromise<string[], number>(() => Promise.reject(new Error('not provided'))),
    write: fromPromise<Group, NewGroup>(() => Promise.reject(new Error('not provided'))),
    rollBack: fromPromise<void, ContainerId[]>(() => Promise.reject(new Error('not provided'))),
  },
  guards: {
    wantsNearest: ({ context }) => context.command.nearest > 0,
    allSettled: ({ context }) => context.queued.length === 0 && Object.keys(context.inFlight).length === 0,
    allSettledAndAbandoned: ({ context }) =>
      context.failure?.code === 'abandoned' && Object.keys(context.inFlight).length === 0,
    allFailed: ({ context }) =>
      context.queued.length === 0 &&
      Object.keys(context.inFlight).length === 0 &&
      context.failures.length > 0 &&
      context.taken.length === 0 &&
      context.command.members.length === 0,
  },
  actions: {
    startTakes: enqueueActions(({ context, enqueue, self }) => {
      const free = Math.max(0, TAKES_AT_ONCE - Object.keys(context.inFlight).length)
      const next = context.queued.slice(0, free)
      for (const command of next)
        enqueue.spawnChild('take', { id: command.requestId, input: { parent: self, command } })
      enqueue.assign({
        queued: context.queued.slice(free),
        inFlight: { ...context.inFlight, ...Object.fromEntries(next.map((command) => [command.requestId, command])) },
      })
    }),
    storeResult: enqueueActions(({ context, enqueue }, event: Extract<ChildEmits, { type: 'child.ended' }>) => {
      const { [event.requestId]: command, ...inFlight } = context.inFlight
      if (!command) return
      const { fact } = event
      enqueue.stopChild(event.requestId)
      enqueue.assign({ inFlight })
      if (fact.type === 'loan.taken') enqueue.assign({ taken: [...context.taken, fact.loan.ID] })
      if (fact.type === 'loan.takeFailed') {
        const failure = { member: command.where, code: fact.code, message: fact.message }
        enqueue.assign({ failures: [...context.failures, failure] })
      }
    }),
    abandonTakes: enqueueActions(({ context, enqueue }) => {
      for (const id of Object.keys(context.inFlight)) enqueue.sendTo(id, { type: 'take.abandoned' })
      enqueue.assign({ queued: [], failure: new AppError('abandoned').toJSON() })
    }),
    forwardProgress: sendTo(
      ({ context }) => context.parent,
      ({ context }, { fact }: { fact: GroupTrackerEmits }): ChildEmits => {
        const progress = fact.type === 'loan.progress' ? fact : { requestId: '', step: '', line: '' }
        const member = context.inFlight[progress.requestId]?.where ?? ''
        const { step, line } = progress
        return {
          type: 'child.emitted',
          fact: { type: 'group.progress', requestId: context.command.requestId, member, step, line },
        }
      },
    ),
    setFailure: assign({ failure: (_, failure: Failure) => failure }),
    emitChanged: sendTo(
      ({ context }) => context.parent,
      ({ context: { group } }): ChildEmits => ({
        type: 'child.emitted',
        fact: { type: 'group.changed', id: (group as Group).ID, group },
      }),
    ),
    emitCreated: sendTo(
      ({ context }) => context.parent,
      ({ context: { command, group, failures } }): ChildEmits => ({
        type: 'child.ended',
        requestId: command.requestId,
        fact: { type: 'group.created', requestId: command.requestId, group: group as Group, failures },
      }),
    ),
    emitFailed: sendTo(
      ({ context }) => context.parent,
      ({ context: { command, failure, failures } }): ChildEmits => {
        const { code, message } = failure ?? (failures[0] as Failure)
        return {
          type: 'child.ended',
          requestId: command.requestId,
          fact: { type: 'group.createFailed', requestId: command.requestId, code, message, failures },
        }
      },
    ),
  },
}).createMachine({
  id: 'groupCreate',
  context: ({ input }) => ({
    ...input,
    queued: takeCommands(input.command),
    inFlight: {},
    taken: [],
    failures: [],
    group: null,
    failure: null,
  }),
  initial: 'checking',
  states: {
    checking: {
      invoke: {
        src: 'check',
        input: ({ context: { command } }) => ({ name: command.name, members: command.members }),
        onDone: [{ guard: 'wantsNearest', target: 'choosing' }, { target: 'taking' }],
        onError: { target: 'failed', actions: { type: 'setFailure', params: ({ event }) => toFailure(event.error) } },
      },
      on: { 'take.abandoned': { target: 'failed', actions: 'abandonTakes' } },
    },
    choosing: {
      invoke: {
        src: 'findNearest',
        input: ({ context }) => context.command.nearest,
        onDone: {
          target: 'taking',
          actions: assign({
            queued: ({ context: { command }, event }) =>
              takeCommands({ ...command, on: [...command.on, ...event.output] }),
          }),
        },
        onError: { target: 'failed', actions: { type: 'setFailure', params: ({ event }) => toFailure(event.error) } },
      },
      on: { 'take.abandoned': { target: 'failed', actions: 'abandonTakes' } },
    },
    taking: {
      entry: 'startTakes',
      always: [
        { guard: 'allSettledAndAbandoned', target: 'rollingBack' },
        { guard: 'allFailed', target: 'failed' },
        { guard: 'allSettled', target: 'writing' },
      ],
      on: {
        'child.emitted': { actions: { type: 'forwardProgress', params: ({ event }) => event } },
        'child.ended': { actions: [{ type: 'storeResult', params: ({ event }) => event }, 'startTakes'] },
        'take.abandoned': { actions: 'abandonTakes' },
      },
    },
    writing: {
      invoke: {
        src: 'write',
        input: ({ context: { command, taken } }) => ({ name: command.name, members: [...command.members, ...taken] }),
        onDone: { target: 'created', actions: assign({ group: ({ event }) => event.output }) },
        onError: {
          target: 'rollingBack',
          actions: { type: 'setFailure', params: ({ event }) => toFailure(event.error) },
        },
      },
    },
    /** Nobody waits for it any more, or there is no group to find them by: all that was taken goes back. */
    rollingBack: {
      invoke: {
        src: 'rollBack',
        input: ({ context }) => context.taken,
        onDone: 'failed',
        // They stay tracked, so `ps` shows them.
        onError: 'failed',
      },
    },
    created: { type: 'final', entry: ['emitChanged', 'emitCreated'] },
    failed: { type: 'final', entry: 'emitFailed' },
  },
  options: { maxIterations: 1_000 },
})
