import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Docker from 'dockerode'
import { resolveBase } from '../../actors/engine/baseImage.ts'
import { createDockerEngine } from '../../actors/engine/dockerEngine.ts'
import { buildImage, inspectImage } from '../../actors/engine/imageBuilder.ts'
import { tarOf } from '../../actors/engine/tar.ts'
import { shipped } from '../../actors/homePaths.ts'
import { makeSshKeyPair } from '../../actors/identity/sshKey.ts'
import type { Port } from '../../protocol/containerManager.ts'
import type { Loan } from '../../protocol/groupTracker.ts'
import type { ContainerId } from '../../protocol/ids.ts'
import type { SshFiles } from '../../protocol/ssh.ts'

/** Containers as a lender creates them, on this machine's engine, with their records as a borrower stores them. */
export interface TestContainers {
  loans: Loan[]
  /** The borrower's key, and a `known_hosts` file that pins nothing. */
  files: SshFiles
  /** Removes one as if its machine had failed: nothing in it can report that something else was killed. */
  kill(index: number): Promise<void>
  remove(): Promise<void>
}

/** The capabilities that lenders leave to containers, so that what works here works there. */
const capabilities = ['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'SETGID', 'SETUID', 'SYS_CHROOT', 'AUDIT_WRITE', 'KILL']

export async function startContainers(count: number, extraPorts = 0): Promise<TestContainers> {
  const engine = createDockerEngine()
  const image = await sshImage(engine)
  const folder = await mkdtemp(join(tmpdir(), 'p2prc-containers-'))
  const own = makeSshKeyPair('borrower')
  const files = {
    key: join(folder, 'id_ed25519'),
    knownHosts: join(folder, 'known_hosts'),
    acceptedHosts: join(folder, 'accepted'),
  }
  await writeFile(files.key, own.privateKey, { mode: 0o600 })
  await writeFile(files.knownHosts, '')
  const loans: Loan[] = []
  const remove = async () => {
    await Promise.all(loans.map(({ ID }) => engine.remove(ID)))
    await rm(folder, { recursive: true, force: true })
  }

  async function start(): Promise<void> {
    const host = makeSshKeyPair('container')
    const [sshPort = 0, ...extra] = await freePorts(1 + extraPorts)
    const bindings = Object.fromEntries(
      [[22, sshPort] as const, ...extra.map((port) => [port, port] as const)].map(([inside, outside]) => [
        `${inside}/tcp`,
        [{ HostIp: '127.0.0.1', HostPort: String(outside) }],
      ]),
    )
    const id = await engine.create(`p2prc-plugintest-${randomBytes(6).toString('hex')}`, {
      Image: image,
      Labels: { 'p2prc.plugintest': '1' },
      ExposedPorts: Object.fromEntries(Object.keys(bindings).map((port) => [port, {}])),
      HostConfig: {
        PortBindings: bindings,
        CapDrop: ['ALL'],
        CapAdd: capabilities,
        SecurityOpt: ['no-new-privileges'],
      },
    })
    loans.push(loanOf(id as ContainerId, host.publicKey, [sshRecord(sshPort), ...extra.map(extraRecord)]))
    await engine.putArchive(
      id,
      await tarOf([
        { path: 'etc/ssh/ssh_host_ed25519_key', mode: 0o600, content: Buffer.from(host.privateKey) },
        { path: 'root/.ssh/authorized_keys', mode: 0o600, content: Buffer.from(`${own.publicKey}\n`) },
      ]),
    )
    await engine.start(id)
  }

  try {
    for (let number = 0; number < count; number += 1) await start()
    await Promise.all(loans.map(({ Container }) => untilBanner(Container.Ports.Port[0]?.ExternalPort ?? 0)))
  } catch (error) {
    await remove()
    throw error
  }
  const kill = async (index: number) => {
    const { ID = '' } = loans[index] ?? {}
    await new Docker().getContainer(ID).pause()
    await engine.remove(ID)
  }
  return { loans, files, kill, remove }
}

async function sshImage(engine: ReturnType<typeof createDockerEngine>): Promise<string> {
  const image = await inspectImage(engine, shipped.images, 'ssh')
  if (image.built) return image.tag
  const work = { onLine: () => {}, signal: new AbortController().signal }
  const base = await resolveBase({ engine }, work)
  await buildImage({ engine, imagesDir: shipped.images }, image, base, work.onLine, work.signal)
  return image.tag
}

/** Returns a record as `trackcontainers.json` holds it. */
export function loanOf(id: ContainerId, hostKey: string, ports: Port[], address = '127.0.0.1:8088'): Loan {
  return {
    ID: id,
    IpAddress: address,
    Auth: 'nodeKey',
    Container: {
      SSHUsername: 'root',
      SSHPassword: '',
      SSHPublicKey: '',
      SSHHostKey: hostKey.split(' ').slice(0, 2).join(' '),
      VNCUsername: '',
      VNCPassword: '',
      ID: id,
      TagName: '',
      ImagePath: '',
      Ports: { Port: ports },
      GPU: 'false',
      TempPath: '',
      BaseImage: '',
      LogsPath: '',
      SSHCommand: '',
    },
  }
}

export function sshRecord(port: number): Port {
  return { PortName: 'SSH', InternalPort: 22, Type: 'tcp', ExternalPort: port, IsUsed: true, Description: '' }
}

export function extraRecord(port: number): Port {
  return {
    PortName: 'AutoGen Port',
    InternalPort: port,
    Type: 'tcp',
    ExternalPort: port,
    IsUsed: false,
    Description: 'Auto generated TCP port',
  }
}

/** Resolves with free ports. They are all bound at the same time first, so that they differ. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<ReturnType<typeof createServer>>((resolve, reject) => {
          const server = createServer()
          server.on('error', reject)
          server.listen(0, '127.0.0.1', () => resolve(server))
        }),
    ),
  )
  const ports = servers.map((server) => (server.address() as { port: number }).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

/** Waits for the SSH banner: Docker's proxy accepts connections before sshd listens. */
async function untilBanner(port: number): Promise<void> {
  const deadline = Date.now() + 20_000
  while (Date.now() < deadline) {
    const answered = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1')
      socket.once('data', () => {
        resolve(true)
        socket.destroy()
      })
      socket.on('error', () => resolve(false))
      socket.on('close', () => resolve(false))
    })
    if (answered) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`no SSH banner on port ${port}`)
}
