import { setTimeout as pause } from 'node:timers/promises'
import { fromCallback, fromPromise } from 'xstate'
import { containerMachine } from '../machines/container.ts'
import type { LinkSays, LogsInput, LogsSay } from '../machines/containerManager/guest.ts'
import { imageShelfMachine } from '../machines/containerManager/imageShelf.ts'
import { containerManagerMachine } from '../machines/containerManager.ts'
import { type GuestImage, type ImageStepSays, imageMachine } from '../machines/image.ts'
import { CONTAINERS_MAX, GUEST, GUEST_PORTS, TAKE_BACK_MS } from '../protocol/defaults.ts'
import { toFailure } from '../protocol/errors.ts'
import { linkEngine } from './containerManager/containerLink.ts'
import type { Engine } from './containerManager/engine.ts'
import { findBase } from './containerManager/guestBase.ts'
import { buildImage, collectImages, inspectImage } from './containerManager/guestImage.ts'
import { createGuestPorts } from './containerManager/guestPorts.ts'
import type { GuestLimits } from './containerManager/guestSpec.ts'
import { guestSteps } from './containerManager/guestSteps.ts'
import type { ConcernParts } from './supervise.ts'

/** The image that is lent where none is named. */
const DEFAULT_IMAGE = 'ssh'

export interface ContainerManagerOptions {
  engine: Engine
  /** This node's id. Guests are labelled with it, and only those with it are touched. */
  nodeId: string
  /** Folder of image folders; `ssh` in it is the default image. */
  imagesDir: string
  limits?: GuestLimits
  maxContainers?: number
  /** Name of the image folder to use where none is named. */
  defaultImage?: string
  /** False in a process without a node, which looks for an engine only when something is asked. */
  background?: boolean
}

export interface ContainerManagerParts extends ConcernParts<typeof containerManagerMachine> {
  /** Called after the last life: resolves when what that was making is taken back, or after `TAKE_BACK_MS`. */
  settled(): Promise<void>
}

/**
 * Lends containers on this machine's engine. Builds the default image as soon as the engine answers, adopts the guests
 * that an earlier life of this node left running, and takes back those that it left half made.
 */
export function createContainerManager({
  engine,
  nodeId,
  imagesDir,
  limits = GUEST,
  maxContainers = CONTAINERS_MAX,
  defaultImage = DEFAULT_IMAGE,
  background = true,
}: ContainerManagerOptions): ContainerManagerParts {
  // What is free on a far engine's machine shows only when a guest starts there.
  const ports = createGuestPorts({ ...GUEST_PORTS, ...(!engine.local && { isFree: async () => true }) })
  const steps = guestSteps({ engine, nodeId, limits, ports })
  // A crash of the machine stops none of its children, so what they have open heeds the life's own signal too.
  let life: AbortSignal = AbortSignal.abort()

  /** Work that ends with the child that invoked it, as callback logic wants it. */
  const during = (work: (signal: AbortSignal) => Promise<void>, onError: (error: unknown) => void) => {
    const child = new AbortController()
    const signal = AbortSignal.any([child.signal, life])
    work(signal).catch((error) => {
      if (!signal.aborted) onError(error)
    })
    return () => child.abort()
  }

  const step = <Input>(work: (input: Input, onLine: (line: string) => void, signal: AbortSignal) => Promise<string>) =>
    fromCallback<ImageStepSays, Input>(({ input, sendBack }) =>
      during(
        async (signal) => {
          const base = await work(input, (line) => sendBack({ type: 'step.line', line }), signal)
          sendBack({ type: 'step.done', base })
        },
        (error) => sendBack({ type: 'step.failed', failure: toFailure(error) }),
      ),
    )

  const image = imageMachine.provide({
    actors: {
      inspect: fromPromise<GuestImage, { name: string }>(({ input }) => inspectImage(engine, imagesDir, input.name)),
      findBase: step<object>((_, onLine, signal) => findBase({ engine }, { onLine, signal })),
      build: step<{ image: GuestImage; base: string }>(async (input, onLine, signal) => {
        await buildImage({ engine, imagesDir }, input.image, input.base, onLine, signal)
        return input.base
      }),
      collect: fromPromise<void, { image: GuestImage }>(({ input }) => collectImages(engine, input.image)),
    },
  })

  const link = fromCallback<LinkSays>(({ sendBack }) =>
    during(
      (signal) => linkEngine({ engine, nodeId, ports }, sendBack, signal),
      (error) => sendBack({ type: 'link.lost', failure: toFailure(error) }),
    ),
  )

  const readLogs = fromCallback<LogsSay, LogsInput>(({ input: { requestId, id, follow, tail }, sendBack }) =>
    during(
      async (signal) => {
        const onLine = (stream: 'stdout' | 'stderr', line: string) =>
          sendBack({ type: 'logs.line', requestId, stream, line })
        await engine.logs(id, { follow, tail }, onLine, signal)
        sendBack({ type: 'logs.ended', requestId })
      },
      (error) => sendBack({ type: 'logs.failed', requestId, failure: toFailure(error) }),
    ),
  )

  return {
    name: 'containerManager',
    logic: containerManagerMachine.provide({
      actors: {
        container: containerMachine.provide({ actors: steps.logic }),
        shelf: imageShelfMachine.provide({ actors: { image } }),
        link,
        readLogs,
      },
    }),
    input: (signal) => {
      life = signal
      return { maxContainers, defaultImage, background }
    },
    hears: [
      'container.create',
      'container.remove',
      'container.list',
      'container.logs',
      'image.build',
      'request.abandoned',
    ],
    async settled() {
      const late = new AbortController()
      const waited = pause(TAKE_BACK_MS, undefined, { signal: late.signal }).catch(() => {})
      await Promise.race([steps.takeBack(), waited])
      late.abort()
    },
  }
}
