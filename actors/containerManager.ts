import { setTimeout as pause } from 'node:timers/promises'
import { fromCallback, fromPromise } from 'xstate'
import { containerMachine } from '../machines/container.ts'
import type { LinkEmits, LogsEmits, LogsInput } from '../machines/containerManager/containerTypes.ts'
import { imageStoreMachine } from '../machines/containerManager/imageStore.ts'
import { logReaderMachine } from '../machines/containerManager/logReader.ts'
import { containerManagerMachine } from '../machines/containerManager.ts'
import { type ContainerImage, type ImageStepEmits, imageMachine } from '../machines/image.ts'
import {
  CONTAINER_LIMITS,
  CONTAINERS_MAX,
  HOST_PORTS,
  ROLL_BACK_TIMEOUT_MS,
} from '../protocol/defaults/containerManager.ts'
import { toFailure } from '../protocol/errors.ts'
import { linkEngine } from './containerManager/containerLink.ts'
import type { ContainerLimits } from './containerManager/containerSpec.ts'
import { containerSteps } from './containerManager/containerSteps.ts'
import { createHostPorts } from './containerManager/hostPorts.ts'
import { resolveBase } from './engine/baseImage.ts'
import type { Engine } from './engine/engine.ts'
import { buildImage, inspectImage, pruneImages } from './engine/imageBuilder.ts'
import type { ConcernParts } from './supervise.ts'

/** The image that is lent if a request names none. */
const DEFAULT_IMAGE = 'ssh'

export interface ContainerManagerOptions {
  engine: Engine
  /** The id of this node. It labels its containers with the id, and leaves all others alone. */
  nodeId: string
  /** The folder of image folders, of which `ssh` is the default image. */
  imagesDir: string
  limits?: ContainerLimits
  maxContainers?: number
  /** Name of the image folder to use if a request names none. */
  defaultImage?: string
  /** False in a process without a node, which connects to the engine only on request. */
  background?: boolean
}

export interface ContainerManagerParts extends ConcernParts<typeof containerManagerMachine> {
  /** Called after the concern has stopped. Resolves when containers that were being created are rolled back, or after `ROLL_BACK_TIMEOUT_MS`. */
  settled(): Promise<void>
}

/**
 * Creates the concern that lends containers of the engine. It builds the default image as soon as the engine responds, adopts
 * the containers that an earlier run of this node left running, and rolls back those that were only partly created.
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
  // On a remote engine's machine, only the start of a container shows whether a port is free.
  const ports = createHostPorts({ ...HOST_PORTS, ...(!engine.local && { isFree: async () => true }) })
  const steps = containerSteps({ engine, nodeId, limits, ports })
  // xstate does not stop the children of a machine that crashed, so their resources also close on the signal of the run.
  let scope: AbortSignal = AbortSignal.abort()

  /** Adapts an asynchronous operation to callback logic. The operation ends with the child that invoked it. */
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
      const timeout = pause(ROLL_BACK_TIMEOUT_MS, undefined, { signal: timer.signal }).catch(() => {})
      await Promise.race([steps.rollBack(), timeout])
      timer.abort()
    },
  }
}
