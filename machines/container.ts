import { assign } from 'xstate'
import { toFailure } from '../protocol/errors.ts'
import { initialContext } from './containerManager/containerContext.ts'
import { containerSetup } from './containerManager/containerSetup.ts'
import type { CreatedContainer } from './containerManager/containerTypes.ts'
import { provisioning } from './containerManager/provisioning.ts'

/**
 * One container, from the request to its end. A failure before it is complete rolls back all of it. The provider of
 * the effects runs those of one container one after another, so that `remove` follows a step that is still in
 * progress.
 */
export const containerMachine = containerSetup.createMachine({
  id: 'container',
  context: ({ input }) => initialContext(input),
  initial: 'initializing',
  states: {
    initializing: {
      always: [
        { guard: { type: 'startsAs', params: { origin: 'requested' } }, target: 'provisioning' },
        { guard: { type: 'startsAs', params: { origin: 'partial' } }, target: 'rollingBack' },
        { guard: { type: 'startsAs', params: { origin: 'stopped' } }, target: '#container.ready.runtime.stopped' },
        { target: 'ready' },
      ],
    },
    provisioning,
    ready: {
      type: 'parallel',
      entry: assign({ credentials: null, request: null }),
      on: { remove: 'removing', 'engine.gone': { target: 'rollingBack', actions: assign({ external: true }) } },
      states: {
        runtime: {
          initial: 'running',
          states: {
            running: {
              entry: { type: 'notifyState', params: { state: 'running' } },
              on: { 'engine.stopped': 'stopped' },
            },
            stopped: {
              entry: { type: 'notifyState', params: { state: 'stopped' } },
              on: { 'engine.running': 'running' },
            },
          },
        },
        reply: {
          initial: 'idle',
          states: {
            idle: { on: { request: 'replying' } },
            replying: {
              invoke: {
                src: 'renewReply',
                input: ({ context }) => ({ created: context.created as CreatedContainer }),
                onDone: {
                  target: 'idle',
                  actions: { type: 'notify', params: ({ event }) => ({ type: 'child.created', reply: event.output }) },
                },
                onError: {
                  target: 'idle',
                  actions: {
                    type: 'notify',
                    params: ({ event: { error } }) => ({
                      type: 'child.createFailed',
                      failure: toFailure(error),
                      kept: true,
                    }),
                  },
                },
              },
            },
          },
        },
      },
    },
    removing: {
      entry: { type: 'notifyState', params: { state: 'removing' } },
      invoke: {
        src: 'remove',
        input: ({ context: { containerName, created } }) => ({ containerName, id: (created as CreatedContainer).id }),
        onDone: 'gone',
        onError: {
          target: 'ready',
          actions: {
            type: 'notify',
            params: ({ event: { error } }) => ({ type: 'child.removeFailed', failure: toFailure(error) }),
          },
        },
      },
    },
    rollingBack: {
      invoke: {
        src: 'remove',
        input: ({ context: { containerName, created } }) => ({ containerName, id: created?.id ?? null }),
        onDone: 'gone',
        onError: 'rollbackRetry',
      },
      // The engine finished creating the container after all, perhaps after the removal had looked for it.
      on: { 'engine.created': { target: 'rollingBack', reenter: true } },
    },
    /** The engine could not remove the container, so the rollback is retried until it succeeds. */
    rollbackRetry: {
      entry: 'notifyFailure',
      after: { engineRetry: 'rollingBack' },
      on: { 'engine.gone': 'rollingBack', 'engine.created': 'rollingBack' },
    },
    gone: {
      type: 'final',
      entry: [
        'notifyFailure',
        {
          type: 'notify',
          params: ({ context: { created, external } }) => ({ type: 'child.gone', id: created?.id ?? null, external }),
        },
      ],
    },
  },
  options: { maxIterations: 1_000 },
})
