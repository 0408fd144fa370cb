import { type AnyActorRef, assign, fromCallback, fromPromise, sendTo, setup } from 'xstate'
import { Fault, toFailure } from '../protocol/errors.ts'
import type { GroupTrackerCommand, GroupTrackerSays, Loan } from '../protocol/groupTracker.ts'
import type { Failure } from '../protocol/ids.ts'

export type TakeCommand = Extract<GroupTrackerCommand, { type: 'loan.take' }>

/** What a child tells the machine that made it: a fact for the bus on the way, and the fact with which it ended. */
export type ErrandSays =
  | { type: 'errand.said'; fact: GroupTrackerSays }
  | { type: 'errand.ended'; requestId: string; fact: GroupTrackerSays }

/** What asking the lender for a container brings. */
export type LenderSays =
  | { type: 'lender.progress'; step: string; line: string }
  | { type: 'lender.gave'; loan: Loan }
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
    events: {} as LenderSays | TakeAbandoned,
  },
  actors: {
    ask: fromCallback<LenderSays, TakeCommand>(({ sendBack }) =>
      sendBack({ type: 'lender.failed', ...toFailure(new Error('not provided')) }),
    ),
    /** Writes it into the files. */
    track: fromPromise<void, Loan>(notProvided),
    /** Removes it at the lender, then from the files. */
    giveBack: fromPromise<void, Loan>(notProvided),
    /** Removes what the lender made for this request, if anything. */
    sweep: fromPromise<void, TakeCommand>(notProvided),
  },
  guards: {
    abandoned: ({ context }) => context.failure.code === 'abandoned',
    lost: (_, { code }: Failure) => code === 'connection_lost',
  },
  actions: {
    keepFailure: assign({ failure: (_, { code, message }: Failure) => ({ code, message }) }),
    keepAbandoned: assign({ failure: () => new Fault('abandoned').toJSON() }),
    tellTaken: sendTo(
      ({ context }) => context.parent,
      ({ context: { command, loan } }): ErrandSays => ({
        type: 'errand.ended',
        requestId: command.requestId,
        fact: { type: 'loan.taken', requestId: command.requestId, loan: loan as Loan },
      }),
    ),
    tellFailed: sendTo(
      ({ context }) => context.parent,
      ({ context: { command, failure } }): ErrandSays => ({
        type: 'errand.ended',
        requestId: command.requestId,
        fact: { type: 'loan.takeFailed', requestId: command.requestId, ...failure },
      }),
    ),
  },
}).createMachine({
  id: 'loan',
  context: ({ input }) => ({ ...input, loan: null, failure: { code: 'internal', message: '' } }),
  initial: 'asking',
  states: {
    asking: {
      invoke: { src: 'ask', input: ({ context }) => context.command },
      on: {
        'lender.progress': {
          actions: sendTo(
            ({ context }) => context.parent,
            ({ context, event: { step, line } }): ErrandSays => ({
              type: 'errand.said',
              fact: { type: 'loan.progress', requestId: context.command.requestId, step, line },
            }),
          ),
        },
        'lender.gave': { target: 'tracking', actions: assign({ loan: ({ event }) => event.loan }) },
        'lender.failed': [
          {
            guard: { type: 'lost', params: ({ event }) => event },
            target: 'sweeping',
            actions: { type: 'keepFailure', params: ({ event }) => event },
          },
          { target: 'failed', actions: { type: 'keepFailure', params: ({ event }) => event } },
        ],
        // Leaving this state closes the connection, which tells the lender.
        'take.abandoned': { target: 'sweeping', actions: 'keepAbandoned' },
      },
    },
    tracking: {
      invoke: {
        src: 'track',
        input: ({ context }) => context.loan as Loan,
        onDone: [{ guard: 'abandoned', target: 'returning' }, { target: 'taken' }],
        onError: {
          target: 'returning',
          actions: { type: 'keepFailure', params: ({ event }) => toFailure(event.error) },
        },
      },
      on: { 'take.abandoned': { actions: 'keepAbandoned' } },
    },
    returning: {
      invoke: {
        src: 'giveBack',
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
    sweeping: {
      invoke: { src: 'sweep', input: ({ context }) => context.command, onDone: 'failed', onError: 'failed' },
    },
    taken: { type: 'final', entry: 'tellTaken' },
    failed: { type: 'final', entry: 'tellFailed' },
  },
  options: { maxIterations: 1_000 },
})
