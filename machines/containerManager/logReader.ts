import { type AnyActorRef, fromCallback, sendTo, setup } from 'xstate'
import { toFailure } from '../../protocol/errors.ts'
import type { Failure } from '../../protocol/ids.ts'
import type { LogsEmits, LogsInput } from './containerTypes.ts'

interface Context extends LogsInput {
  parent: AnyActorRef
}

/** Reads a container's log to its end, or for as long as a client follows it. Its events go to the parent. */
export const logReaderMachine = setup({
  types: { context: {} as Context, input: {} as Context, events: {} as LogsEmits },
  actors: {
    readLogs: fromCallback<LogsEmits, LogsInput>(({ input: { requestId }, sendBack }) => {
      const failure: Failure = toFailure(new Error('not provided'))
      sendBack({ type: 'logs.failed', requestId, failure })
    }),
  },
  actions: {
    notifyParent: sendTo(
      ({ context }) => context.parent,
      (_, event: LogsEmits) => event,
    ),
  },
}).createMachine({
  id: 'logReader',
  context: ({ input }) => input,
  initial: 'reading',
  states: {
    reading: {
      invoke: {
        src: 'readLogs',
        id: 'readLogs',
        input: ({ context: { requestId, id, follow, tail } }) => ({ requestId, id, follow, tail }),
      },
      on: {
        'logs.line': { actions: { type: 'notifyParent', params: ({ event }) => event } },
        'logs.ended': { target: 'ended', actions: { type: 'notifyParent', params: ({ event }) => event } },
        'logs.failed': { target: 'failed', actions: { type: 'notifyParent', params: ({ event }) => event } },
      },
    },
    ended: { type: 'final' },
    failed: { type: 'final' },
  },
  options: { maxIterations: 1_000 },
})
