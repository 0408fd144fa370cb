import { randomBytes } from 'node:crypto'
import { fromPromise } from 'xstate'
import type {
  ContainerRequest,
  ContainerSpec,
  CreatedContainer,
  Credentials,
} from '../../machines/containerManager/containerTypes.ts'
import type { ContainerImage } from '../../machines/image.ts'
import type { ContainerReply, Port } from '../../protocol/containerManager.ts'
import { EXTRA_PORTS_MAX } from '../../protocol/defaults/containerManager.ts'
import { AppError, toAppError } from '../../protocol/errors.ts'
import type { ContainerId } from '../../protocol/ids.ts'
import { Secret } from '../../protocol/secret.ts'
import type { Engine } from '../engine/engine.ts'
import { keyLimits, makeSshKeyPair, parsePublicKey, weakRsaBits } from '../identity.ts'
import { type ContainerLimits, keysArchive, PENDING, toCreateOptions, toReply } from './containerSpec.ts'
import type { HostPorts } from './hostPorts.ts'
import { waitForBanner } from './sshBanner.ts'

/** A password has 144 bits. No character of base64url is special in a shell, in a URL or to `chpasswd`. */
const PASSWORD_BYTES = 18

interface Dependencies {
  engine: Engine
  nodeId: string
  limits: ContainerLimits
  ports: HostPorts
}

/**
 * The effects of a container's lifecycle. Those of one container run one after another, even if its machine has been stopped.
 * `rollBack` removes the containers that were being created when the concern stopped, so that a clean stop leaves none behind.
 */
export function containerSteps({ engine, nodeId, limits, ports }: Dependencies) {
  const serialize = keyedQueue()
  /** Names of containers that may exist on the engine and have not been reported to any borrower. */
  const pending = new Set<string>()

  const createCredentials = fromPromise<Credentials, ContainerRequest>(async ({ input: request }) => {
    const value = request.ports + request.udpPorts
    if (value > EXTRA_PORTS_MAX)
      throw new AppError('bad_request', {
        why: `A container gets at most ${EXTRA_PORTS_MAX} ports, TCP and UDP together, not ${value}`,
      })
    const borrower = request.key ? parsePublicKey(request.key, keyLimits(request.caller)) : undefined
    const weakKeyBits = borrower && weakRsaBits(borrower)
    const containerName = `p2prc-${randomBytes(6).toString('hex')}`
    const { privateKey, publicKey } = makeSshKeyPair('')
    return {
      containerName,
      publicKey: borrower ? `${borrower.key} ${borrower.comment}`.trimEnd() : '',
      hostKey: { private: new Secret(privateKey), public: publicKey },
      ...(weakKeyBits && { weakKeyBits }),
    }
  })

  const allocatePorts = fromPromise<
    Port[],
    { containerName: string; request: ContainerRequest; image: ContainerImage }
  >(({ input: { containerName, request, image } }) =>
    serialize(containerName, () => reservePorts(ports, containerName, request, image)),
  )

  const create = fromPromise<CreatedContainer, ContainerSpec>(({ input: spec }) =>
    serialize(spec.credentials.containerName, async () => {
      const { request, credentials, image } = spec
      pending.add(credentials.containerName)
      const id = await engine.create(
        `${credentials.containerName}${PENDING}`,
        toCreateOptions(spec, { nodeId, limits }),
      )
      const { publicKey, hostKey } = credentials
      const of = { publicKey, hostKey: hostKey.public, tag: image.tag, gpu: request.gpu, ports: spec.ports }
      const reply = toReply(id, of)
      return { id: reply.ID, createdAt: Date.now(), reply }
    }),
  )

  const injectKeys = fromPromise<void, { id: ContainerId; credentials: Credentials }>(
    ({ input: { id, credentials } }) =>
      serialize(credentials.containerName, async () => engine.putArchive(id, await keysArchive(credentials))),
  )

  const start = fromPromise<void, { id: ContainerId; containerName: string }>(({ input: { id, containerName } }) =>
    serialize(containerName, () => engine.start(id)),
  )

  const awaitSsh = fromPromise<ContainerReply, { containerName: string; created: CreatedContainer }>(
    ({ input: { containerName, created }, signal }) =>
      serialize(containerName, async () => {
        const failing = new AbortController()
        const banner = waitForBanner(
          { host: engine.host, port: sshPort(created.reply) },
          AbortSignal.any([signal, failing.signal]),
        )
        const configured = withPassword(engine, created).then(async (reply) => {
          await engine.rename(created.id, containerName)
          return reply
        })
        configured.catch(() => failing.abort())
        // The engine's error is more precise than the timeout of the banner.
        const [reply, bannerResult] = await Promise.allSettled([configured, banner])
        if (reply.status === 'rejected') throw endedEarly(reply.reason)
        if (bannerResult.status === 'rejected') throw bannerResult.reason
        // The machine that would handle this error may have been stopped.
        if (!signal.aborted) pending.delete(containerName)
        return reply.value
      }),
  )

  const renewReply = fromPromise<ContainerReply, { created: CreatedContainer }>(({ input: { created } }) =>
    withPassword(engine, created),
  )

  const removeAll = ({ containerName, id }: { containerName: string; id: ContainerId | null }) =>
    serialize(containerName, async () => {
      // The engine has not received any request yet.
      if (!containerName || (!id && !ports.has(containerName))) return
      // Without the reply, the id is not known, so the container is removed by name, under both names in case it was being renamed.
      for (const one of id ? [id] : [`${containerName}${PENDING}`, containerName]) await engine.remove(one)
      await engine.removeVolume(containerName)
      ports.release(containerName)
      pending.delete(containerName)
    })

  const remove = fromPromise<void, { containerName: string; id: ContainerId | null }>(({ input }) => removeAll(input))

  return {
    logic: { createCredentials, allocatePorts, create, injectKeys, start, awaitSsh, renewReply, remove },
    rollBack: () => Promise.allSettled([...pending].map((containerName) => removeAll({ containerName, id: null }))),
  }
}

/** A container that stops while it is being created has failed. */
function endedEarly(error: unknown): unknown {
  return toAppError(error).code === 'container_stopped'
    ? new AppError('ssh_failed', { why: 'it ended at once' }, error)
    : error
}

async function reservePorts(
  ports: HostPorts,
  containerName: string,
  request: ContainerRequest,
  image: ContainerImage,
): Promise<Port[]> {
  const extra = [...Array<'tcp'>(request.ports).fill('tcp'), ...Array<'udp'>(request.udpPorts).fill('udp')]
  const protocols = [...image.ports.map(({ Type }) => Type), ...extra]
  const inside = image.ports.map(({ InternalPort }) => InternalPort)
  const taken = await ports.allocate(containerName, protocols, inside)
  const at = (index: number) => taken[index] as number
  return [
    ...image.ports.map(({ PortName, InternalPort, Type, Description }, index) => {
      return { PortName, InternalPort, Type, ExternalPort: at(index), IsUsed: true, Description }
    }),
    ...extra.map((Type, index) => {
      const port = at(image.ports.length + index)
      const Description = `Auto generated ${Type.toUpperCase()} port`
      return { PortName: 'AutoGen Port', InternalPort: port, Type, ExternalPort: port, IsUsed: false, Description }
    }),
  ]
}

/** Sets a new password for a container without a key, because the previous one was not stored and cannot be sent again. */
async function withPassword(engine: Engine, { id, reply }: CreatedContainer): Promise<ContainerReply> {
  if (reply.SSHPublicKey) return reply
  const password = randomBytes(PASSWORD_BYTES).toString('base64url')
  await engine.run(id, ['chpasswd'], `root:${password}\n`)
  return { ...reply, SSHPassword: new Secret(password) }
}

function sshPort({ Ports }: ContainerReply): number {
  return Ports.Port.find(({ PortName }) => PortName === 'SSH')?.ExternalPort ?? 0
}

function keyedQueue() {
  const last = new Map<string, Promise<unknown>>()
  return <T>(containerName: string, work: () => Promise<T>): Promise<T> => {
    const result = (last.get(containerName) ?? Promise.resolve()).then(work)
    const done = result.then(
      () => {},
      () => {},
    )
    last.set(containerName, done)
    done.then(() => {
      if (last.get(containerName) === done) last.delete(containerName)
    })
    return result
  }
}
