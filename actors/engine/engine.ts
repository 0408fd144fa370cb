import type { Readable } from 'node:stream'
import type { ContainerCreateOptions } from 'dockerode'

/**
 * What the container manager needs of a container engine, and no more. Every call rejects with an `AppError`:
 * `engine_missing` where the engine does not answer or the connection breaks, also in the middle of an answer;
 * `engine_failed` with the engine's own words where it refuses; or the narrower code that a method names.
 */
export interface Engine {
  /** Where published ports of containers are reached from here. */
  readonly host: string
  /** Whether the engine runs on this machine, so that looking for a free port here means something. */
  readonly local: boolean
  version(signal?: AbortSignal): Promise<string>
  /** Tells of containers with this label from the moment it calls `onOpen`, until the engine goes (rejects) or `signal` aborts. */
  watch(
    label: string,
    on: { open: () => void; event: (event: EngineEvent) => void },
    signal: AbortSignal,
  ): Promise<void>
  /** Containers with this label, stopped ones too. */
  containers(label: string): Promise<EngineContainer[]>
  /** Gives the new container's id. Rejects with `image_failed` where the engine no longer has the image. */
  create(name: string, spec: ContainerCreateOptions): Promise<string>
  /** Unpacks a tar over the container's root folder; it need not run. */
  putArchive(id: string, tar: Buffer): Promise<void>
  /** Rejects with `ports_exhausted` where a port is taken, `gpu_missing` where there is no GPU to give. */
  start(id: string): Promise<void>
  rename(id: string, name: string): Promise<void>
  /** Ends and removes it, by id or name. One that is gone is no error. Resolves when it is really gone. */
  remove(idOrName: string): Promise<void>
  /**
   * Runs a program in the container, without a shell, with `stdin` as its whole input. Rejects unless it exits with 0,
   * with `container_stopped` where the container does not run.
   */
  run(id: string, program: readonly string[], stdin: string): Promise<void>
  logs(
    id: string,
    options: { follow: boolean; tail: number },
    onLine: (stream: 'stdout' | 'stderr', line: string) => void,
    signal: AbortSignal,
  ): Promise<void>
  volumes(label: string): Promise<EngineVolume[]>
  /** One that is gone is no error. */
  removeVolume(name: string): Promise<void>
  /** Makes the bridge network unless it is there. Rejects where one of that name has other options. */
  ensureNetwork(name: string, options: Record<string, string>): Promise<void>
  hasImage(reference: string): Promise<boolean>
  /** Images with this label. */
  images(label: string): Promise<EngineImage[]>
  /** Rejects where the engine will not, because a container uses it. */
  removeImage(reference: string): Promise<void>
  pull(reference: string, onLine: (line: string) => void, signal: AbortSignal): Promise<void>
  /** Builds from a folder as tar. Rejects with `image_failed` and the build's last words. */
  build(tar: Buffer, options: BuildOptions, onLine: (line: string) => void, signal: AbortSignal): Promise<void>
  /** Makes an image of a root file system as tar, `name` being `repository:tag`. */
  importImage(tar: Readable, name: string, onLine: (line: string) => void, signal: AbortSignal): Promise<void>
}

/** What happened to a container, in Docker's words: `create`, `start`, `die`, `destroy` and others. */
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
