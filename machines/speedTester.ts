import { emit, setup, spawnChild } from 'xstate'
import type { SpeedTesterAccepts, SpeedTesterCommand, SpeedTesterEmits } from '../protocol/speedTester.ts'
import {
  beginAs,
  childId,
  endIfAbandoned,
  joinIfRepeated,
  type Requests,
  requestActions,
  requestGuards,
  type Tracked,
} from './requests.ts'
import { type SpeedTestEmits, speedTestMachine } from './speedTest.ts'

interface Context {
  /** Each request has a child with its id, whose state is the progress of the test, or waiting for a slot. */
  requests: Requests<Tracked<'testing'>>
}

type Events = SpeedTesterAccepts | SpeedTestEmits

/** Measures links when the owner asks. A child per request waits for a slot and does the work. */
export const speedTesterMachine = setup({
  types: {
    context: {} as Context,
    events: {} as Events,
    emitted: {} as SpeedTesterEmits,
  },
  actors: { test: speedTestMachine },
  guards: requestGuards<Context>(),
  actions: requestActions<Context, Events>(),
}).createMachine({
  id: 'speedTester',
  context: { requests: [] },
  on: {
    'speed.measure': [
      joinIfRepeated,
      {
        actions: [
          beginAs('testing'),
          spawnChild('test', {
            id: ({ event }) => childId((event as SpeedTesterCommand).requestId),
            input: ({ event, self }) => ({ parent: self, command: event as SpeedTesterCommand }),
          }),
        ],
      },
    ],
    'test.progressed': { actions: emit(({ event }) => event.fact) },
    'test.ended': {
      actions: [emit(({ event }) => event.fact), { type: 'end', params: ({ event }) => event }],
    },
    'request.abandoned': endIfAbandoned('testing'),
  },
  options: { maxIterations: 1_000 },
})
