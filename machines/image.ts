import { type AnyActorRef, assign, fromCallback, fromPromise, sendTo, setup } from 'xstate'
import { toFailure } from '../protocol/errors.ts'
import type { Failure } from '../protocol/ids.ts'

/** A port that an image serves, as its `ports.json` declares. */
export interface ImagePort {
  PortName: string
  InternalPort: number
  Type: 'tcp' | 'udp'
  Description: string
}

/** The current content of an image folder, and the engine's name for the image that is built from it. */
export interface ContainerImage {
  name: string
  /** `p2prc/<name>:<beginning of the digest>`. */
  tag: string
  digest: string
  ports: ImagePort[]
  /** Whether the engine has it already. */
  built: boolean
}

/** The events that an image emits to the image store. */
export type ImageEmits =
  | { type: 'image.line'; name: string; line: string }
  | { type: 'image.ready'; name: string; image: ContainerImage }
  | { type: 'image.failed'; name: string; failure: Failure }

/** The events of the two long steps. */
export type ImageStepEmits =
  | { type: 'step.line'; line: string }
  | { type: 'step.done'; base: string }
  | { type: 'step.failed'; failure: Failure }

interface Context {
  name: string
  parent: AnyActorRef
  image: ContainerImage | null
  failure: Failure | null
}

const notProvided = toFailure(new Error('not provided'))

/** One image that this node lends, from the inspection of its folder until it is ready in the engine. */
export const imageMachine = setup({
  types: {
    context: {} as Context,
    input: {} as { name: string; parent: AnyActorRef },
    events: {} as ImageStepEmits | { type: 'check' },
  },
  actors: {
    inspect: fromPromise<ContainerImage, { name: string }>(() => Promise.reject(new Error('not provided'))),
    resolveBase: fromCallback<ImageStepEmits, object>(({ sendBack }) =>
      sendBack({ type: 'step.failed', failure: notProvided }),
    ),
    build: fromCallback<ImageStepEmits, { image: ContainerImage; base: string }>(({ sendBack }) =>
      sendBack({ type: 'step.failed', failure: notProvided }),
    ),
    prune: fromPromise<void, { image: ContainerImage }>(() => Promise.reject(new Error('not provided'))),
  },
  guards: { built: (_, { image }: { image: ContainerImage }) => image.built },
  actions: {
    notifyReady: sendTo(
      ({ context }) => context.parent,
      ({ context }) => ({ type: 'image.ready', name: context.name, image: context.image }),
    ),
    notifyLine: sendTo(
      ({ context }) => context.parent,
      ({ context }, { line }: { line: string }) => ({ type: 'image.line', name: context.name, line }),
    ),
    notifyFailed: sendTo(
      ({ context }) => context.parent,
      ({ context }, { failure }: { failure: Failure }) => ({ type: 'image.failed', name: context.name, failure }),
    ),
  },
}).createMachine({
  id: 'image',
  context: ({ input }) => ({ ...input, image: null, failure: null }),
  initial: 'checking',
  states: {
    checking: {
      invoke: {
        src: 'inspect',
        input: ({ context }) => ({ name: context.name }),
        onDone: [
          {
            guard: { type: 'built', params: ({ event }) => ({ image: event.output }) },
            target: 'ready',
            actions: assign({ image: ({ event }) => event.output }),
          },
          { target: 'resolvingBase', actions: assign({ image: ({ event }) => event.output }) },
        ],
        onError: { target: 'failed', actions: assign({ failure: ({ event }) => toFailure(event.error) }) },
      },
    },
    resolvingBase: {
      invoke: { src: 'resolveBase', input: {} },
      on: { 'step.done': { target: 'building' } },
    },
    building: {
      invoke: {
        src: 'build',
        input: ({ context, event }) => ({
          image: context.image as ContainerImage,
          base: event.type === 'step.done' ? event.base : '',
        }),
      },
      on: {
        'step.done': {
          target: 'ready',
          actions: assign({ image: ({ context }) => ({ ...(context.image as ContainerImage), built: true }) }),
        },
      },
    },
    ready: {
      entry: 'notifyReady',
      // Images that pruning leaves only cost disk space; the next build prunes them.
      invoke: {
        src: 'prune',
        input: ({ context }) => ({ image: context.image as ContainerImage }),
        onError: {},
      },
      on: { check: 'checking' },
    },
    failed: {
      type: 'final',
      entry: { type: 'notifyFailed', params: ({ context }) => ({ failure: context.failure as Failure }) },
    },
  },
  on: {
    'step.line': { actions: { type: 'notifyLine', params: ({ event }) => event } },
    'step.failed': { target: '.failed', actions: assign({ failure: ({ event }) => event.failure }) },
  },
  options: { maxIterations: 1_000 },
})
