import { type ActorRef, type ActorRefFrom, type AnyActorRef, enqueueActions, type Snapshot, setup } from 'xstate'
import type { ContainerManagerEmits } from '../../protocol/containerManager.ts'
import type { Failure } from '../../protocol/ids.ts'
import { type ContainerImage, type ImageEmits, imageMachine } from '../image.ts'
import type { ContainerAccepts } from './containerTypes.ts'

type ContainerRef = ActorRef<Snapshot<unknown>, ContainerAccepts>

/** A fact for the container manager to publish. */
export interface ImageStoreEmits {
  type: 'imageStore.emitted'
  fact: ContainerManagerEmits
}

export type ImageStoreAccepts =
  /** The default image is wanted; `requestId` is '' where nobody waits for it. */
  | { type: 'imageStore.build'; requestId: string }
  | { type: 'imageStore.abandon'; requestId: string }
  /** `again` where the engine no longer had what was ready. */
  | { type: 'imageStore.request'; name: string; again: boolean; container: ContainerRef }

interface Image {
  ref: ActorRefFrom<typeof imageMachine>
  ready: ContainerImage | null
  waiters: ContainerRef[]
}

interface Context {
  parent: AnyActorRef
  defaultImage: string
  images: Readonly<Record<string, Image>>
  buildRequests: string[]
}

/** Facts about the default image, for each request that waits for it, or for nobody in particular. */
function facts<F extends ContainerManagerEmits>(
  { buildRequests, defaultImage }: Context,
  name: string,
  fact: (requestId: string) => F,
): ImageStoreEmits[] {
  if (name !== defaultImage) return []
  return (buildRequests.length > 0 ? buildRequests : ['']).map((requestId) => ({
    type: 'imageStore.emitted',
    fact: fact(requestId),
  }))
}

/** The images that this node lends: each is made ready once, for all who request it, and again where it failed or has gone. */
export const imageStoreMachine = setup({
  types: {
    context: {} as Context,
    input: {} as { parent: AnyActorRef; defaultImage: string },
    events: {} as ImageStoreAccepts | ImageEmits,
  },
  actors: { image: imageMachine },
  actions: {
    request: enqueueActions(
      (
        { context, enqueue, self },
        { name, again, container }: { name: string; again: boolean; container: ContainerRef | null },
      ) => {
        const image = context.images[name]
        if (image?.ready && !again) {
          if (container) enqueue.sendTo(container, { type: 'image.ready', image: image.ready })
          return
        }
        if (image?.ready) enqueue.sendTo(image.ref, { type: 'check' })
        const waiters = [...(image?.waiters ?? []), ...(container ? [container] : [])]
        enqueue.assign(({ context: { images }, spawn }) => {
          const ref = image?.ref ?? spawn('image', { id: name, input: { name, parent: self } })
          return { images: { ...images, [name]: { ref, ready: null, waiters } } }
        })
      },
    ),
    addBuildRequest: enqueueActions(({ context, enqueue }, { requestId }: { requestId: string }) => {
      if (requestId) enqueue.assign({ buildRequests: [...context.buildRequests, requestId] })
    }),
    removeBuildRequest: enqueueActions(({ context, enqueue }, { requestId }: { requestId: string }) => {
      enqueue.assign({ buildRequests: context.buildRequests.filter((id) => id !== requestId) })
    }),
    notifyLine: enqueueActions(({ context, enqueue }, { name, line }: { name: string; line: string }) => {
      for (const container of context.images[name]?.waiters ?? [])
        enqueue.sendTo(container, { type: 'image.line', line })
      for (const event of facts(context, name, (requestId) => ({ type: 'image.progress', requestId, line })))
        enqueue.sendTo(context.parent, event)
    }),
    notifyReady: enqueueActions(({ context, enqueue }, { name, image }: { name: string; image: ContainerImage }) => {
      const here = context.images[name]
      if (!here) return
      for (const container of here.waiters) enqueue.sendTo(container, { type: 'image.ready', image })
      for (const event of facts(context, name, (requestId) => ({ type: 'image.built', requestId, image: image.tag })))
        enqueue.sendTo(context.parent, event)
      enqueue.assign({ images: { ...context.images, [name]: { ...here, ready: image, waiters: [] } } })
      if (name === context.defaultImage) enqueue.assign({ buildRequests: [] })
    }),
    notifyFailed: enqueueActions(({ context, enqueue }, { name, failure }: { name: string; failure: Failure }) => {
      const { [name]: here, ...images } = context.images
      for (const container of here?.waiters ?? []) enqueue.sendTo(container, { type: 'image.failed', failure })
      for (const event of facts(context, name, (requestId) => ({ type: 'image.buildFailed', requestId, ...failure })))
        enqueue.sendTo(context.parent, event)
      enqueue.assign({ images })
      if (here) enqueue.stopChild(here.ref)
      if (name === context.defaultImage) enqueue.assign({ buildRequests: [] })
    }),
  },
}).createMachine({
  id: 'imageStore',
  context: ({ input }) => ({ ...input, images: {}, buildRequests: [] }),
  on: {
    'imageStore.request': { actions: { type: 'request', params: ({ event }) => event } },
    'imageStore.build': {
      actions: [
        { type: 'addBuildRequest', params: ({ event }) => event },
        {
          type: 'request',
          // Asked for by name, a ready one is looked at again: its folder may have changed.
          params: ({ context, event }) => ({
            name: context.defaultImage,
            again: event.requestId !== '',
            container: null,
          }),
        },
      ],
    },
    'imageStore.abandon': { actions: { type: 'removeBuildRequest', params: ({ event }) => event } },
    'image.line': { actions: { type: 'notifyLine', params: ({ event }) => event } },
    'image.ready': { actions: { type: 'notifyReady', params: ({ event }) => event } },
    'image.failed': { actions: { type: 'notifyFailed', params: ({ event }) => event } },
  },
  options: { maxIterations: 1_000 },
})
