import { type AnyActorRef, assign, fromCallback, fromPromise, sendTo, setup } from 'xstate'
import { AppError, toFailure } from '../protocol/errors.ts'
import type { GroupTrackerCommand, GroupTrackerEmits, Loan } from '../protocol/groupTracker.ts'
import type { Failure } from '../protocol/ids.ts'

export type TakeCommand = Extract<GroupTrackerCommand, { type: 'loan.take' }>

/** The events of a child to its parent: a fact for the bus during the work, and the finishing fact. */
export type ChildEmits =
  | { type: 'child.emitted'; fact: GroupTrackerEmits }
  | { type: 'child.ended'; requestId: string; fact: GroupTrackerEmits }

/** The events of a container request at the lender. */
export type LenderEmits =
  | { type: 'lender.progress'; step: string; line: string }
  | { type: 'lender.created'; loan: Loan }
  | ({ type: 'lender.failed' } & Failure)

/** Nobody waits for the container any more. */
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
 * Takes one container: requests it, tracks it, and only then reports it as taken. A failure after the lender created
 * it returns it. If the lender's reply was lost, the lender is asked whether it created a container after all.
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
    /** Writes the loan to the files. */
    track: fromPromise<void, Loan>(notProvided),
    /** Removes the container at the lender, then the loan from the files. */
    rollBack: fromPromise<void, Loan>(notProvided),
    /** Removes the container that the lender created for this request, if there is one. */
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
        // Leaving this state closes the connection, which aborts the request at the lender.
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
