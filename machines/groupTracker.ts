import { emit, fromCallback, sendTo, setup, spawnChild } from 'xstate'
import { toFailure } from '../protocol/errors.ts'
import type { GroupTrackerAccepts, GroupTrackerCommand, GroupTrackerEmits } from '../protocol/groupTracker.ts'
import { type CreateCommand, groupCreateMachine } from './groupCreate.ts'
import { type ChildEmits, loanMachine, type TakeCommand } from './loan.ts'
import {
  beginAs,
  childId,
  endIfAbandoned,
  isLastWaiterIn,
  joinIfRepeated,
  type Requests,
  requestActions,
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

type Events = GroupTrackerAccepts | ChildEmits

const executes = [joinIfRepeated, { actions: [beginAs('executing'), 'startRequest'] }] as const

const notProvided = toFailure(new Error('not provided'))

const groupTrackerSetup = setup({
  types: {
    context: {} as Context,
    events: {} as Events,
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
  guards: requestGuards<Context>(),
  actions: requestActions<Context, Events>(),
}).extend({
  actions: {
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
})

/**
 * The borrower's side: containers taken from other nodes, and groups of them. A child per request does the work; this
 * machine only tracks the requests.
 */
export const groupTrackerMachine = groupTrackerSetup.createMachine({
  id: 'groupTracker',
  context: { requests: [] },
  invoke: { id: 'watchRecords', src: 'watchRecords' },
  on: {
    'loan.take': [joinIfRepeated, { actions: [beginAs('taking'), 'take'] }],
    'group.create': [joinIfRepeated, { actions: [beginAs('taking'), 'createGroup'] }],
    'loan.return': executes,
    'loan.list': executes,
    'loan.listHeld': executes,
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
      actions: [emit(({ event }) => event.fact), { type: 'end', params: ({ event }) => event }],
    },
    'request.abandoned': [
      {
        guard: isLastWaiterIn('taking'),
        actions: [
          { type: 'leave', params: ({ event }) => event },
          { type: 'enter', params: ({ event: { requestId } }) => ({ requestId, phase: 'rollingBack' }) },
          sendTo(({ event }) => childId(event.requestId), { type: 'take.abandoned' }),
        ],
      },
      ...endIfAbandoned('executing'),
    ],
  },
  options: { maxIterations: 1_000 },
})
