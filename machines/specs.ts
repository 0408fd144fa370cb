import { assign, emit, enqueueActions, fromCallback, fromPromise, setup, spawnChild, stopChild } from 'xstate'
import { SPECS_READ_TIMEOUT_MS } from '../protocol/defaults.ts'
import { Fault, toFailure } from '../protocol/errors.ts'
import type { Failure } from '../protocol/ids.ts'
import type { Specs, SpecsHears, SpecsSays } from '../protocol/specs.ts'

/** How asking another node ended. */
export type SpecsAskEnded =
  | { type: 'ask.done'; requestId: string; specs: Specs }
  | ({ type: 'ask.failed'; requestId: string } & Failure)

interface Context {
  intervalMs: number
  background: boolean
  specs: Specs | null
  /** Requests for our own specifications that came before the first reading was done. */
  waiting: string[]
  /** Requests for another node's that are under way; each is the id of a child. */
  asking: string[]
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
    events: {} as SpecsHears | SpecsAskEnded,
    emitted: {} as SpecsSays,
  },
  actors: {
    read: fromPromise<Specs, void>(() => Promise.reject(new Error('not provided'))),
    ask: fromCallback<SpecsAskEnded, { requestId: string; where: string }>(({ input, sendBack }) =>
      sendBack({ type: 'ask.failed', requestId: input.requestId, ...toFailure(new Error('not provided')) }),
    ),
  },
  delays: {
    interval: ({ context }) => context.intervalMs,
    tooLong: SPECS_READ_TIMEOUT_MS,
  },
  guards: {
    inBackground: ({ context }) => context.background,
    known: ({ context }) => context.background && context.specs !== null,
    asked: ({ context }, { requestId }: { requestId: string }) => context.asking.includes(requestId),
  },
  actions: {
    answerWaiting: enqueueActions(({ context, enqueue }, { answer }: { answer: { specs: Specs } | Failure }) => {
      for (const requestId of context.waiting) {
        if ('specs' in answer) enqueue.emit({ type: 'specs.got', requestId, specs: answer.specs })
        else enqueue.emit({ type: 'specs.getFailed', requestId, code: answer.code, message: answer.message })
      }
      enqueue.assign({ waiting: [] })
    }),
    forget: assign({
      asking: ({ context }, { requestId }: { requestId: string }) => context.asking.filter((id) => id !== requestId),
      waiting: ({ context }, { requestId }: { requestId: string }) => context.waiting.filter((id) => id !== requestId),
    }),
  },
}).createMachine({
  id: 'specs',
  context: ({ input }) => ({ ...input, specs: null, waiting: [], asking: [] }),
  initial: 'starting',
  states: {
    starting: { always: [{ guard: 'inBackground', target: 'reading' }, { target: 'resting' }] },
    reading: {
      invoke: {
        src: 'read',
        onDone: {
          target: 'resting',
          actions: [
            assign({ specs: ({ event }) => event.output }),
            emit(({ event }) => ({ type: 'specs.changed', specs: event.output })),
            { type: 'answerWaiting', params: ({ event }) => ({ answer: { specs: event.output } }) },
          ],
        },
        onError: {
          target: 'resting',
          actions: { type: 'answerWaiting', params: ({ event }) => ({ answer: toFailure(event.error) }) },
        },
      },
      after: {
        tooLong: {
          target: 'resting',
          actions: {
            type: 'answerWaiting',
            params: {
              answer: new Fault('timed_out', { where: 'This machine', ms: SPECS_READ_TIMEOUT_MS }).toJSON(),
            },
          },
        },
      },
    },
    resting: {
      after: { interval: { guard: 'inBackground', target: 'reading' } },
      on: {
        'specs.get': [
          {
            guard: 'known',
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
        guard: 'known',
        actions: emit(({ context, event }) => ({
          type: 'specs.got',
          requestId: event.requestId,
          specs: context.specs as Specs,
        })),
      },
      { actions: assign({ waiting: ({ context, event }) => [...context.waiting, event.requestId] }) },
    ],
    'specs.ask': [
      // The same request again: the answer under way reaches whoever listens for it.
      { guard: { type: 'asked', params: ({ event }) => event } },
      {
        actions: [
          assign({ asking: ({ context, event }) => [...context.asking, event.requestId] }),
          spawnChild('ask', {
            id: ({ event }) => event.requestId,
            input: ({ event }) => event as Extract<SpecsHears, { type: 'specs.ask' }>,
          }),
        ],
      },
    ],
    'ask.done': {
      actions: [
        emit(({ event }) => ({ type: 'specs.got', requestId: event.requestId, specs: event.specs })),
        stopChild(({ event }) => event.requestId),
        { type: 'forget', params: ({ event }) => event },
      ],
    },
    'ask.failed': {
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
