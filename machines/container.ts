import { assign } from 'xstate'
import { toFailure } from '../protocol/errors.ts'
import { abandoned, endedEarly, initialContext, rollBack } from './containerManager/containerContext.ts'
import { containerSetup } from './containerManager/containerSetup.ts'
import type {
  ContainerRequest,
  ContainerSpec,
  CreatedContainer,
  Credentials,
} from './containerManager/containerTypes.ts'
import type { ContainerImage } from './image.ts'

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
    provisioning: {
      initial: 'creatingCredentials',
      on: { abandon: abandoned, remove: abandoned },
      states: {
        creatingCredentials: {
          invoke: {
            src: 'createCredentials',
            input: ({ context }) => context.request as ContainerRequest,
            onDone: {
              target: 'awaitingImage',
              actions: [
                assign({
                  credentials: ({ event }) => event.output,
                  containerName: ({ event }) => event.output.containerName,
                }),
                {
                  type: 'notify',
                  params: ({ event }) => ({ type: 'child.named', containerName: event.output.containerName }),
                },
              ],
            },
            onError: rollBack,
          },
        },
        awaitingImage: {
          entry: {
            type: 'notify',
            params: ({ context }) => ({ type: 'child.imageRequested', again: context.imageAttempts > 0 }),
          },
          on: {
            'image.line': {
              actions: {
                type: 'notify',
                params: ({ event: { line } }) => ({ type: 'child.progress', step: 'image', line }),
              },
            },
            'image.ready': { target: 'allocatingPorts', actions: assign({ image: ({ event }) => event.image }) },
            'image.failed': {
              target: '#container.rollingBack',
              actions: { type: 'fail', params: ({ event }) => event },
            },
          },
        },
        allocatingPorts: {
          invoke: {
            src: 'allocatePorts',
            input: ({ context: { containerName, request, image } }) => ({
              containerName,
              request: request as ContainerRequest,
              image: image as ContainerImage,
            }),
            onDone: {
              target: 'creating',
              actions: assign({
                ports: ({ event }) => event.output,
                portAttempts: ({ context }) => context.portAttempts + 1,
              }),
            },
            onError: rollBack,
          },
        },
        creating: {
          entry: { type: 'notify', params: { type: 'child.progress', step: 'create', line: 'Making the container' } },
          invoke: {
            src: 'create',
            input: ({ context: { request, credentials, image, ports } }) =>
              ({ request, credentials, image, ports }) as ContainerSpec,
            onDone: {
              target: 'injectingKeys',
              actions: [
                assign({ created: ({ event }) => event.output }),
                { type: 'notifyState', params: { state: 'creating' } },
              ],
            },
            onError: [
              {
                guard: { type: 'imageMissing', params: ({ event }) => event },
                target: 'awaitingImage',
                actions: assign({ imageAttempts: 1 }),
              },
              rollBack,
            ],
          },
        },
        injectingKeys: {
          invoke: {
            src: 'injectKeys',
            input: ({ context: { created, credentials } }) => ({
              id: (created as CreatedContainer).id,
              credentials: credentials as Credentials,
            }),
            onDone: 'starting',
            onError: rollBack,
          },
        },
        starting: {
          entry: { type: 'notify', params: { type: 'child.progress', step: 'start', line: 'Starting it' } },
          invoke: {
            src: 'start',
            input: ({ context: { created, containerName } }) => ({
              id: (created as CreatedContainer).id,
              containerName,
            }),
            onDone: 'awaitingSsh',
            onError: [
              { guard: { type: 'canRetryPorts', params: ({ event }) => event }, target: 'retryCleanup' },
              rollBack,
            ],
          },
        },
        /** Removes a container whose ports were in use, to retry with others. */
        retryCleanup: {
          invoke: {
            src: 'remove',
            input: ({ context: { containerName, created } }) => ({
              containerName,
              id: (created as CreatedContainer).id,
            }),
            onDone: 'allocatingPorts',
            onError: rollBack,
          },
        },
        awaitingSsh: {
          entry: {
            type: 'notify',
            params: { type: 'child.progress', step: 'ssh', line: 'Waiting for its SSH server' },
          },
          invoke: {
            src: 'awaitSsh',
            input: ({ context: { containerName, created } }) => ({
              containerName,
              created: created as CreatedContainer,
            }),
            onDone: {
              target: '#container.ready',
              actions: { type: 'notify', params: ({ event }) => ({ type: 'child.created', reply: event.output }) },
            },
            onError: rollBack,
          },
          on: { 'engine.stopped': endedEarly, 'engine.gone': endedEarly },
        },
      },
    },
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
