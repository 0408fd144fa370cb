import { assign, emit, setup, spawnChild, stopChild } from 'xstate'
import type { SpeedTesterAccepts, SpeedTesterCommand, SpeedTesterEmits } from '../protocol/speedTester.ts'
import {
  begin,
  childId,
  end,
  join,
  joinIfRepeated,
  leave,
  type Requests,
  requestGuards,
  type Tracked,
} from './requests.ts'
import { type SpeedTestEmits, speedTestMachine } from './speedTest.ts'

interface RequestId {
  requestId: string
}

interface Context {
  /** Each request has a child with its id, whose state is the progress of the test, or waiting for a slot. */
  requests: Requests<Tracked<'testing'>>
}

/** Measures links when the owner asks. A child per request waits for a slot and does the work. */
export const speedTesterMachine = setup({
  types: {
    context: {} as Context,
    events: {} as SpeedTesterAccepts | SpeedTestEmits,
    emitted: {} as SpeedTesterEmits,
  },
  actors: { test: speedTestMachine },
  guards: requestGuards,
  actions: {
    begin: assign({
      requests: ({ context }, { requestId }: RequestId) => begin(context.requests, { requestId, phase: 'testing' }),
    }),
    join: assign({ requests: ({ context }, { requestId }: RequestId) => join(context.requests, requestId) }),
    leave: assign({ requests: ({ context }, { requestId }: RequestId) => leave(context.requests, requestId) }),
    end: assign({ requests: ({ context }, { requestId }: RequestId) => end(context.requests, requestId) }),
  },
}).createMachine({
  id: 'speedTester',
  context: { requests: [] },
  on: {
    'speed.measure': [
      joinIfRepeated,
      {
        actions: [
          { type: 'begin', params: ({ event }) => event },
          spawnChild('test', {
            id: ({ event }) => childId((event as SpeedTesterCommand).requestId),
            input: ({ event, self }) => ({ parent: self, command: event as SpeedTesterCommand }),
          }),
        ],
      },
    ],
    'test.progressed': { actions: emit(({ event }) => event.fact) },
    'test.ended': {
      actions: [
        emit(({ event }) => event.fact),
        stopChild(({ event }) => childId(event.requestId)),
        { type: 'end', params: ({ event }) => event },
      ],
    },
    'request.abandoned': [
      {
        guard: { type: 'isLastWaiter', params: ({ event }) => event },
        actions: [stopChild(({ event }) => childId(event.requestId)), { type: 'end', params: ({ event }) => event }],
      },
      { actions: { type: 'leave', params: ({ event }) => event } },
    ],
  },
  options: { maxIterations: 1_000 },
})
