import { assign, emit, enqueueActions, setup, spawnChild } from 'xstate'
import type { SpeedTesterAccepts, SpeedTesterCommand, SpeedTesterEmits } from '../protocol/speedTester.ts'
import { type SpeedTestEmits, speedTestMachine } from './speedTest.ts'

interface Context {
  /** Requests under way; each is the id of a child. */
  busy: readonly string[]
}

/** Measures links when the owner asks. A child per request does the work and waits for a slot. */
export const speedTesterMachine = setup({
  types: {
    context: {} as Context,
    events: {} as SpeedTesterAccepts | SpeedTestEmits,
    emitted: {} as SpeedTesterEmits,
  },
  actors: { test: speedTestMachine },
  guards: {
    isBusy: ({ context }, { requestId }: { requestId: string }) => context.busy.includes(requestId),
  },
  actions: {
    end: enqueueActions(({ context, enqueue }, { requestId }: { requestId: string }) => {
      enqueue.stopChild(requestId)
      enqueue.assign({ busy: context.busy.filter((id) => id !== requestId) })
    }),
  },
}).createMachine({
  id: 'speedTester',
  context: { busy: [] },
  on: {
    'speed.measure': [
      // The same request again: the answer under way reaches whoever listens for it.
      { guard: { type: 'isBusy', params: ({ event }) => event } },
      {
        actions: [
          assign({ busy: ({ context, event }) => [...context.busy, event.requestId] }),
          spawnChild('test', {
            id: ({ event }) => event.requestId,
            input: ({ event, self }) => ({ parent: self, command: event as SpeedTesterCommand }),
          }),
        ],
      },
    ],
    'test.progressed': { actions: emit(({ event }) => event.fact) },
    'test.ended': { actions: [emit(({ event }) => event.fact), { type: 'end', params: ({ event }) => event }] },
    'request.abandoned': {
      guard: { type: 'isBusy', params: ({ event }) => event },
      actions: { type: 'end', params: ({ event }) => event },
    },
  },
  options: { maxIterations: 1_000 },
})
