import { type AnyActorRef, assign, enqueueActions, fromPromise, sendTo, setup } from 'xstate'
import { AppError, toFailure } from '../protocol/errors.ts'
import type { Group, MemberFailure } from '../protocol/groups.ts'
import type { GroupTrackerCommand, GroupTrackerEmits } from '../protocol/groupTracker.ts'
import type { ContainerId, Failure } from '../protocol/ids.ts'
import { queueTakes, startable, type Takes, takeCommands } from './groupTracker/takes.ts'
import { type ChildEmits, loanMachine, type TakeAbandoned } from './loan.ts'
import { childId, end, enter, find, inPhase } from './requests.ts'

export type CreateCommand = Extract<GroupTrackerCommand, { type: 'group.create' }>

interface Context {
  parent: AnyActorRef
  command: CreateCommand
  takes: Takes
  taken: ContainerId[]
  failures: MemberFailure[]
  group: Group | null
  failure: Failure | null
}

export interface GroupCreateInput {
  parent: AnyActorRef
  command: CreateCommand
}

/** The group to write: the loans that were named and the containers that were taken. */
export interface NewGroup {
  name: string
  members: string[]
}

type Ended = Extract<ChildEmits, { type: 'child.ended' }>

const withEvent = <T extends string>(type: T) => ({ type, params: ({ event }: { event: Ended }) => event }) as const

const onTaken = [withEvent('addTaken'), withEvent('endTake')] as const

const onTakeFailed = [withEvent('addFailure'), withEvent('endTake')] as const

/**
 * Creates one group, and takes containers for it in parallel. A failed take is reported together with the group of the
 * others. If all takes fail, there is no group; if it cannot be written, the taken containers are returned.
 */
export const groupCreateMachine = setup({
  types: {
    context: {} as Context,
    input: {} as GroupCreateInput,
    events: {} as ChildEmits | TakeAbandoned,
  },
  actors: {
    take: loanMachine,
    /** Checks the name and the members before anything is taken; rejects with the reason why they are invalid. */
    check: fromPromise<void, NewGroup>(() => Promise.reject(new Error('not provided'))),
    /** Resolves with this number of the nearest machines that answer; rejects if there are fewer. */
    findNearest: fromPromise<string[], number>(() => Promise.reject(new Error('not provided'))),
    write: fromPromise<Group, NewGroup>(() => Promise.reject(new Error('not provided'))),
    rollBack: fromPromise<void, ContainerId[]>(() => Promise.reject(new Error('not provided'))),
  },
  guards: {
    isNearest: ({ context }) => context.command.nearest > 0,
    allSettled: ({ context }) => context.takes.length === 0,
    allFailed: ({ context }) =>
      context.takes.length === 0 &&
      context.failures.length > 0 &&
      context.taken.length === 0 &&
      context.command.members.length === 0,
    isTaken: (_, { fact }: Ended) => fact.type === 'loan.taken',
  },
  actions: {
    startTakes: enqueueActions(({ context, enqueue, self }) => {
      for (const { requestId, command } of startable(context.takes)) {
        enqueue.spawnChild('take', { id: childId(requestId), input: { parent: self, command } })
        enqueue.assign(({ context: { takes } }) => ({ takes: enter(takes, requestId, 'taking') }))
      }
    }),
    endTake: enqueueActions(({ context, enqueue }, { requestId }: Ended) => {
      enqueue.stopChild(childId(requestId))
      enqueue.assign({ takes: end(context.takes, requestId) })
    }),
    addTaken: assign({
      taken: ({ context: { taken } }, { fact }: Ended) =>
        fact.type === 'loan.taken' ? [...taken, fact.loan.ID] : taken,
    }),
    addFailure: assign({
      failures: ({ context: { failures, takes } }, { requestId, fact }: Ended) => {
        const member = find(takes, requestId)?.command.where ?? ''
        return 'code' in fact ? [...failures, { member, code: fact.code, message: fact.message }] : failures
      },
    }),
    abandonTakes: enqueueActions(({ context, enqueue }) => {
      for (const { requestId } of inPhase(context.takes, 'taking'))
        enqueue.sendTo(childId(requestId), { type: 'take.abandoned' })
      enqueue.assign({ takes: inPhase(context.takes, 'taking'), failure: new AppError('abandoned').toJSON() })
    }),
    forwardProgress: sendTo(
      ({ context }) => context.parent,
      ({ context }, { fact }: { fact: GroupTrackerEmits }): ChildEmits => {
        const progress = fact.type === 'loan.progress' ? fact : { requestId: '', step: '', line: '' }
        const member = find(context.takes, progress.requestId)?.command.where ?? ''
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
    takes: queueTakes(takeCommands(input.command)),
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
        onDone: [{ guard: 'isNearest', target: 'choosing' }, { target: 'taking' }],
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
            takes: ({ context: { command }, event }) =>
              queueTakes(takeCommands({ ...command, on: [...command.on, ...event.output] })),
          }),
        },
        onError: { target: 'failed', actions: { type: 'setFailure', params: ({ event }) => toFailure(event.error) } },
      },
      on: { 'take.abandoned': { target: 'failed', actions: 'abandonTakes' } },
    },
    taking: {
      entry: 'startTakes',
      always: [
        { guard: 'allFailed', target: 'failed' },
        { guard: 'allSettled', target: 'writing' },
      ],
      on: {
        'child.emitted': { actions: { type: 'forwardProgress', params: ({ event }) => event } },
        'child.ended': [
          {
            guard: { type: 'isTaken', params: ({ event }) => event },
            actions: [...onTaken, 'startTakes'],
          },
          { actions: [...onTakeFailed, 'startTakes'] },
        ],
        'take.abandoned': { target: 'abandoning', actions: 'abandonTakes' },
      },
    },
    /** Waits until the takes in progress have ended, so that it is known which containers to return. */
    abandoning: {
      always: { guard: 'allSettled', target: 'rollingBack' },
      on: {
        'child.emitted': { actions: { type: 'forwardProgress', params: ({ event }) => event } },
        'child.ended': [
          { guard: { type: 'isTaken', params: ({ event }) => event }, actions: onTaken },
          { actions: onTakeFailed },
        ],
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
    /** Returns all taken containers, because nobody waits for the group any more or it could not be written. */
    rollingBack: {
      invoke: {
        src: 'rollBack',
        input: ({ context }) => context.taken,
        onDone: 'failed',
        // The containers stay tracked, so `ps` shows them.
        onError: 'failed',
      },
    },
    created: { type: 'final', entry: ['emitChanged', 'emitCreated'] },
    failed: { type: 'final', entry: 'emitFailed' },
  },
  options: { maxIterations: 1_000 },
})
