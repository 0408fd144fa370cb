import { type ActorRef, type ActorRefFrom, type AnyActorRef, enqueueActions, type Snapshot, setup } from 'xstate'
import type { ContainerManagerSays } from '../../protocol/containerManager.ts'
import type { Failure } from '../../protocol/ids.ts'
import { type GuestImage, type ImageSays, imageMachine } from '../image.ts'
import type { GuestHears } from './guest.ts'

type GuestRef = ActorRef<Snapshot<unknown>, GuestHears>

/** A fact for the container manager to publish. */
export interface ShelfSays {
  type: 'shelf.said'
  fact: ContainerManagerSays
}

export type ShelfHears =
  /** The default image is wanted; `requestId` is '' where nobody waits for it. */
  | { type: 'shelf.build'; requestId: string }
  | { type: 'shelf.abandon'; requestId: string }
  /** `again` where the engine no longer had what was ready. */
  | { type: 'shelf.want'; name: string; again: boolean; guest: GuestRef }

interface Image {
  ref: ActorRefFrom<typeof imageMachine>
  ready: GuestImage | null
  guests: GuestRef[]
}

interface Context {
  parent: AnyActorRef
  defaultImage: string
  images: Readonly<Record<string, Image>>
  builders: string[]
}

/** Facts about the default image, for each request that waits for it, or for nobody in particular. */
function facts<F extends ContainerManagerSays>(
  { builders, defaultImage }: Context,
  name: string,
  fact: (requestId: string) => F,
): ShelfSays[] {
  if (name !== defaultImage) return []
  return (builders.length > 0 ? builders : ['']).map((requestId) => ({ type: 'shelf.said', fact: fact(requestId) }))
}

/** The images that this node lends: each is made ready once, for all who want it, and again where it failed or has gone. */
export const imageShelfMachine = setup({
  types: {
    context: {} as Context,
    input: {} as { parent: AnyActorRef; defaultImage: string },
    events: {} as ShelfHears | ImageSays,
  },
  actors: { image: imageMachine },
  actions: {
    want: enqueueActions(
      (
        { context, enqueue, self },
        { name, again, guest }: { name: string; again: boolean; guest: GuestRef | null },
      ) => {
        const image = context.images[name]
        if (image?.ready && !again) {
          if (guest) enqueue.sendTo(guest, { type: 'image.ready', image: image.ready })
          return
        }
        if (image?.ready) enqueue.sendTo(image.ref, { type: 'check' })
        const guests = [...(image?.guests ?? []), ...(guest ? [guest] : [])]
        enqueue.assign(({ context: { images }, spawn }) => {
          const ref = image?.ref ?? spawn('image', { id: name, input: { name, parent: self } })
          return { images: { ...images, [name]: { ref, ready: null, guests } } }
        })
      },
    ),
    addBuilder: enqueueActions(({ context, enqueue }, { requestId }: { requestId: string }) => {
      if (requestId) enqueue.assign({ builders: [...context.builders, requestId] })
    }),
    dropBuilder: enqueueActions(({ context, enqueue }, { requestId }: { requestId: string }) => {
      enqueue.assign({ builders: context.builders.filter((id) => id !== requestId) })
    }),
    tellLine: enqueueActions(({ context, enqueue }, { name, line }: { name: string; line: string }) => {
      for (const guest of context.images[name]?.guests ?? []) enqueue.sendTo(guest, { type: 'image.line', line })
      for (const said of facts(context, name, (requestId) => ({ type: 'image.progress', requestId, line })))
        enqueue.sendTo(context.parent, said)
    }),
    tellReady: enqueueActions(({ context, enqueue }, { name, image }: { name: string; image: GuestImage }) => {
      const here = context.images[name]
      if (!here) return
      for (const guest of here.guests) enqueue.sendTo(guest, { type: 'image.ready', image })
      for (const said of facts(context, name, (requestId) => ({ type: 'image.built', requestId, image: image.tag })))
        enqueue.sendTo(context.parent, said)
      enqueue.assign({ images: { ...context.images, [name]: { ...here, ready: image, guests: [] } } })
      if (name === context.defaultImage) enqueue.assign({ builders: [] })
    }),
    tellFailed: enqueueActions(({ context, enqueue }, { name, failure }: { name: string; failure: Failure }) => {
      const { [name]: here, ...images } = context.images
      for (const guest of here?.guests ?? []) enqueue.sendTo(guest, { type: 'image.failed', failure })
      for (const said of facts(context, name, (requestId) => ({ type: 'image.buildFailed', requestId, ...failure })))
        enqueue.sendTo(context.parent, said)
      enqueue.assign({ images })
      if (here) enqueue.stopChild(here.ref)
      if (name === context.defaultImage) enqueue.assign({ builders: [] })
    }),
  },
}).createMachine({
  id: 'imageShelf',
  context: ({ input }) => ({ ...input, images: {}, builders: [] }),
  on: {
    'shelf.want': { actions: { type: 'want', params: ({ event }) => event } },
    'shelf.build': {
      actions: [
        { type: 'addBuilder', params: ({ event }) => event },
        {
          type: 'want',
          // Asked for by name, a ready one is looked at again: its folder may have changed.
          params: ({ context, event }) => ({ name: context.defaultImage, again: event.requestId !== '', guest: null }),
        },
      ],
    },
    'shelf.abandon': { actions: { type: 'dropBuilder', params: ({ event }) => event } },
    'image.line': { actions: { type: 'tellLine', params: ({ event }) => event } },
    'image.ready': { actions: { type: 'tellReady', params: ({ event }) => event } },
    'image.failed': { actions: { type: 'tellFailed', params: ({ event }) => event } },
  },
  options: { maxIterations: 1_000 },
})
