import type { Readable } from 'node:stream'
import type { ContainerCreateOptions } from 'dockerode'

/**
 * The part of a container engine that the container manager needs. Every call rejects with an `AppError`: `engine_missing`
 * if the engine does not respond or the connection breaks, `engine_failed` with the engine's message if it refuses, or the
 * narrower code that a method names.
 */
export interface Engine {
  /** The host at which this node reaches the published ports of containers. */
  readonly host: string
  /** Whether the engine runs on this machine, so that a port that is free here is free there. */
  readonly local: boolean
  version(signal?: AbortSignal): Promise<string>
  /** Reports events of containers with this label, from the call of `onOpen` until `signal` aborts. Rejects if the engine goes away. */
  watch(
    label: string,
    on: { open: () => void; event: (event: EngineEvent) => void },
    signal: AbortSignal,
  ): Promise<void>
  /** Lists the containers with this label, stopped ones included. */
  containers(label: string): Promise<EngineContainer[]>
  /** Creates a container and returns its id. Rejects with `image_failed` if the engine no longer has the image. */
  create(name: string, spec: ContainerCreateOptions): Promise<string>
  /** Unpacks a tar archive into the container's root folder. The container need not be running. */
  putArchive(id: string, tar: Buffer): Promise<void>
  /** Starts a container. Rejects with `ports_exhausted` if a port is taken, and with `gpu_missing` if there is no GPU. */
  start(id: string): Promise<void>
  rename(id: string, name: string): Promise<void>
  /** Stops and removes a container by id or name, and resolves when it no longer exists. A missing container is not an error. */
  remove(idOrName: string): Promise<void>
  /**
   * Runs a program in a container, without a shell, with `stdin` as its whole input. Rejects if its exit code is not 0, and
   * with `container_stopped` if the container is not running.
   */
  run(id: string, program: readonly string[], stdin: string): Promise<void>
  logs(
    id: string,
    options: { follow: boolean; tail: number },
    onLine: (stream: 'stdout' | 'stderr', line: string) => void,
    signal: AbortSignal,
  ): Promise<void>
  volumes(label: string): Promise<EngineVolume[]>
  /** Removes a volume. A missing volume is not an error. */
  removeVolume(name: string): Promise<void>
  /** Creates the bridge network if it does not exist. Rejects if a network of that name has other options. */
  ensureNetwork(name: string, options: Record<string, string>): Promise<void>
  hasImage(reference: string): Promise<boolean>
  /** Lists the images with this label. */
  images(label: string): Promise<EngineImage[]>
  /** Removes an image. Rejects if a container uses it. */
  removeImage(reference: string): Promise<void>
  pull(reference: string, onLine: (line: string) => void, signal: AbortSignal): Promise<void>
  /** Builds an image from a folder in a tar archive. Rejects with `image_failed` and the last lines of the build. */
  build(tar: Buffer, options: BuildOptions, onLine: (line: string) => void, signal: AbortSignal): Promise<void>
  /** Imports a root file system in a tar archive as the image `name`, which is `repository:tag`. */
  importImage(tar: Readable, name: string, onLine: (line: string) => void, signal: AbortSignal): Promise<void>
}

/** A container event with Docker's action: `create`, `start`, `die`, `destroy` and others. */
export interface EngineEvent {
  action: string
  id: string
  labels: Record<string, string>
  name: string
}

export interface EngineContainer {
  id: string
  name: string
  running: boolean
  labels: Record<string, string>
  /** Milliseconds since 1970. */
  createdAt: number
}

export interface EngineVolume {
  name: string
  labels: Record<string, string>
}

export interface EngineImage {
  id: string
  tags: string[]
  labels: Record<string, string>
}

export interface BuildOptions {
  tag: string
  args: Record<string, string>
  labels: Record<string, string>
}
