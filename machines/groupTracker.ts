import { assign, emit, fromCallback, sendTo, setup, spawnChild, stopChild } from 'xstate'
import { toFailure } from '../protocol/errors.ts'
import type { GroupTrackerAccepts, GroupTrackerCommand, GroupTrackerEmits } from '../protocol/groupTracker.ts'
import { type CreateCommand, groupCreateMachine } from './groupCreate.ts'
import { type ChildEmits, loanMachine, type TakeCommand } from './loan.ts'
import {
  begin,
  childId,
  end,
  enter,
  find,
  join,
  joinIfRepeated,
  leave,
  type Requests,
  requestGuards,
  type Tracked,
} from './requests.ts'

/** The commands that are one request each and can be stopped at any point when the request is abandoned. */
export type SimpleRequest = Exclude<GroupTrackerCommand, TakeCommand | CreateCommand>

/**
 * `executing`: stopping the child cancels the request. `taking`: when abandoned, the child first undoes what it did;
 * the request is `rollingBack` meanwhile.
 */
type Phase = 'executing' | 'taking' | 'rollingBack'

interface Context {
  /** Each request has a child with its id, whose state is the progress of the request. */
  requests: Requests<Tracked<Phase>>
}

interface RequestId {
  requestId: string
}

const beginAs = <P extends Phase>(phase: P) =>
  ({
    type: 'begin',
    params: ({ event: { requestId } }: { event: RequestId }) => ({ requestId, phase }),
  }) as const

const executes = [joinIfRepeated, { actions: [beginAs('executing'), 'startRequest'] }] as const

const notProvided = toFailure(new Error('not provided'))

/**
 * The borrower's side: containers taken from other nodes, and groups of them. A child per request does the work; this
 * machine only tracks the requests.
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
    /** Publishes what is borrowed, at the start and after every change. */
    watchRecords: fromCallback<{ type: 'none' }, void, ChildEmits>(() => {}),
    request: fromCallback<ChildEmits, SimpleRequest>(({ input: { requestId }, sendBack }) => {
      const fact = { type: 'loan.listFailed', requestId, ...notProvided } as const
      sendBack({ type: 'child.ended', requestId, fact })
    }),
  },
  guards: {
    ...requestGuards,
    isAbandonedTake: ({ context }, { requestId }: { requestId: string }) => {
      const request = find(context.requests, requestId)
      return request?.phase === 'taking' && request.waiters === 1
    },
    isRollingBack: ({ context }, { requestId }: { requestId: string }) =>
      find(context.requests, requestId)?.phase === 'rollingBack',
  },
  actions: {
    begin: assign({
      requests: ({ context }, request: { requestId: string; phase: Phase }) => begin(context.requests, request),
    }),
    join: assign({ requests: ({ context }, { requestId }: RequestId) => join(context.requests, requestId) }),
    leave: assign({ requests: ({ context }, { requestId }: RequestId) => leave(context.requests, requestId) }),
    end: assign({ requests: ({ context }, { requestId }: RequestId) => end(context.requests, requestId) }),
    enterRollingBack: assign({
      requests: ({ context }, { requestId }: RequestId) => enter(context.requests, requestId, 'rollingBack'),
    }),
    startRequest: spawnChild('request', {
      id: ({ event }) => childId((event as SimpleRequest).requestId),
      input: ({ event }) => event as SimpleRequest,
    }),
    take: spawnChild('take', {
      id: ({ event }) => childId((event as TakeCommand).requestId),
      input: ({ event, self }) => ({ parent: self, command: event as TakeCommand }),
    }),
    createGroup: spawnChild('createGroup', {
      id: ({ event }) => childId((event as CreateCommand).requestId),
      input: ({ event, self }) => ({ parent: self, command: event as CreateCommand }),
    }),
  },
}).createMachine({
  id: 'groupTracker',
  context: { requests: [] },
  invoke: { id: 'watchRecords', src: 'watchRecords' },
  on: {
    'loan.take': [joinIfRepeated, { actions: [beginAs('taking'), 'take'] }],
    'group.create': [joinIfRepeated, { actions: [beginAs('taking'), 'createGroup'] }],
    'loan.return': executes,
    'loan.list': executes,
    'loan.find': executes,
    'loan.logs': executes,
    'loan.resolve': executes,
    'loan.usePorts': executes,
    'group.list': executes,
    'group.show': executes,
    'group.add': executes,
    'group.remove': executes,
    'group.delete': executes,
    'group.exec': executes,
    'child.emitted': { actions: emit(({ event }) => event.fact) },
    'child.ended': {
      actions: [
        emit(({ event }) => event.fact),
        stopChild(({ event }) => childId(event.requestId)),
        { type: 'end', params: ({ event }) => event },
      ],
    },
    'request.abandoned': [
      {
        guard: { type: 'isAbandonedTake', params: ({ event }) => event },
        actions: [
          { type: 'leave', params: ({ event }) => event },
          { type: 'enterRollingBack', params: ({ event }) => event },
          sendTo(({ event }) => childId(event.requestId), { type: 'take.abandoned' }),
        ],
      },
      {
        guard: { type: 'isRollingBack', params: ({ event }) => event },
        actions: { type: 'leave', params: ({ event }) => event },
      },
      {
        guard: { type: 'isLastWaiter', params: ({ event }) => event },
        actions: [stopChild(({ event }) => childId(event.requestId)), { type: 'end', params: ({ event }) => event }],
      },
      { actions: { type: 'leave', params: ({ event }) => event } },
    ],
  },
  options: { maxIterations: 1_000 },
})
