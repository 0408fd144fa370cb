import { assign, emit, enqueueActions, fromCallback, sendTo, setup, spawnChild } from 'xstate'
import { toFailure } from '../protocol/errors.ts'
import type { GroupTrackerAccepts, GroupTrackerCommand, GroupTrackerEmits } from '../protocol/groupTracker.ts'
import { type CreateCommand, groupCreateMachine } from './groupCreate.ts'
import { type ChildEmits, loanMachine, type TakeCommand } from './loan.ts'

/** The commands that are one request each: nothing of them outlives an abandoned request. */
export type SimpleRequest = Exclude<GroupTrackerCommand, TakeCommand | CreateCommand>

interface Context {
  /** Requests under way; each is the id of a child. A `take` undoes what it did before it ends. */
  busy: Record<string, 'request' | 'take'>
}

const runsRequest = [
  { guard: 'isDuplicate' },
  { actions: [{ type: 'begin', params: 'request' }, 'startRequest'] },
] as const

const notProvided = toFailure(new Error('not provided'))

/**
 * The borrower's side: what was taken from other nodes, and groups of it. A child per request does the work; here is
 * only who is at work on what.
 */
export const groupTrackerMachine = setup({
  types: {
    context: {} as Context,
    events: {} as GroupTrackerAccepts | ChildEmits,
    emitted: {} as GroupTrackerEmits,
  },
  actors: {
    take: loanMachine,
    createGroup: groupCreateMachine,
    /** Says what is borrowed, at its start and at every change. */
    watchRecords: fromCallback<{ type: 'none' }, void, ChildEmits>(() => {}),
    request: fromCallback<ChildEmits, SimpleRequest>(({ input: { requestId }, sendBack }) => {
      const fact = { type: 'loan.listFailed', requestId, ...notProvided } as const
      sendBack({ type: 'child.ended', requestId, fact })
    }),
  },
  guards: {
    // The same request again: the answer under way reaches whoever listens for it.
    isDuplicate: ({ context, event }) => (event as GroupTrackerCommand).requestId in context.busy,
    isRequest: ({ context }, { requestId }: { requestId: string }) => context.busy[requestId] === 'request',
    isTake: ({ context }, { requestId }: { requestId: string }) => context.busy[requestId] === 'take',
  },
  actions: {
    begin: assign({
      busy: ({ context, event }, as: 'request' | 'take') => ({
        ...context.busy,
        [(event as GroupTrackerCommand).requestId]: as,
      }),
    }),
    startRequest: spawnChild('request', {
      id: ({ event }) => (event as SimpleRequest).requestId,
      input: ({ event }) => event as SimpleRequest,
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
  invoke: { id: 'watchRecords', src: 'watchRecords' },
  on: {
    'loan.take': [{ guard: 'isDuplicate' }, { actions: [{ type: 'begin', params: 'take' }, 'take'] }],
    'group.create': [{ guard: 'isDuplicate' }, { actions: [{ type: 'begin', params: 'take' }, 'createGroup'] }],
    'loan.return': runsRequest,
    'loan.list': runsRequest,
    'loan.find': runsRequest,
    'loan.logs': runsRequest,
    'loan.resolve': runsRequest,
    'loan.usePorts': runsRequest,
    'group.list': runsRequest,
    'group.show': runsRequest,
    'group.add': runsRequest,
    'group.remove': runsRequest,
    'group.delete': runsRequest,
    'group.exec': runsRequest,
    'child.emitted': { actions: emit(({ event }) => event.fact) },
    'child.ended': {
      actions: [emit(({ event }) => event.fact), { type: 'end', params: ({ event }) => event }],
    },
    'request.abandoned': [
      {
        guard: { type: 'isTake', params: ({ event }) => event },
        actions: sendTo(({ event }) => event.requestId, { type: 'take.abandoned' }),
      },
      {
        guard: { type: 'isRequest', params: ({ event }) => event },
        actions: { type: 'end', params: ({ event }) => event },
      },
    ],
  },
  options: { maxIterations: 1_000 },
})
