import {
  type ActorRef,
  type ActorRefFrom,
  type AnyActorRef,
  assign,
  enqueueActions,
  type Snapshot,
  sendTo,
  setup,
} from 'xstate'
import type { ContainerManagerEmits } from '../../protocol/containerManager.ts'
import type { Failure } from '../../protocol/ids.ts'
import { type ContainerImage, type ImageEmits, imageMachine } from '../image.ts'
import { begin, end, inPhase, join, leave, type Requests, type Tracked } from '../requests.ts'
import type { ContainerAccepts } from './containerTypes.ts'

type ContainerRef = ActorRef<Snapshot<unknown>, ContainerAccepts>

/** A fact for the container manager to publish. */
export interface ImageStoreEmits {
  type: 'imageStore.emitted'
  fact: ContainerManagerEmits
}

export type ImageStoreAccepts =
  /** The default image will be needed, but nobody waits for it yet. */
  | { type: 'imageStore.prepare' }
  /** A command requests the default image, built from its folder's current content. */
  | { type: 'imageStore.build'; requestId: string }
  | { type: 'imageStore.abandon'; requestId: string }
  /** `again` if the engine no longer had an image that was ready. */
  | { type: 'imageStore.request'; name: string; again: boolean; container: ContainerRef }

interface Image {
  ref: ActorRefFrom<typeof imageMachine>
  ready: ContainerImage | null
}

/**
 * A request of the image store. `building`: a command for the default image. `awaiting`: a container that waits for
 * its image.
 */
type ImageRequest = Tracked<'building'> | (Tracked<'awaiting'> & { name: string; container: ContainerRef })

interface Context {
  parent: AnyActorRef
  defaultImage: string
  images: Readonly<Record<string, Image>>
  requests: Requests<ImageRequest>
}

interface RequestId {
  requestId: string
}

type Request = Extract<ImageStoreAccepts, { type: 'imageStore.request' }>

/** Returns facts about the default image: one for each request that waits for it, or one without a request id. */
function facts<F extends ContainerManagerEmits>(
  { requests, defaultImage }: Context,
  name: string,
  fact: (requestId: string) => F,
): ImageStoreEmits[] {
  if (name !== defaultImage) return []
  const ids = inPhase(requests, 'building').map(({ requestId }) => requestId)
  return (ids.length > 0 ? ids : ['']).map((requestId) => ({ type: 'imageStore.emitted', fact: fact(requestId) }))
}

/** Returns the containers that wait for this image. */
function containersFor({ requests }: Context, name: string): ContainerRef[] {
  return inPhase(requests, 'awaiting').flatMap((one) => (one.name === name ? [one.container] : []))
}

/** Returns the requests without those that this image answers, whether it is ready or failed. */
function withoutAnswered({ requests, defaultImage }: Context, name: string): Requests<ImageRequest> {
  return end(requests, (one) => (one.phase === 'awaiting' ? one.name === name : name === defaultImage))
}

function isBuilding({ requestId }: RequestId): (one: ImageRequest) => boolean {
  return (one) => one.phase === 'building' && one.requestId === requestId
}

const byDefault = ({ context }: { context: Context }) => ({ name: context.defaultImage })

/**
 * Manages the images that this node lends. Each is prepared once for all requests, and again if it failed or the
 * engine no longer has it.
 */
export const imageStoreMachine = setup({
  types: {
    context: {} as Context,
    input: {} as { parent: AnyActorRef; defaultImage: string },
    events: {} as ImageStoreAccepts | ImageEmits,
  },
  actors: { image: imageMachine },
  guards: {
    isKnown: ({ context }, { name }: { name: string }) => context.images[name] !== undefined,
    isReady: ({ context }, { name, again = false }: { name: string; again?: boolean }) =>
      context.images[name]?.ready != null && !again,
    isRepeatedBuild: ({ context }, request: RequestId) => context.requests.some(isBuilding(request)),
    isLastBuilding: ({ context }, request: RequestId) =>
      context.requests.some((one) => isBuilding(request)(one) && one.waiters === 1),
  },
  actions: {
    prepare: assign({
      images: ({ context: { images }, self, spawn }, { name }: { name: string }) => ({
        ...images,
        [name]: { ref: spawn('image', { id: name, input: { name, parent: self } }), ready: null },
      }),
    }),
    /** Checks an image again, because its folder may have changed or the engine may have lost it. */
    check: enqueueActions(({ context: { images }, enqueue }, { name }: { name: string }) => {
      const image = images[name]
      if (!image) return
      enqueue.sendTo(image.ref, { type: 'check' })
      enqueue.assign({ images: { ...images, [name]: { ...image, ready: null } } })
    }),
    beginBuilding: assign({
      requests: ({ context }, { requestId }: RequestId) =>
        begin<ImageRequest>(context.requests, { requestId, phase: 'building' }),
    }),
    joinBuilding: assign({
      requests: ({ context }, request: RequestId) => join(context.requests, isBuilding(request)),
    }),
    leaveBuilding: assign({
      requests: ({ context }, request: RequestId) => leave(context.requests, isBuilding(request)),
    }),
    endBuilding: assign({ requests: ({ context }, request: RequestId) => end(context.requests, isBuilding(request)) }),
    beginAwaiting: assign({
      requests: ({ context }, { name, container }: Request) =>
        begin<ImageRequest>(context.requests, { requestId: container.id, phase: 'awaiting', name, container }),
    }),
    notifyContainer: sendTo(
      (_, { container }: Request) => container,
      ({ context }, { name }: Request) => ({
        type: 'image.ready' as const,
        image: context.images[name]?.ready as ContainerImage,
      }),
    ),
    notifyLine: enqueueActions(({ context, enqueue }, { name, line }: { name: string; line: string }) => {
      for (const container of containersFor(context, name)) enqueue.sendTo(container, { type: 'image.line', line })
      for (const event of facts(context, name, (requestId) => ({ type: 'image.progress', requestId, line })))
        enqueue.sendTo(context.parent, event)
    }),
    notifyReady: enqueueActions(({ context, enqueue }, { name, image }: { name: string; image: ContainerImage }) => {
      const here = context.images[name]
      if (!here) return
      for (const container of containersFor(context, name)) enqueue.sendTo(container, { type: 'image.ready', image })
      for (const event of facts(context, name, (requestId) => ({ type: 'image.built', requestId, image: image.tag })))
        enqueue.sendTo(context.parent, event)
      enqueue.assign({
        images: { ...context.images, [name]: { ...here, ready: image } },
        requests: withoutAnswered(context, name),
      })
    }),
    notifyFailed: enqueueActions(({ context, enqueue }, { name, failure }: { name: string; failure: Failure }) => {
      const { [name]: here, ...images } = context.images
      for (const container of containersFor(context, name)) enqueue.sendTo(container, { type: 'image.failed', failure })
      for (const event of facts(context, name, (requestId) => ({ type: 'image.buildFailed', requestId, ...failure })))
        enqueue.sendTo(context.parent, event)
      enqueue.assign({ images, requests: withoutAnswered(context, name) })
      if (here) enqueue.stopChild(here.ref)
    }),
  },
}).createMachine({
  id: 'imageStore',
  context: ({ input }) => ({ ...input, images: {}, requests: [] }),
  on: {
    'imageStore.prepare': [
      { guard: { type: 'isKnown', params: byDefault } },
      { actions: { type: 'prepare', params: byDefault } },
    ],
    'imageStore.build': [
      {
        guard: { type: 'isRepeatedBuild', params: ({ event }) => event },
        actions: { type: 'joinBuilding', params: ({ event }) => event },
      },
      {
        guard: { type: 'isReady', params: byDefault },
        actions: [
          { type: 'beginBuilding', params: ({ event }) => event },
          { type: 'check', params: byDefault },
        ],
      },
      {
        guard: { type: 'isKnown', params: byDefault },
        actions: { type: 'beginBuilding', params: ({ event }) => event },
      },
      {
        actions: [
          { type: 'beginBuilding', params: ({ event }) => event },
          { type: 'prepare', params: byDefault },
        ],
      },
    ],
    'imageStore.request': [
      {
        guard: { type: 'isReady', params: ({ event }) => event },
        actions: { type: 'notifyContainer', params: ({ event }) => event },
      },
      {
        guard: { type: 'isReady', params: ({ event: { name } }) => ({ name }) },
        actions: [
          { type: 'beginAwaiting', params: ({ event }) => event },
          { type: 'check', params: ({ event }) => event },
        ],
      },
      {
        guard: { type: 'isKnown', params: ({ event }) => event },
        actions: { type: 'beginAwaiting', params: ({ event }) => event },
      },
      {
        actions: [
          { type: 'beginAwaiting', params: ({ event }) => event },
          { type: 'prepare', params: ({ event }) => event },
        ],
      },
    ],
    // The build continues, because a container may wait for the image and the next request is answered sooner.
    'imageStore.abandon': [
      {
        guard: { type: 'isLastBuilding', params: ({ event }) => event },
        actions: { type: 'endBuilding', params: ({ event }) => event },
      },
      { actions: { type: 'leaveBuilding', params: ({ event }) => event } },
    ],
    'image.line': { actions: { type: 'notifyLine', params: ({ event }) => event } },
    'image.ready': { actions: { type: 'notifyReady', params: ({ event }) => event } },
    'image.failed': { actions: { type: 'notifyFailed', params: ({ event }) => event } },
  },
  options: { maxIterations: 1_000 },
})
