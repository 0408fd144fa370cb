import { type AnyActorRef, assign, enqueueActions, fromPromise, sendTo, setup } from 'xstate'
import { TAKES_AT_ONCE } from '../protocol/defaults.ts'
import { Fault, toFailure } from '../protocol/errors.ts'
import type { Group, MemberFailure } from '../protocol/groups.ts'
import type { GroupTrackerCommand, GroupTrackerSays } from '../protocol/groupTracker.ts'
import type { ContainerId, Failure } from '../protocol/ids.ts'
import { type ErrandSays, loanMachine, type TakeAbandoned, type TakeCommand } from './loan.ts'

export type CreateCommand = Extract<GroupTrackerCommand, { type: 'group.create' }>

interface Context {
  parent: AnyActorRef
  command: CreateCommand
  /** Takes that are not begun yet. */
  ahead: TakeCommand[]
  /** Those under way, by request. */
  underWay: Record<string, TakeCommand>
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
export function takesOf(command: CreateCommand): TakeCommand[] {
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
    events: {} as ErrandSays | TakeAbandoned,
  },
  actors: {
    take: loanMachine,
    /** Checks name and members before anything is taken; rejects with what is wrong with them. */
    check: fromPromise<void, NewGroup>(() => Promise.reject(new Error('not provided'))),
    /** The nearest machines that answer, so many of them; rejects where there are fewer. */
    findNearest: fromPromise<string[], number>(() => Promise.reject(new Error('not provided'))),
    write: fromPromise<Group, NewGroup>(() => Promise.reject(new Error('not provided'))),
    giveBack: fromPromise<void, ContainerId[]>(() => Promise.reject(new Error('not provided'))),
  },
  guards: {
    wantsNearest: ({ context }) => context.command.nearest > 0,
    allTried: ({ context }) => context.ahead.length === 0 && Object.keys(context.underWay).length === 0,
    allTriedAndAbandoned: ({ context }) =>
      context.failure?.code === 'abandoned' && Object.keys(context.underWay).length === 0,
    allTriedInVain: ({ context }) =>
      context.ahead.length === 0 &&
      Object.keys(context.underWay).length === 0 &&
      context.failures.length > 0 &&
      context.taken.length === 0 &&
      context.command.members.length === 0,
  },
  actions: {
    beginTakes: enqueueActions(({ context, enqueue, self }) => {
      const free = Math.max(0, TAKES_AT_ONCE - Object.keys(context.underWay).length)
      const next = context.ahead.slice(0, free)
      for (const command of next)
        enqueue.spawnChild('take', { id: command.requestId, input: { parent: self, command } })
      enqueue.assign({
        ahead: context.ahead.slice(free),
        underWay: { ...context.underWay, ...Object.fromEntries(next.map((command) => [command.requestId, command])) },
      })
    }),
    keepResult: enqueueActions(({ context, enqueue }, event: Extract<ErrandSays, { type: 'errand.ended' }>) => {
      const { [event.requestId]: command, ...underWay } = context.underWay
      if (!command) return
      const { fact } = event
      enqueue.stopChild(event.requestId)
      enqueue.assign({ underWay })
      if (fact.type === 'loan.taken') enqueue.assign({ taken: [...context.taken, fact.loan.ID] })
      if (fact.type === 'loan.takeFailed') {
        const failure = { member: command.where, code: fact.code, message: fact.message }
        enqueue.assign({ failures: [...context.failures, failure] })
      }
    }),
    abandonTakes: enqueueActions(({ context, enqueue }) => {
      for (const id of Object.keys(context.underWay)) enqueue.sendTo(id, { type: 'take.abandoned' })
      enqueue.assign({ ahead: [], failure: new Fault('abandoned').toJSON() })
    }),
    passOn: sendTo(
      ({ context }) => context.parent,
      ({ context }, { fact }: { fact: GroupTrackerSays }): ErrandSays => {
        const progress = fact.type === 'loan.progress' ? fact : { requestId: '', step: '', line: '' }
        const member = context.underWay[progress.requestId]?.where ?? ''
        const { step, line } = progress
        return {
          type: 'errand.said',
          fact: { type: 'group.progress', requestId: context.command.requestId, member, step, line },
        }
      },
    ),
    keepFailure: assign({ failure: (_, failure: Failure) => failure }),
    tellChanged: sendTo(
      ({ context }) => context.parent,
      ({ context: { group } }): ErrandSays => ({
        type: 'errand.said',
        fact: { type: 'group.changed', id: (group as Group).ID, group },
      }),
    ),
    tellCreated: sendTo(
      ({ context }) => context.parent,
      ({ context: { command, group, failures } }): ErrandSays => ({
        type: 'errand.ended',
        requestId: command.requestId,
        fact: { type: 'group.created', requestId: command.requestId, group: group as Group, failures },
      }),
    ),
    tellFailed: sendTo(
      ({ context }) => context.parent,
      ({ context: { command, failure, failures } }): ErrandSays => {
        const { code, message } = failure ?? (failures[0] as Failure)
        return {
          type: 'errand.ended',
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
    ahead: takesOf(input.command),
    underWay: {},
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
        onError: { target: 'failed', actions: { type: 'keepFailure', params: ({ event }) => toFailure(event.error) } },
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
            ahead: ({ context: { command }, event }) => takesOf({ ...command, on: [...command.on, ...event.output] }),
          }),
        },
        onError: { target: 'failed', actions: { type: 'keepFailure', params: ({ event }) => toFailure(event.error) } },
      },
      on: { 'take.abandoned': { target: 'failed', actions: 'abandonTakes' } },
    },
    taking: {
      entry: 'beginTakes',
      always: [
        { guard: 'allTriedAndAbandoned', target: 'returning' },
        { guard: 'allTriedInVain', target: 'failed' },
        { guard: 'allTried', target: 'writing' },
      ],
      on: {
        'errand.said': { actions: { type: 'passOn', params: ({ event }) => event } },
        'errand.ended': { actions: [{ type: 'keepResult', params: ({ event }) => event }, 'beginTakes'] },
        'take.abandoned': { actions: 'abandonTakes' },
      },
    },
    writing: {
      invoke: {
        src: 'write',
        input: ({ context: { command, taken } }) => ({ name: command.name, members: [...command.members, ...taken] }),
        onDone: { target: 'created', actions: assign({ group: ({ event }) => event.output }) },
        onError: {
          target: 'returning',
          actions: { type: 'keepFailure', params: ({ event }) => toFailure(event.error) },
        },
      },
    },
    /** Nobody waits for it any more, or there is no group to find them by: all that was taken goes back. */
    returning: {
      invoke: {
        src: 'giveBack',
        input: ({ context }) => context.taken,
        onDone: 'failed',
        // They stay tracked, so `ps` shows them.
        onError: 'failed',
      },
    },
    created: { type: 'final', entry: ['tellChanged', 'tellCreated'] },
    failed: { type: 'final', entry: 'tellFailed' },
  },
  options: { maxIterations: 1_000 },
})
