import { setTimeout as pause } from 'node:timers/promises'
import { fromCallback, fromPromise } from 'xstate'
import { containerMachine } from '../machines/container.ts'
import type { LinkEmits, LogsEmits, LogsInput } from '../machines/containerManager/containerTypes.ts'
import { imageStoreMachine } from '../machines/containerManager/imageStore.ts'
import { logReaderMachine } from '../machines/containerManager/logReader.ts'
import { containerManagerMachine } from '../machines/containerManager.ts'
import { type ContainerImage, type ImageStepEmits, imageMachine } from '../machines/image.ts'
import { CONTAINER_LIMITS, CONTAINERS_MAX, HOST_PORTS, ROLL_BACK_MS } from '../protocol/defaults/containerManager.ts'
import { toFailure } from '../protocol/errors.ts'
import { linkEngine } from './containerManager/containerLink.ts'
import type { ContainerLimits } from './containerManager/containerSpec.ts'
import { containerSteps } from './containerManager/containerSteps.ts'
import { createHostPorts } from './containerManager/hostPorts.ts'
import { resolveBase } from './engine/baseImage.ts'
import type { Engine } from './engine/engine.ts'
import { buildImage, inspectImage, pruneImages } from './engine/imageBuilder.ts'
import type { ConcernParts } from './supervise.ts'

/** The image that is lent where none is named. */
const DEFAULT_IMAGE = 'ssh'

export interface ContainerManagerOptions {
  engine: Engine
  /** This node's id. Containers are labelled with it, and only those with it are touched. */
  nodeId: string
  /** Folder of image folders; `ssh` in it is the default image. */
  imagesDir: string
  limits?: ContainerLimits
  maxContainers?: number
  /** Name of the image folder to use where none is named. */
  defaultImage?: string
  /** False in a process without a node, which looks for an engine only when something is asked. */
  background?: boolean
}

export interface ContainerManagerParts extends ConcernParts<typeof containerManagerMachine> {
  /** Called after the last life: resolves when what that was creating is rolled back, or after `ROLL_BACK_MS`. */
  settled(): Promise<void>
}

/**
 * Lends containers on this machine's engine. Builds the default image as soon as the engine answers, adopts the containers
 * that an earlier life of this node left running, and rolls back those that it left partly created.
 */
export function createContainerManager({
  engine,
  nodeId,
  imagesDir,
  limits = CONTAINER_LIMITS,
  maxContainers = CONTAINERS_MAX,
  defaultImage = DEFAULT_IMAGE,
  background = true,
}: ContainerManagerOptions): ContainerManagerParts {
  // What is free on a far engine's machine shows only when a container starts there.
  const ports = createHostPorts({ ...HOST_PORTS, ...(!engine.local && { isFree: async () => true }) })
  const steps = containerSteps({ engine, nodeId, limits, ports })
  // A crash of the machine stops none of its children, so what they have open heeds the life's own signal too.
  let scope: AbortSignal = AbortSignal.abort()

  /** Work that ends with the child that invoked it, as callback logic wants it. */
  const during = (work: (signal: AbortSignal) => Promise<void>, onError: (error: unknown) => void) => {
    const child = new AbortController()
    const signal = AbortSignal.any([child.signal, scope])
    work(signal).catch((error) => {
      if (!signal.aborted) onError(error)
    })
    return () => child.abort()
  }

  const step = <Input>(work: (input: Input, onLine: (line: string) => void, signal: AbortSignal) => Promise<string>) =>
    fromCallback<ImageStepEmits, Input>(({ input, sendBack }) =>
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
      inspect: fromPromise<ContainerImage, { name: string }>(({ input }) =>
        inspectImage(engine, imagesDir, input.name),
      ),
      resolveBase: step<object>((_, onLine, signal) => resolveBase({ engine }, { onLine, signal })),
      build: step<{ image: ContainerImage; base: string }>(async (input, onLine, signal) => {
        await buildImage({ engine, imagesDir }, input.image, input.base, onLine, signal)
        return input.base
      }),
      prune: fromPromise<void, { image: ContainerImage }>(({ input }) => pruneImages(engine, input.image)),
    },
  })

  const link = fromCallback<LinkEmits>(({ sendBack }) =>
    during(
      (signal) => linkEngine({ engine, nodeId, ports }, sendBack, signal),
      (error) => sendBack({ type: 'link.lost', failure: toFailure(error) }),
    ),
  )

  const readLogs = fromCallback<LogsEmits, LogsInput>(({ input: { requestId, id, follow, tail }, sendBack }) =>
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
        imageStore: imageStoreMachine.provide({ actors: { image } }),
        link,
        logReader: logReaderMachine.provide({ actors: { readLogs } }),
      },
    }),
    input: (signal) => {
      scope = signal
      return { maxContainers, defaultImage, background }
    },
    async settled() {
      const timer = new AbortController()
      const timeout = pause(ROLL_BACK_MS, undefined, { signal: timer.signal }).catch(() => {})
      await Promise.race([steps.rollBack(), timeout])
      timer.abort()
    },
  }
}
