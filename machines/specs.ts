import { assign, emit, enqueueActions, fromCallback, fromPromise, setup, spawnChild, stopChild } from 'xstate'
import { SPECS_READ_TIMEOUT_MS } from '../protocol/defaults/specs.ts'
import { AppError, toFailure } from '../protocol/errors.ts'
import type { Failure } from '../protocol/ids.ts'
import type { Specs, SpecsAccepts, SpecsEmits } from '../protocol/specs.ts'

/** How a request to another node ended. */
export type SpecsRequestEnded =
  | { type: 'request.done'; requestId: string; specs: Specs }
  | ({ type: 'request.failed'; requestId: string } & Failure)

interface Context {
  intervalMs: number
  background: boolean
  specs: Specs | null
  /** Requests for our own specifications that came before the first reading was done. */
  waiting: string[]
  /** Requests for another node's that are under way; each is the id of a child. */
  requesting: string[]
}

export interface SpecsInput {
  intervalMs: number
  /** Read at the start and again every `intervalMs`; else only when asked, as a process without a node does. */
  background: boolean
}

/** Reads this machine's specifications ahead of need, so that answering costs nothing, and asks other nodes for theirs. */
export const specsMachine = setup({
  types: {
    context: {} as Context,
    input: {} as SpecsInput,
    events: {} as SpecsAccepts | SpecsRequestEnded,
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
  },
  guards: {
    inBackground: ({ context }) => context.background,
    isKnown: ({ context }) => context.background && context.specs !== null,
    isRequested: ({ context }, { requestId }: { requestId: string }) => context.requesting.includes(requestId),
  },
  actions: {
    replyToWaiting: enqueueActions(({ context, enqueue }, { answer }: { answer: { specs: Specs } | Failure }) => {
      for (const requestId of context.waiting) {
        if ('specs' in answer) enqueue.emit({ type: 'specs.got', requestId, specs: answer.specs })
        else enqueue.emit({ type: 'specs.getFailed', requestId, code: answer.code, message: answer.message })
      }
      enqueue.assign({ waiting: [] })
    }),
    forget: assign({
      requesting: ({ context }, { requestId }: { requestId: string }) =>
        context.requesting.filter((id) => id !== requestId),
      waiting: ({ context }, { requestId }: { requestId: string }) => context.waiting.filter((id) => id !== requestId),
    }),
  },
}).createMachine({
  id: 'specs',
  context: ({ input }) => ({ ...input, specs: null, waiting: [], requesting: [] }),
  initial: 'starting',
  states: {
    starting: { always: [{ guard: 'inBackground', target: 'reading' }, { target: 'idle' }] },
    reading: {
      invoke: {
        src: 'read',
        onDone: {
          target: 'idle',
          actions: [
            assign({ specs: ({ event }) => event.output }),
            emit(({ event }) => ({ type: 'specs.changed', specs: event.output })),
            { type: 'replyToWaiting', params: ({ event }) => ({ answer: { specs: event.output } }) },
          ],
        },
        onError: {
          target: 'idle',
          actions: { type: 'replyToWaiting', params: ({ event }) => ({ answer: toFailure(event.error) }) },
        },
      },
      after: {
        readTimeout: {
          target: 'idle',
          actions: {
            type: 'replyToWaiting',
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
          {
            guard: 'isKnown',
            actions: emit(({ context, event }) => ({
              type: 'specs.got',
              requestId: event.requestId,
              specs: context.specs as Specs,
            })),
          },
          { target: 'reading', actions: assign({ waiting: ({ event }) => [event.requestId] }) },
        ],
      },
    },
  },
  on: {
    'specs.get': [
      {
        guard: 'isKnown',
        actions: emit(({ context, event }) => ({
          type: 'specs.got',
          requestId: event.requestId,
          specs: context.specs as Specs,
        })),
      },
      { actions: assign({ waiting: ({ context, event }) => [...context.waiting, event.requestId] }) },
    ],
    'specs.request': [
      // The same request again: the answer under way reaches whoever listens for it.
      { guard: { type: 'isRequested', params: ({ event }) => event } },
      {
        actions: [
          assign({ requesting: ({ context, event }) => [...context.requesting, event.requestId] }),
          spawnChild('request', {
            id: ({ event }) => event.requestId,
            input: ({ event }) => event as Extract<SpecsAccepts, { type: 'specs.request' }>,
          }),
        ],
      },
    ],
    'request.done': {
      actions: [
        emit(({ event }) => ({ type: 'specs.got', requestId: event.requestId, specs: event.specs })),
        stopChild(({ event }) => event.requestId),
        { type: 'forget', params: ({ event }) => event },
      ],
    },
    'request.failed': {
      actions: [
        emit(({ event: { requestId, code, message } }) => ({ type: 'specs.getFailed', requestId, code, message })),
        stopChild(({ event }) => event.requestId),
        { type: 'forget', params: ({ event }) => event },
      ],
    },
    'request.abandoned': {
      actions: [stopChild(({ event }) => event.requestId), { type: 'forget', params: ({ event }) => event }],
    },
  },
  options: { maxIterations: 1_000 },
})
