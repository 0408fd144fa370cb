import { assign, emit, enqueueActions, fromCallback, fromPromise, setup, spawnChild } from 'xstate'
import { SPECS_READ_TIMEOUT_MS, SPECS_START_DELAY_MS } from '../protocol/defaults/specs.ts'
import { AppError, toFailure } from '../protocol/errors.ts'
import type { Failure } from '../protocol/ids.ts'
import type { Specs, SpecsAccepts, SpecsEmits } from '../protocol/specs.ts'
import {
  beginAs,
  childId,
  endIfAbandoned,
  inPhase,
  joinIfRepeated,
  type Requests,
  requestActions,
  requestGuards,
  type Tracked,
} from './requests.ts'

/** The result of a request to another node. */
export type SpecsRequestEnded =
  | { type: 'request.done'; requestId: string; specs: Specs }
  | ({ type: 'request.failed'; requestId: string } & Failure)

type Events = SpecsAccepts | SpecsRequestEnded

interface RequestId {
  requestId: string
}

interface Context {
  intervalMs: number
  background: boolean
  specs: Specs | null
  /**
   * A request is `reading` while it waits for a reading of this machine, and `requesting` while a child asks another
   * node.
   */
  requests: Requests<Tracked<'reading' | 'requesting'>>
}

export interface SpecsInput {
  intervalMs: number
  /** Whether to read soon after the start and every `intervalMs`. A process without a node reads only on request. */
  background: boolean
}

const specsSetup = setup({
  types: {
    context: {} as Context,
    input: {} as SpecsInput,
    events: {} as Events,
    emitted: {} as SpecsEmits,
  },
  actors: {
    read: fromPromise<Specs, void>(() => Promise.reject(new Error('not provided'))),
    request: fromCallback<SpecsRequestEnded, { requestId: string; where: string }>(({ input, sendBack }) =>
      sendBack({ type: 'request.failed', requestId: input.requestId, ...toFailure(new Error('not provided')) }),
    ),
  },
  delays: {
    interval: ({ context }) => context.intervalMs,
    readTimeout: SPECS_READ_TIMEOUT_MS,
    startDelay: SPECS_START_DELAY_MS,
  },
  guards: {
    inBackground: ({ context }) => context.background,
    isKnown: ({ context }) => context.background && context.specs !== null,
    ...requestGuards<Context>(),
  },
  actions: requestActions<Context, Events>(),
}).extend({
  actions: {
    reply: emit(({ context: { specs } }, { requestId }: RequestId) => ({
      type: 'specs.got',
      requestId,
      specs: specs as Specs,
    })),
    replyToReading: enqueueActions(({ context, enqueue }, { answer }: { answer: { specs: Specs } | Failure }) => {
      for (const { requestId } of inPhase(context.requests, 'reading')) {
        if ('specs' in answer) enqueue.emit({ type: 'specs.got', requestId, specs: answer.specs })
        else enqueue.emit({ type: 'specs.getFailed', requestId, code: answer.code, message: answer.message })
      }
      enqueue.assign({ requests: inPhase(context.requests, 'requesting') })
    }),
  },
})

/** Reads this machine's specifications in advance, so that answers cost nothing, and requests those of other nodes. */
export const specsMachine = specsSetup.createMachine({
  id: 'specs',
  context: ({ input }) => ({ ...input, specs: null, requests: [] }),
  initial: 'starting',
  states: {
    starting: { always: [{ guard: 'inBackground', target: 'waiting' }, { target: 'idle' }] },
    waiting: {
      after: { startDelay: 'reading' },
      on: { 'specs.get': { target: 'reading', actions: beginAs('reading') } },
    },
    reading: {
      invoke: {
        src: 'read',
        onDone: {
          target: 'idle',
          actions: [
            assign({ specs: ({ event }) => event.output }),
            emit(({ event }) => ({ type: 'specs.changed', specs: event.output })),
            { type: 'replyToReading', params: ({ event }) => ({ answer: { specs: event.output } }) },
          ],
        },
        onError: {
          target: 'idle',
          actions: { type: 'replyToReading', params: ({ event }) => ({ answer: toFailure(event.error) }) },
        },
      },
      after: {
        readTimeout: {
          target: 'idle',
          actions: {
            type: 'replyToReading',
            params: {
              answer: new AppError('timed_out', { where: 'This machine', ms: SPECS_READ_TIMEOUT_MS }).toJSON(),
            },
          },
        },
      },
    },
    idle: {
      after: { interval: { guard: 'inBackground', target: 'reading' } },
      on: {
        'specs.get': [
          { guard: 'isKnown', actions: { type: 'reply', params: ({ event }) => event } },
          { target: 'reading', actions: beginAs('reading') },
        ],
      },
    },
  },
  on: {
    'specs.get': [
      { guard: 'isKnown', actions: { type: 'reply', params: ({ event }) => event } },
      joinIfRepeated,
      { actions: beginAs('reading') },
    ],
    'specs.request': [
      joinIfRepeated,
      {
        actions: [
          beginAs('requesting'),
          spawnChild('request', {
            id: ({ event }) => childId((event as RequestId).requestId),
            input: ({ event }) => event as Extract<SpecsAccepts, { type: 'specs.request' }>,
          }),
        ],
      },
    ],
    'request.done': {
      actions: [
        emit(({ event }) => ({ type: 'specs.got', requestId: event.requestId, specs: event.specs })),
        { type: 'end', params: ({ event }) => event },
      ],
    },
    'request.failed': {
      actions: [
        emit(({ event: { requestId, code, message } }) => ({ type: 'specs.getFailed', requestId, code, message })),
        { type: 'end', params: ({ event }) => event },
      ],
    },
    'request.abandoned': endIfAbandoned('reading', 'requesting'),
  },
  options: { maxIterations: 1_000 },
})
