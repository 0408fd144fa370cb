import { assign, enqueueActions, fromPromise, sendTo, setup } from 'xstate'
import type { ContainerReply, ContainerSummary, Port } from '../../protocol/containerManager.ts'
import { ENGINE_RETRY_INTERVAL_MS, PORT_ATTEMPTS_MAX } from '../../protocol/defaults/containerManager.ts'
import { toAppError } from '../../protocol/errors.ts'
import type { ContainerId, Failure } from '../../protocol/ids.ts'
import type { ContainerImage } from '../image.ts'
import type { ContainerContext, ContainerEventBody } from './containerContext.ts'
import {
  type ContainerAccepts,
  type ContainerInput,
  type ContainerRequest,
  type ContainerSpec,
  type CreatedContainer,
  type Credentials,
  summaryOf,
} from './containerTypes.ts'

const notProvided = () => Promise.reject(new Error('not provided'))

/** Holds the guards, actions and effects of a container's chart. */
export const containerSetup = setup({
  types: { context: {} as ContainerContext, input: {} as ContainerInput, events: {} as ContainerAccepts },
  actors: {
    /** Validates the key and creates the container's credentials. */
    createCredentials: fromPromise<Credentials, ContainerRequest>(notProvided),
    /** Reserves ports for the container and releases those that it had. */
    allocatePorts: fromPromise<Port[], { containerName: string; request: ContainerRequest; image: ContainerImage }>(
      notProvided,
    ),
    create: fromPromise<CreatedContainer, ContainerSpec>(notProvided),
    /** Writes the keys into the container. */
    injectKeys: fromPromise<void, { id: ContainerId; credentials: Credentials }>(notProvided),
    start: fromPromise<void, { id: ContainerId; containerName: string }>(notProvided),
    /** Marks the container as complete, sets the password if there is no key, and waits for the SSH server. */
    awaitSsh: fromPromise<ContainerReply, { containerName: string; created: CreatedContainer }>(notProvided),
    /** Resolves with the reply, with a new password if there is no key. */
    renewReply: fromPromise<ContainerReply, { created: CreatedContainer }>(notProvided),
    /** Removes the container, its volume and its reserved ports; anything that no longer exists is not an error. */
    remove: fromPromise<void, { containerName: string; id: ContainerId | null }>(notProvided),
  },
  delays: { engineRetry: ENGINE_RETRY_INTERVAL_MS },
  guards: {
    startsAs: ({ context }, { origin }: { origin: ContainerContext['origin'] }) => context.origin === origin,
    canRetryPorts: ({ context }, { error }: { error: unknown }) =>
      toAppError(error).code === 'ports_exhausted' && context.portAttempts < PORT_ATTEMPTS_MAX,
    imageMissing: ({ context }, { error }: { error: unknown }) =>
      toAppError(error).code === 'image_failed' && context.imageAttempts === 0,
  },
  actions: {
    notify: sendTo(
      ({ context }) => context.parent,
      ({ context }, body: ContainerEventBody) => ({ ...body, key: context.key }),
    ),
    notifyState: sendTo(
      ({ context }) => context.parent,
      ({ context, event }, { state }: { state: ContainerSummary['state'] }) => ({
        type: 'child.stateChanged',
        key: context.key,
        summary: summaryOf(context.created as CreatedContainer, context, state),
        external: event.type.startsWith('engine.'),
      }),
    ),
    notifyFailure: enqueueActions(({ context: { parent, key, failure }, enqueue }) => {
      if (!failure) return
      enqueue.sendTo(parent, { type: 'child.createFailed', key, failure, kept: false })
      enqueue.assign({ failure: null })
    }),
    fail: assign({ failure: (_, { failure }: { failure: Failure }) => failure }),
  },
})
