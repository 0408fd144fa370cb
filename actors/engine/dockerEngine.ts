import type { Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { setTimeout as pause } from 'node:timers/promises'
import Docker from 'dockerode'
import { AppError } from '../../protocol/errors.ts'
import { lineSplitter } from '../lines.ts'
import type { Engine } from './engine.ts'
import {
  call,
  connectionLost,
  EngineAgent,
  exists,
  followBuild,
  type ResponseError,
  readJson,
  retryRemoval,
  untilClosed,
} from './engineCalls.ts'

/** Number and interval of the polls for the exit code of a program whose streams have ended, before it counts as stuck. */
const EXIT_POLLS = 2_000
const EXIT_POLL_MS = 5

/** The messages of Docker and Podman for refusals that have an error code of their own. */
const PORT_TAKEN = /port is already allocated|address already in use/i
const GPU_MISSING = /could not select device driver|nvidia|unresolvable CDI devices/i
const NOT_RUNNING = /is not running|is paused|is restarting|running containers/i
const NO_SUCH_IMAGE = /no such image/i

/**
 * Connects to Docker or Podman at `socketPath`, else at `DOCKER_HOST`, else at Docker's default socket. Nothing is opened
 * before the first call. Throws `engine_missing` if `DOCKER_HOST` is not an address.
 */
export function createDockerEngine({ socketPath }: { socketPath?: string } = {}): Engine {
  const docker = connect(socketPath)
  const { host } = docker.modem as { host?: string }
  let podman = false

  return {
    host: host ?? '127.0.0.1',
    local: host === undefined,

    version: (abortSignal) =>
      call(async () => {
        const version = docker.version as (options: object) => Promise<DockerVersion>
        const { Version, Components = [] } = await version.call(docker, { abortSignal })
        podman = Components.some(({ Name }) => Name.startsWith('Podman'))
        return Version
      }),

    watch: (label, on, abortSignal) =>
      call(async () => {
        const filters = { type: ['container'], label: [label] }
        const stream = (await docker.getEvents({ filters, abortSignal } as object)) as Readable
        on.open()
        await readJson<DockerEvent>(stream, abortSignal, ({ Action, Actor: { ID, Attributes } }) =>
          on.event({ action: Action, id: ID, name: Attributes.name ?? '', labels: Attributes }),
        )
        if (!abortSignal.aborted) throw connectionLost('it ended the stream of its events')
      }),

    containers: (label) =>
      call(async () => {
        const found = await docker.listContainers({ all: true, filters: { label: [label] } })
        return found.map(({ Id, Names, State, Labels, Created }) => ({
          id: Id,
          name: (Names[0] ?? '').replace(/^\//, ''),
          running: State === 'running',
          labels: Labels,
          createdAt: Created * 1_000,
        }))
      }),

    create: (name, spec) =>
      call(
        async () => (await docker.createContainer({ ...(podman ? forPodman(spec) : spec), name })).id,
        (why) => NO_SUCH_IMAGE.test(why) && new AppError('image_failed', { why: 'the engine no longer has it' }),
      ),

    putArchive: (id, tar) => call(async () => void (await docker.getContainer(id).putArchive(tar, { path: '/' }))),

    start: (id) =>
      call(
        async () => void (await docker.getContainer(id).start()),
        (why) =>
          (PORT_TAKEN.test(why) && new AppError('ports_exhausted', { count: 1 })) ||
          (GPU_MISSING.test(why) && new AppError('gpu_missing', { why })),
      ),

    rename: (id, name) => call(async () => void (await docker.getContainer(id).rename({ name }))),

    remove: (idOrName) =>
      retryRemoval(() => docker.getContainer(idOrName).remove({ force: true, v: true }) as Promise<unknown>),

    run: (id, program, stdin) =>
      call(
        async () => {
          const task = await docker.getContainer(id).exec({ Cmd: [...program], AttachStdin: true, AttachStdout: true })
          const stream = await task.start({ hijack: true, stdin: true })
          const done = finished(stream, { writable: false })
          stream.resume().end(stdin)
          await done
          const ExitCode = await exitCode(task)
          if (ExitCode !== 0)
            throw new AppError('engine_failed', { why: `${program[0]} in the container ended with ${ExitCode}` })
        },
        (why) => NOT_RUNNING.test(why) && new AppError('container_stopped', { why }),
      ),

    logs: (id, options, onLine, abortSignal) =>
      call(async () => {
        const stream = await dial(docker, `/containers/${encodeURIComponent(id)}/logs?`, {
          ...options,
          stdout: true,
          stderr: true,
          abortSignal,
        })
        const stdout = lineSplitter((line) => onLine('stdout', line))
        const stderr = lineSplitter((line) => onLine('stderr', line))
        docker.modem.demuxStream(
          stream,
          stdout as unknown as NodeJS.WritableStream,
          stderr as unknown as NodeJS.WritableStream,
        )
        await untilClosed(stream, abortSignal)
        stdout.end()
        stderr.end()
      }),

    volumes: (label) =>
      call(async () => {
        const { Volumes } = await docker.listVolumes({ filters: { label: [label] } } as object)
        return (Volumes ?? []).map(({ Name, Labels }) => ({ name: Name, labels: Labels ?? {} }))
      }),

    removeVolume: (name) => retryRemoval(() => docker.getVolume(name).remove() as Promise<unknown>),

    ensureNetwork: (Name, Options) =>
      call(async () => {
        const checkOptions = async () => {
          const { Options: present } = (await docker.getNetwork(Name).inspect()) as { Options: Record<string, string> }
          if (Object.entries(Options).every(([name, value]) => present[name] === value)) return
          throw new AppError('engine_failed', {
            why: `its network ${Name} has other settings than ours; remove that network`,
          })
        }
        if (await exists(checkOptions)) return
        const network = { Name, Driver: 'bridge', CheckDuplicate: true, Options }
        await docker.createNetwork(network).catch(async (error: ResponseError) => {
          // Another node on this machine may have created the network meanwhile, for which engines have several messages.
          if (error.statusCode === undefined || !(await exists(checkOptions))) throw error
        })
      }),

    hasImage: (reference) => call(() => exists(() => docker.getImage(reference).inspect())),

    images: (label) =>
      call(async () => {
        const found = await docker.listImages({ filters: { label: [label] } } as object)
        return found.map(({ Id, RepoTags, Labels }) => ({ id: Id, tags: RepoTags ?? [], labels: Labels ?? {} }))
      }),

    removeImage: (reference) => call(async () => void (await docker.getImage(reference).remove())),

    pull: (reference, onLine, abortSignal) =>
      call(async () => followBuild(await docker.pull(reference, { abortSignal }), onLine, abortSignal)),

    build: (tar, { tag, args, labels }, onLine, abortSignal) =>
      call(
        async () => {
          const options = { t: tag, buildargs: args, labels, rm: true, forcerm: true, abortSignal }
          await followBuild(
            await docker.buildImage(tar as unknown as NodeJS.ReadableStream, options as object),
            onLine,
            abortSignal,
          )
        },
        (why) => new AppError('image_failed', { why }),
      ),

    importImage: (tar, name, onLine, abortSignal) =>
      call(async () => {
        const [repo, imageTag] = name.split(':')
        const options = { repo, tag: imageTag, abortSignal }
        await followBuild((await docker.importImage(tar, options as object)) as Readable, onLine, abortSignal)
      }),
  }
}

function connect(socketPath?: string): Docker {
  const agent = new EngineAgent()
  try {
    return new Docker({ agent, ...(socketPath && { socketPath, host: undefined }) } as Docker.DockerOptions)
  } catch (error) {
    throw new AppError('engine_missing', { why: (error as Error).message }, error)
  }
}

/** Polls for the exit code of a program, because its streams may end before the engine knows the code. */
async function exitCode(task: Docker.Exec): Promise<number | null> {
  for (let polls = 0; ; polls += 1) {
    const { Running, ExitCode } = await task.inspect()
    if (!Running || polls === EXIT_POLLS) return ExitCode
    await pause(EXIT_POLL_MS)
  }
}

interface DockerVersion {
  Version: string
  Components?: { Name: string }[]
}

/** Adds the capability that Podman requires for ports below 1,024. Docker allows them to every user in a container. */
function forPodman(spec: Docker.ContainerCreateOptions): Docker.ContainerCreateOptions {
  const { HostConfig = {} } = spec
  return { ...spec, HostConfig: { ...HostConfig, CapAdd: [...(HostConfig.CapAdd ?? []), 'NET_BIND_SERVICE'] } }
}

interface DockerEvent {
  Action: string
  Actor: { ID: string; Attributes: Record<string, string> }
}

/** Makes a GET call whose response is a stream. For logs without `follow`, the client itself would hold the whole response in memory. */
function dial(docker: Docker, path: string, options: object): Promise<Readable> {
  const statusCodes = { 200: true, 404: 'no such container', 500: 'server error' }
  const { abortSignal } = options as { abortSignal?: AbortSignal }
  return new Promise((resolve, reject) =>
    docker.modem.dial(
      { path, method: 'GET', isStream: true, statusCodes, options, abortSignal },
      (error: Error | null, stream: unknown) => (error ? reject(error) : resolve(stream as Readable)),
    ),
  )
}
