import { assign, emit, enqueueActions, fromCallback, sendTo, setup, spawnChild } from 'xstate'
import { toFailure } from '../protocol/errors.ts'
import type { GroupTrackerCommand, GroupTrackerHears, GroupTrackerSays } from '../protocol/groupTracker.ts'
import { type CreateCommand, groupCreateMachine } from './groupCreate.ts'
import { type ErrandSays, loanMachine, type TakeCommand } from './loan.ts'

/** The commands that are one errand each: nothing of them outlives an abandoned request. */
export type Errand = Exclude<GroupTrackerCommand, TakeCommand | CreateCommand>

interface Context {
  /** Requests under way; each is the id of a child. A `take` undoes what it did before it ends. */
  busy: Record<string, 'errand' | 'take'>
}

const runsErrand = [{ guard: 'atWork' }, { actions: [{ type: 'begin', params: 'errand' }, 'runErrand'] }] as const

const notProvided = toFailure(new Error('not provided'))

/**
 * The borrower's side: what was taken from other nodes, and groups of it. A child per request does the work; here is
 * only who is at work on what.
 */
export const groupTrackerMachine = setup({
  types: {
    context: {} as Context,
    events: {} as GroupTrackerHears | ErrandSays,
    emitted: {} as GroupTrackerSays,
  },
  actors: {
    take: loanMachine,
    createGroup: groupCreateMachine,
    errand: fromCallback<ErrandSays, Errand>(({ input: { requestId }, sendBack }) => {
      const fact = { type: 'loan.listFailed', requestId, ...notProvided } as const
      sendBack({ type: 'errand.ended', requestId, fact })
    }),
  },
  guards: {
    // The same request again: the answer under way reaches whoever listens for it.
    atWork: ({ context, event }) => (event as GroupTrackerCommand).requestId in context.busy,
    isErrand: ({ context }, { requestId }: { requestId: string }) => context.busy[requestId] === 'errand',
    isTake: ({ context }, { requestId }: { requestId: string }) => context.busy[requestId] === 'take',
  },
  actions: {
    begin: assign({
      busy: ({ context, event }, as: 'errand' | 'take') => ({
        ...context.busy,
        [(event as GroupTrackerCommand).requestId]: as,
      }),
    }),
    runErrand: spawnChild('errand', {
      id: ({ event }) => (event as Errand).requestId,
      input: ({ event }) => event as Errand,
    }),
    take: spawnChild('take', {
      id: ({ event }) => (event as TakeCommand).requestId,
      input: ({ event, self }) => ({ parent: self, command: event as TakeCommand }),
    }),
    createGroup: spawnChild('createGroup', {
      id: ({ event }) => (event as CreateCommand).requestId,
      input: ({ event, self }) => ({ parent: self, command: event as CreateCommand }),
    }),
    end: enqueueActions(({ context, enqueue }, { requestId }: { requestId: string }) => {
      const { [requestId]: _ended, ...busy } = context.busy
      enqueue.stopChild(requestId)
      enqueue.assign({ busy })
    }),
  },
}).createMachine({
  id: 'groupTracker',
  context: { busy: {} },
  on: {
    'loan.take': [{ guard: 'atWork' }, { actions: [{ type: 'begin', params: 'take' }, 'take'] }],
    'group.create': [{ guard: 'atWork' }, { actions: [{ type: 'begin', params: 'take' }, 'createGroup'] }],
    'loan.return': runsErrand,
    'loan.list': runsErrand,
    'loan.find': runsErrand,
    'loan.logs': runsErrand,
    'group.list': runsErrand,
    'group.show': runsErrand,
    'group.add': runsErrand,
    'group.remove': runsErrand,
    'group.delete': runsErrand,
    'group.exec': runsErrand,
    'errand.said': { actions: emit(({ event }) => event.fact) },
    'errand.ended': {
      actions: [emit(({ event }) => event.fact), { type: 'end', params: ({ event }) => event }],
    },
    'request.abandoned': [
      {
        guard: { type: 'isTake', params: ({ event }) => event },
        actions: sendTo(({ event }) => event.requestId, { type: 'take.abandoned' }),
      },
      {
        guard: { type: 'isErrand', params: ({ event }) => event },
        actions: { type: 'end', params: ({ event }) => event },
      },
    ],
  },
  options: { maxIterations: 1_000 },
})
