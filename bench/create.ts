import { randomBytes, randomUUID } from 'node:crypto'
import { join } from 'node:path'
import Dockerode, { type ContainerCreateOptions } from 'dockerode'
import { keysArchive, toCreateOptions } from '../actors/containerManager/containerSpec.ts'
import { waitForBanner } from '../actors/containerManager/sshBanner.ts'
import { type Holder, holderOf } from '../actors/home/lockHolder.ts'
import { makeSshKeyPair } from '../actors/identity.ts'
import { connect } from '../client/client.ts'
import { controlSocket } from '../client/controlSocket.ts'
import type { Revealed } from '../client/types.ts'
import type { ContainerSpec } from '../machines/containerManager/containerTypes.ts'
import type { ContainerReply, Port } from '../protocol/containerManager.ts'
import { CONTAINER_LIMITS } from '../protocol/defaults/containerManager.ts'
import type { NodeId } from '../protocol/ids.ts'
import { Secret } from '../protocol/secret.ts'
import { type Bench, type Figure, figure, median } from './measure.ts'
import { ended, freePort, scratch, startedNode } from './processes.ts'

const ROUNDS = 15

/** Milliseconds from the request until the container runs, and until its SSH server sends its banner. */
interface Times {
  running: number
  banner: number
}

/**
 * Compares creating a container through a running node with the raw Engine API: create, inject the keys, start, and wait
 * for the banner, with the same HostConfig on the same network. This process alternates between the two.
 */
export const bench: Bench = async () => {
  const home = scratch('create')
  const node = await startedNode(home, await freePort())
  const lock = holderOf(join(home, 'lock')) as Holder
  const client = connect({ transport: controlSocket({ path: lock.socket }) })
  const engine = new Dockerode()
  const { publicKey } = makeSshKeyPair('bench')

  async function ours(): Promise<Times & { reply: Revealed<ContainerReply> }> {
    const began = performance.now()
    let running = Number.NaN
    const pending = client.request({ type: 'container.create', requestId: randomUUID(), key: publicKey })
    for await (const fact of pending)
      if (fact.type === 'container.progress' && fact.step === 'ssh') running = performance.now() - began
    const banner = performance.now() - began
    const reply = (await pending.answer).container
    await client.request({ type: 'container.remove', id: reply.ID }).answer
    return { running, banner, reply }
  }

  async function raw({ TagName, Ports: { Port: ports } }: Revealed<ContainerReply>): Promise<Times> {
    const containerName = `p2prc-bench-${randomBytes(4).toString('hex')}`
    const credentials = {
      containerName,
      publicKey,
      hostKey: { private: new Secret(makeSshKeyPair('').privateKey), public: '' },
    }
    const free = await Promise.all(
      ports.map(async (port): Promise<Port> => ({ ...port, ExternalPort: await freePort() })),
    )
    const image = { name: 'ssh', tag: TagName, digest: '', ports: [], built: true }
    const request = {
      requestId: '',
      caller: 'owner',
      key: publicKey,
      ports: 0,
      udpPorts: 0,
      gpu: false,
      image: 'ssh',
    } as const
    const spec: ContainerSpec = { request, credentials, image, ports: free }
    const options: ContainerCreateOptions = toCreateOptions(spec, {
      nodeId: 'bench' as NodeId,
      limits: CONTAINER_LIMITS,
    })
    const keys = await keysArchive(credentials)
    const began = performance.now()
    const container = await engine.createContainer({ ...options, name: containerName })
    await container.putArchive(keys, { path: '/' })
    await container.start()
    const running = performance.now() - began
    await waitForBanner({ host: '127.0.0.1', port: free[0]?.ExternalPort ?? 0 }, new AbortController().signal)
    const banner = performance.now() - began
    await container.remove({ force: true, v: true })
    await engine.getVolume(containerName).remove()
    return { running, banner }
  }

  try {
    await client.request({ type: 'image.build' }).answer
    const { reply } = await ours()
    await raw(reply)
    const [us, them]: [Times[], Times[]] = [[], []]
    for (let round = 0; round < ROUNDS; round += 1) {
      const turns = [async () => us.push(await ours()), async () => them.push(await raw(reply))]
      for (const turn of round % 2 === 0 ? turns : turns.reverse()) await turn()
    }
    return [
      compare('running', 1.1, 'create → running', us, them),
      compare('banner', 1.15, 'create → SSH banner', us, them),
    ]
  } finally {
    await ended(node)
  }
}

function compare(which: keyof Times, ratio: number, what: string, us: Times[], them: Times[]): Figure {
  const pair = { what, baseline: 'raw Engine API', unit: 'ms', goal: { sign: '≤', ratio }, rounds: ROUNDS } as const
  return figure(pair, median(us.map((one) => one[which])), median(them.map((one) => one[which])))
}
