import { assign, emit, fromCallback, setup, spawnChild } from 'xstate'
import type { DoctorAccepts, DoctorCommand, DoctorEmits, Finding } from '../protocol/doctor.ts'
import type { Endpoint } from '../protocol/net/endpoint.ts'
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

export interface DoctorInput {
  /** The endpoints at which this node can be dialled. */
  endpoints: readonly Endpoint[]
  signal: AbortSignal
}

export interface ExamineInput extends DoctorInput {
  command: DoctorCommand
}

export type FromExamine =
  | { type: 'check.ended'; requestId: string; finding: Finding }
  | { type: 'examination.ended'; requestId: string; findings: Finding[] }

interface Context extends DoctorInput {
  requests: Requests<Tracked<'examining'>>
}

type Events = DoctorAccepts | FromExamine

/** Examines this node when its owner asks. A child per request runs the checks. */
export const doctorMachine = setup({
  types: {
    context: {} as Context,
    input: {} as DoctorInput,
    events: {} as Events,
    emitted: {} as DoctorEmits,
  },
  actors: {
    /** Runs every check, and reports each as it ends, in their order. Never fails. */
    examine: fromCallback<{ type: 'none' }, ExamineInput, FromExamine>(() => {
      throw new Error('not provided')
    }),
  },
  guards: requestGuards<Context>(),
  actions: requestActions<Context, Events>(),
}).createMachine({
  id: 'doctor',
  context: ({ input }) => ({ ...input, requests: [] }),
  on: {
    'doctor.examine': [
      joinIfRepeated,
      {
        actions: [
          beginAs('examining'),
          spawnChild('examine', {
            id: ({ event }) => childId((event as DoctorCommand).requestId),
            input: ({ context: { endpoints, signal }, event }) => ({
              command: event as DoctorCommand,
              endpoints,
              signal,
            }),
          }),
        ],
      },
    ],
    'table.selfAddressesChanged': { actions: assign({ endpoints: ({ event }) => event.endpoints }) },
    'check.ended': {
      actions: emit(({ event: { requestId, finding } }) => ({
        type: 'doctor.progress',
        requestId,
        step: finding.check,
        line: finding.what,
      })),
    },
    'examination.ended': {
      actions: [
        emit(({ event: { requestId, findings } }) => ({ type: 'doctor.examined', requestId, findings })),
        { type: 'end', params: ({ event }) => event },
      ],
    },
    'request.abandoned': endIfAbandoned('examining'),
  },
  options: { maxIterations: 1_000 },
})
