import { type AnyActorRef, assign, fromCallback, fromPromise, sendTo, setup } from 'xstate'
import { AppError, toFailure } from '../protocol/errors.ts'
import type { GroupTrackerCommand, GroupTrackerEmits, Loan } from '../protocol/groupTracker.ts'
import type { Failure } from '../protocol/ids.ts'

export type TakeCommand = Extract<GroupTrackerCommand, { type: 'loan.take' }>

/** What a child tells the machine that made it: a fact for the bus on the way, and the fact with which it ended. */
export type ChildEmits =
  | { type: 'child.emitted'; fact: GroupTrackerEmits }
  | { type: 'child.ended'; requestId: string; fact: GroupTrackerEmits }

/** What asking the lender for a container brings. */
export type LenderEmits =
  | { type: 'lender.progress'; step: string; line: string }
  | { type: 'lender.created'; loan: Loan }
  | ({ type: 'lender.failed' } & Failure)

/** Whoever asked has gone. */
export type TakeAbandoned = { type: 'take.abandoned' }

interface Context {
  parent: AnyActorRef
  command: TakeCommand
  loan: Loan | null
  failure: Failure
}

export interface LoanInput {
  parent: AnyActorRef
  command: TakeCommand
}

const notProvided = () => Promise.reject(new Error('not provided'))

/**
 * One take of one container: asked for, tracked, and only then said to be taken. Whatever goes wrong after the lender
 * made it gives it back. A lender whose answer was lost is asked whether it made one after all.
 */
export const loanMachine = setup({
  types: {
    context: {} as Context,
    input: {} as LoanInput,
    events: {} as LenderEmits | TakeAbandoned,
  },
  actors: {
    requestContainer: fromCallback<LenderEmits, TakeCommand>(({ sendBack }) =>
      sendBack({ type: 'lender.failed', ...toFailure(new Error('not provided')) }),
    ),
    /** Writes it into the files. */
    track: fromPromise<void, Loan>(notProvided),
    /** Removes it at the lender, then from the files. */
    rollBack: fromPromise<void, Loan>(notProvided),
    /** Removes what the lender made for this request, if anything. */
    cleanUpOrphan: fromPromise<void, TakeCommand>(notProvided),
  },
  guards: {
    abandoned: ({ context }) => context.failure.code === 'abandoned',
    lost: (_, { code }: Failure) => code === 'connection_lost',
  },
  actions: {
    setFailure: assign({ failure: (_, { code, message }: Failure) => ({ code, message }) }),
    setAbandoned: assign({ failure: () => new AppError('abandoned').toJSON() }),
    emitTaken: sendTo(
      ({ context }) => context.parent,
      ({ context: { command, loan } }): ChildEmits => ({
        type: 'child.ended',
        requestId: command.requestId,
        fact: { type: 'loan.taken', requestId: command.requestId, loan: loan as Loan },
      }),
    ),
    emitFailed: sendTo(
      ({ context }) => context.parent,
      ({ context: { command, failure } }): ChildEmits => ({
        type: 'child.ended',
        requestId: command.requestId,
        fact: { type: 'loan.takeFailed', requestId: command.requestId, ...failure },
      }),
    ),
  },
}).createMachine({
  id: 'loan',
  context: ({ input }) => ({ ...input, loan: null, failure: { code: 'internal', message: '' } }),
  initial: 'requesting',
  states: {
    requesting: {
      invoke: { src: 'requestContainer', input: ({ context }) => context.command },
      on: {
        'lender.progress': {
          actions: sendTo(
            ({ context }) => context.parent,
            ({ context, event: { step, line } }): ChildEmits => ({
              type: 'child.emitted',
              fact: { type: 'loan.progress', requestId: context.command.requestId, step, line },
            }),
          ),
        },
        'lender.created': { target: 'tracking', actions: assign({ loan: ({ event }) => event.loan }) },
        'lender.failed': [
          {
            guard: { type: 'lost', params: ({ event }) => event },
            target: 'cleaningUp',
            actions: { type: 'setFailure', params: ({ event }) => event },
          },
          { target: 'failed', actions: { type: 'setFailure', params: ({ event }) => event } },
        ],
        // Leaving this state closes the connection, which tells the lender.
        'take.abandoned': { target: 'cleaningUp', actions: 'setAbandoned' },
      },
    },
    tracking: {
      invoke: {
        src: 'track',
        input: ({ context }) => context.loan as Loan,
        onDone: [{ guard: 'abandoned', target: 'rollingBack' }, { target: 'taken' }],
        onError: {
          target: 'rollingBack',
          actions: { type: 'setFailure', params: ({ event }) => toFailure(event.error) },
        },
      },
      on: { 'take.abandoned': { actions: 'setAbandoned' } },
    },
    rollingBack: {
      invoke: {
        src: 'rollBack',
        input: ({ context }) => context.loan as Loan,
        onDone: 'failed',
        onError: {
          target: 'failed',
          actions: assign({
            failure: ({ context: { failure, loan }, event }) => ({
              code: failure.code,
              message: `${failure.message} And ${loan?.ID} still runs at ${loan?.IpAddress}: ${toFailure(event.error).message}`,
            }),
          }),
        },
      },
    },
    cleaningUp: {
      invoke: { src: 'cleanUpOrphan', input: ({ context }) => context.command, onDone: 'failed', onError: 'failed' },
    },
    taken: { type: 'final', entry: 'emitTaken' },
    failed: { type: 'final', entry: 'emitFailed' },
  },
  options: { maxIterations: 1_000 },
})
