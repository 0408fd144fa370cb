import { assign } from 'xstate'
import { AppError, toFailure } from '../../protocol/errors.ts'
import type { ContainerImage } from '../image.ts'
import { containerSetup } from './containerSetup.ts'
import type { ContainerRequest, ContainerSpec, CreatedContainer, Credentials } from './containerTypes.ts'

/** Rolls back what exists so far and records why. */
const rollBack = {
  target: '#container.rollingBack',
  actions: {
    type: 'fail',
    params: ({ event }: { event: { error: unknown } }) => ({ failure: toFailure(event.error) }),
  },
} as const

const abandoned = {
  target: '#container.rollingBack',
  actions: { type: 'fail', params: { failure: new AppError('abandoned').toJSON() } },
} as const

const endedEarly = {
  target: '#container.rollingBack',
  actions: { type: 'fail', params: { failure: new AppError('ssh_failed', { why: 'it ended at once' }).toJSON() } },
} as const

/** The steps from a container's request to the reply. A failure in any of them rolls back all of it. */
export const provisioning = containerSetup.createStateConfig({
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
              params: ({ event: { output } }) => ({
                type: 'child.named',
                containerName: output.containerName,
                weakKeyBits: output.weakKeyBits,
              }),
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
        onError: [{ guard: { type: 'canRetryPorts', params: ({ event }) => event }, target: 'retryCleanup' }, rollBack],
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
})
