import { randomBytes } from 'node:crypto'
import { fromPromise } from 'xstate'
import type { Made, Plan, Prepared, Wish } from '../../machines/containerManager/guest.ts'
import type { GuestImage } from '../../machines/image.ts'
import type { ContainerReply, Port } from '../../protocol/containerManager.ts'
import { EXTRA_PORTS_MAX } from '../../protocol/defaults.ts'
import { Fault, toFault } from '../../protocol/errors.ts'
import type { ContainerId } from '../../protocol/ids.ts'
import { Secret } from '../../protocol/secret.ts'
import { makeSshKeyPair, parsePublicKey } from '../identity.ts'
import type { Engine } from './engine.ts'
import type { GuestPorts } from './guestPorts.ts'
import { type GuestLimits, guestKeys, guestReply, guestSpec, MAKING } from './guestSpec.ts'
import { waitForBanner } from './sshBanner.ts'

/** 144 bits; base64url has no character that a shell, a URL or `chpasswd` would take for something else. */
const PASSWORD_BYTES = 18

interface World {
  engine: Engine
  nodeId: string
  limits: GuestLimits
  ports: GuestPorts
}

/**
 * The effects of one guest's life. Those of one slug go one after another, whatever the machine has left behind.
 * `takeBack` ends what was being made when the last life ended, so that a clean stop leaves nothing half made.
 */
export function guestSteps({ engine, nodeId, limits, ports }: World) {
  const inTurn = turns()
  /** Slugs of guests that may be on the engine and of which nobody has been told. */
  const making = new Set<string>()

  const prepare = fromPromise<Prepared, Wish>(async ({ input: wish }) => {
    const value = wish.ports + wish.udpPorts
    if (value > EXTRA_PORTS_MAX) throw new Fault('bad_count', { name: 'ports', min: 0, max: EXTRA_PORTS_MAX, value })
    const borrower = wish.key ? parsePublicKey(wish.key) : undefined
    const slug = `p2prc-${randomBytes(6).toString('hex')}`
    const { privateKey, publicKey } = makeSshKeyPair('')
    return {
      slug,
      publicKey: borrower ? `${borrower.key} ${borrower.comment}`.trimEnd() : '',
      hostKey: { private: new Secret(privateKey), public: publicKey },
    }
  })

  const choosePorts = fromPromise<Port[], { slug: string; wish: Wish; image: GuestImage }>(
    ({ input: { slug, wish, image } }) => inTurn(slug, () => takePorts(ports, slug, wish, image)),
  )

  const create = fromPromise<Made, Plan>(({ input: plan }) =>
    inTurn(plan.prepared.slug, async () => {
      const { wish, prepared, image } = plan
      making.add(prepared.slug)
      const id = await engine.create(`${prepared.slug}${MAKING}`, guestSpec(plan, { nodeId, limits }))
      const { publicKey, hostKey } = prepared
      const of = { publicKey, hostKey: hostKey.public, tag: image.tag, gpu: wish.gpu, ports: plan.ports }
      const reply = guestReply(id, of)
      return { id: reply.ID, createdAt: Date.now(), reply }
    }),
  )

  const fill = fromPromise<void, { id: ContainerId; prepared: Prepared }>(({ input: { id, prepared } }) =>
    inTurn(prepared.slug, async () => engine.put(id, await guestKeys(prepared))),
  )

  const start = fromPromise<void, { id: ContainerId; slug: string }>(({ input: { id, slug } }) =>
    inTurn(slug, () => engine.start(id)),
  )

  const settle = fromPromise<ContainerReply, { slug: string; made: Made }>(({ input: { slug, made }, signal }) =>
    inTurn(slug, async () => {
      const failing = new AbortController()
      const banner = waitForBanner(
        { host: engine.host, port: sshPort(made.reply) },
        AbortSignal.any([signal, failing.signal]),
      )
      const whole = withPassword(engine, made).then(async (reply) => {
        await engine.rename(made.id, slug)
        return reply
      })
      whole.catch(() => failing.abort())
      // The engine's own word says more than the banner that then never came.
      const [reply, answered] = await Promise.allSettled([whole, banner])
      if (reply.status === 'rejected') throw endedEarly(reply.reason)
      if (answered.status === 'rejected') throw answered.reason
      // The machine that would tell of it may have been stopped.
      if (!signal.aborted) making.delete(slug)
      return reply.value
    }),
  )

  const answer = fromPromise<ContainerReply, { made: Made }>(({ input: { made } }) => withPassword(engine, made))

  const removeAll = ({ slug, id }: { slug: string; id: ContainerId | null }) =>
    inTurn(slug, async () => {
      // Nothing was asked of the engine yet.
      if (!slug || (!id && !ports.has(slug))) return
      // By name where the answer that held the id was lost; under both, as it may have been lost while renaming.
      for (const one of id ? [id] : [`${slug}${MAKING}`, slug]) await engine.remove(one)
      await engine.removeVolume(slug)
      ports.free(slug)
      making.delete(slug)
    })

  const remove = fromPromise<void, { slug: string; id: ContainerId | null }>(({ input }) => removeAll(input))

  return {
    logic: { prepare, choosePorts, create, fill, start, settle, answer, remove },
    takeBack: () => Promise.allSettled([...making].map((slug) => removeAll({ slug, id: null }))),
  }
}

/** While it is being made, one that does not run is not there to stay. */
function endedEarly(error: unknown): unknown {
  return toFault(error).code === 'guest_stopped' ? new Fault('ssh_failed', { why: 'it ended at once' }, error) : error
}

async function takePorts(ports: GuestPorts, slug: string, wish: Wish, image: GuestImage): Promise<Port[]> {
  const extra = [...Array<'tcp'>(wish.ports).fill('tcp'), ...Array<'udp'>(wish.udpPorts).fill('udp')]
  const wants = [...image.ports.map(({ Type }) => Type), ...extra]
  const inside = image.ports.map(({ InternalPort }) => InternalPort)
  const taken = await ports.take(slug, wants, inside)
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

/** A guest without a key gets a new password: the last one is kept nowhere, so it cannot be told again. */
async function withPassword(engine: Engine, { id, reply }: Made): Promise<ContainerReply> {
  if (reply.SSHPublicKey) return reply
  const password = randomBytes(PASSWORD_BYTES).toString('base64url')
  await engine.run(id, ['chpasswd'], `root:${password}\n`)
  return { ...reply, SSHPassword: new Secret(password) }
}

function sshPort({ Ports }: ContainerReply): number {
  return Ports.Port.find(({ PortName }) => PortName === 'SSH')?.ExternalPort ?? 0
}

function turns() {
  const last = new Map<string, Promise<unknown>>()
  return <T>(slug: string, work: () => Promise<T>): Promise<T> => {
    const result = (last.get(slug) ?? Promise.resolve()).then(work)
    const done = result.then(
      () => {},
      () => {},
    )
    last.set(slug, done)
    done.then(() => {
      if (last.get(slug) === done) last.delete(slug)
    })
    return result
  }
}
