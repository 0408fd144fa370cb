import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import ssh2 from 'ssh2'
import { type Clock, realClock } from '../../actors/clock.ts'
import { type ContainerManagerOptions, createContainerManager } from '../../actors/containerManager.ts'
import { createDockerEngine } from '../../actors/engine/dockerEngine.ts'
import { makeSshKeyPair } from '../../actors/identity.ts'
import { request } from '../../actors/request.ts'
import { supervise } from '../../actors/supervise.ts'
import { createBus } from '../../protocol/bus.ts'
import {
  type ContainerManagerCommand,
  type ContainerReply,
  containerManagerCommands,
} from '../../protocol/containerManager.ts'
import type { Answer, BusEvent } from '../../protocol/index.ts'
import { record } from './harness.ts'

/** The engine itself, to check from outside what a lender did. */
export const engine = createDockerEngine()

const images = resolve(import.meta.dirname, '../../images')

/** A clock on which the machines wait 100 ms at most. */
export const fastClock: Clock = { ...realClock, setTimeout: (run, ms) => setTimeout(run, Math.min(ms, 100)) }

type CommandType = ContainerManagerCommand['type']
type Of<T extends CommandType> = Extract<ContainerManagerCommand, { type: T }>

/** Returns a command as a listener would publish it: validated, with the schema's defaults. */
export function commandOf<T extends CommandType>(type: T, { requestId, caller, ...rest }: Partial<Of<T>> = {}): Of<T> {
  const meta = { requestId: requestId ?? randomBytes(6).toString('hex'), caller: caller ?? 'owner' }
  return { type, ...meta, ...(containerManagerCommands[type].schema.parse(rest) as object) } as Of<T>
}

export interface Lender {
  nodeId: string
  received: BusEvent[]
  bus: ReturnType<typeof createBus<BusEvent>>
  command<T extends CommandType>(type: T, of?: Partial<Of<T>>, signal?: AbortSignal): Promise<Answer>
  create(of?: Partial<Of<'container.create'>>): Promise<ContainerReply>
  stop(): void
  /** Resolves when the lender has stopped cleanly; a node waits for this. */
  settled(): Promise<void>
}

/**
 * Starts the container manager on the real engine, alone on its bus. Everything that it created is removed when the
 * test ends.
 */
export function startLender(
  t: TestContext,
  options: Partial<ContainerManagerOptions> & { clock?: Clock } = {},
): Lender {
  const { clock = realClock, nodeId = `SHA256:test-${randomBytes(8).toString('hex')}`, ...more } = options
  const bus = createBus<BusEvent>()
  const received = record(bus)
  const parts = createContainerManager({ engine, nodeId, imagesDir: images, ...more })
  const supervised = supervise(parts, { bus, clock })
  supervised.start()
  t.after(async () => {
    supervised.stop()
    await cleanUp(nodeId)
  })
  const command: Lender['command'] = (type, of, signal) =>
    request(bus, commandOf(type, of), { ...(signal && { signal }) })
  return {
    nodeId,
    received,
    bus,
    command,
    create: async (of) => {
      const answer = await command('container.create', of)
      if (answer.type !== 'container.created') throw new Error(answer.type)
      return answer.container
    },
    stop: () => supervised.stop(),
    settled: () => parts.settled(),
  }
}

async function cleanUp(nodeId: string): Promise<void> {
  for (const { id } of await engine.containers(`p2prc.node=${nodeId}`)) await engine.remove(id)
  for (const { name } of await engine.volumes(`p2prc.node=${nodeId}`)) await engine.removeVolume(name)
}

/** Resolves with the names of this node's containers and volumes in the engine. */
export async function leftOf(nodeId: string): Promise<string[]> {
  const [containers, volumes] = await Promise.all([
    engine.containers(`p2prc.node=${nodeId}`),
    engine.volumes(`p2prc.node=${nodeId}`),
  ])
  return [...containers.map(({ name }) => `container ${name}`), ...volumes.map(({ name }) => `volume ${name}`)].sort()
}

/** Waits until the condition holds, at most `ms`: the engine has no event for "nothing is left". */
export async function until(what: () => Promise<boolean>, ms = 60_000): Promise<void> {
  const deadline = performance.now() + ms
  while (!(await what())) {
    if (performance.now() > deadline) throw new Error(`not so within ${ms} ms: ${what}`)
    await pause(20)
  }
}

export interface Key {
  publicKey: string
  /** Runs a command in a container as its borrower does: with the pinned host key and without a prompt. */
  ssh(to: ContainerReply, ...command: string[]): Promise<string>
}

export async function borrowerKey(t: TestContext): Promise<Key> {
  const folder = await mkdtemp(join(tmpdir(), 'p2prc-key-'))
  t.after(() => rm(folder, { recursive: true }))
  const { privateKey, publicKey } = makeSshKeyPair('borrower')
  await writeFile(join(folder, 'key'), privateKey, { mode: 0o600 })
  return {
    publicKey,
    async ssh(to, ...command) {
      const hosts = join(folder, to.ID)
      const port = String(portOf(to))
      await writeFile(hosts, `[127.0.0.1]:${port} ${to.SSHHostKey}\n`)
      const options = ['BatchMode=yes', 'IdentitiesOnly=yes', `UserKnownHostsFile=${hosts}`]
      const args = [...options.flatMap((option) => ['-o', option]), '-i', join(folder, 'key'), '-p', port]
      return new Promise((done, fail) =>
        execFile('ssh', [...args, 'root@127.0.0.1', '--', ...command], (error, stdout, stderr) =>
          error ? fail(new Error(stderr || error.message)) : done(stdout),
        ),
      )
    },
  }
}

export function portOf({ Ports }: ContainerReply): number {
  return Ports.Port[0]?.ExternalPort ?? 0
}

/** Logs in by password, as `ssh` does after a prompt, and checks the host key that the reply pins. */
export function logInByPassword(to: ContainerReply, password: string): Promise<boolean> {
  const pinned = ssh2.utils.parseKey(to.SSHHostKey)
  if (pinned instanceof Error) throw pinned
  const client = new ssh2.Client()
  return new Promise((resolve, reject) => {
    client.on('ready', () => {
      client.end()
      resolve(true)
    })
    client.on('error', (error) =>
      'level' in error && error.level === 'client-authentication' ? resolve(false) : reject(error),
    )
    const hostVerifier = (key: Buffer) => key.equals(pinned.getPublicSSH())
    client.connect({ host: '127.0.0.1', port: portOf(to), username: 'root', password, hostVerifier })
  })
}
