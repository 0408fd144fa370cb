import { readFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import type { ContainerCreateOptions } from 'dockerode'
import { z } from 'zod'
import type { AdoptedContainer, ContainerSpec, Credentials } from '../../machines/containerManager/containerTypes.ts'
import type { ContainerReply, Port } from '../../protocol/containerManager.ts'
import {
  CONTAINER_CAPABILITIES,
  type CONTAINER_LIMITS,
  CONTAINER_NETWORK,
} from '../../protocol/defaults/containerManager.ts'
import type { Caller, ContainerId } from '../../protocol/ids.ts'
import type { EngineContainer } from '../engine/engine.ts'
import { type TarFile, tarOf } from '../engine/tar.ts'

/** The resource limits of a container; `CONTAINER_LIMITS` in `protocol/defaults` gives the reasons. */
export type ContainerLimits = {
  [K in keyof typeof CONTAINER_LIMITS]: (typeof CONTAINER_LIMITS)[K] extends number
    ? number
    : (typeof CONTAINER_LIMITS)[K]
}

/** Returns the name of a container that is still being created. It is renamed when it is complete, because labels cannot change. */
export const PENDING = '.pending'

export const NODE_LABEL = 'p2prc.node'
export const NAME_LABEL = 'p2prc.name'

/** The labels by which a node recognizes its containers. They have no secrets, because every user of the engine can read them. */
const labelsSchema = z.object({
  [NAME_LABEL]: z.string().regex(/^p2prc-[0-9a-f]+$/),
  'p2prc.borrower': z.string(),
  'p2prc.request': z.string(),
  'p2prc.key': z.string(),
  'p2prc.hostKey': z.string(),
  'p2prc.tag': z.string(),
  'p2prc.gpu': z.enum(['true', 'false']),
  'p2prc.ports': z.string().transform((text, context): Port[] => {
    const ports = z.array(portSchema).safeParse(json(text))
    if (ports.success) return ports.data
    context.addIssue('not a list of ports')
    return z.NEVER
  }),
})

const portNumber = z.number().int().min(1).max(65_535)

const portSchema = z.object({
  PortName: z.string(),
  InternalPort: portNumber,
  Type: z.enum(['tcp', 'udp']),
  ExternalPort: portNumber,
  IsUsed: z.boolean(),
  Description: z.string(),
}) satisfies z.ZodType<Port>

/** Returns the options of the Engine API for a container. */
export function toCreateOptions(
  { request, credentials, image, ports }: ContainerSpec,
  { nodeId, limits }: { nodeId: string; limits: ContainerLimits },
): ContainerCreateOptions {
  const { containerName, publicKey, hostKey } = credentials
  const memory = Math.floor(totalmem() * limits.memoryShare)
  const inside = ({ InternalPort, Type }: Port) => `${InternalPort}/${Type}`
  const ours = { [NODE_LABEL]: nodeId, [NAME_LABEL]: containerName }
  return {
    Image: image.tag,
    Hostname: containerName,
    Labels: {
      ...ours,
      'p2prc.borrower': request.caller,
      'p2prc.request': request.requestId,
      'p2prc.key': publicKey,
      'p2prc.hostKey': hostKey.public,
      'p2prc.tag': image.tag,
      'p2prc.gpu': request.gpu ? 'true' : 'false',
      'p2prc.ports': JSON.stringify(ports),
    } satisfies Record<keyof z.infer<typeof labelsSchema> | typeof NODE_LABEL, string>,
    ExposedPorts: Object.fromEntries(ports.map((port) => [inside(port), {}])),
    HostConfig: {
      NetworkMode: CONTAINER_NETWORK,
      PortBindings: Object.fromEntries(
        ports.map((port) => [inside(port), [{ HostIp: '', HostPort: String(port.ExternalPort) }]]),
      ),
      Mounts: [
        {
          Type: 'volume',
          Source: containerName,
          Target: '/data',
          VolumeOptions: volumeOptions(ours),
        } as unknown as Mount,
      ],
      RestartPolicy: { Name: 'unless-stopped' },
      NanoCpus: Math.floor(cpus().length * limits.cpuShare * 100) * 1e7,
      Memory: memory,
      MemorySwap: memory,
      PidsLimit: limits.pids,
      Ulimits: [
        { Name: 'nofile', Soft: Math.min(limits.nofile.soft, filesMax), Hard: Math.min(limits.nofile.hard, filesMax) },
      ],
      LogConfig: { Type: 'json-file', Config: { 'max-size': limits.log.maxSize, 'max-file': limits.log.maxFile } },
      CapDrop: ['ALL'],
      CapAdd: [...CONTAINER_CAPABILITIES],
      SecurityOpt: ['no-new-privileges'],
      ...(request.gpu && {
        DeviceRequests: [{ Driver: '', Count: -1, DeviceIDs: [], Capabilities: [['gpu']], Options: {} }],
      }),
    },
  }
}

/**
 * This process's hard limit of open files. An engine that runs in a container cannot give its containers more than its
 * own limit, which is rarely lower than that of this process.
 */
const filesMax = (() => {
  try {
    const [, hard] = /^Max open files\s+\d+\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? []
    return hard ? Number(hard) : Number.POSITIVE_INFINITY
  } catch {
    return Number.POSITIVE_INFINITY
  }
})()

type Mount = NonNullable<NonNullable<ContainerCreateOptions['HostConfig']>['Mounts']>[number]

function volumeOptions(labels: Record<string, string>) {
  return { NoCopy: false, Labels: labels }
}

/** Packs the files that are injected before a container starts: its host key, and the borrower's key or the password. */
export function keysArchive({ publicKey, hostKey }: Credentials): Promise<Buffer> {
  const login: TarFile[] = publicKey
    ? [
        { path: 'root/.ssh/', mode: 0o700, content: null },
        { path: 'root/.ssh/authorized_keys', mode: 0o600, content: `${publicKey}\n` },
      ]
    : [
        {
          path: 'etc/ssh/sshd_config.d/10-p2prc-password.conf',
          mode: 0o644,
          content: 'PermitRootLogin yes\nPasswordAuthentication yes\n',
        },
      ]
  return tarOf([
    { path: 'etc/ssh/ssh_host_ed25519_key', mode: 0o600, content: hostKey.private.reveal() },
    { path: 'etc/ssh/ssh_host_ed25519_key.pub', mode: 0o644, content: `${hostKey.public}\n` },
    ...login,
  ])
}

/** Returns the reply to the borrower, without the password. */
export function toReply(
  id: string,
  of: { publicKey: string; hostKey: string; tag: string; gpu: boolean; ports: Port[] },
): ContainerReply {
  return {
    SSHUsername: 'root',
    SSHPassword: '',
    SSHPublicKey: of.publicKey,
    SSHHostKey: of.hostKey,
    VNCUsername: '',
    VNCPassword: '',
    ID: id as ContainerId,
    TagName: of.tag,
    // The lender's paths are private, and the SSH command needs an address that only the borrower knows.
    ImagePath: '',
    Ports: { Port: of.ports },
    GPU: of.gpu ? 'true' : 'false',
    TempPath: '',
    BaseImage: '',
    LogsPath: '',
    SSHCommand: '',
  }
}

/** Parses a container of the engine's list. Returns undefined for one that only resembles a container of this node. */
export function readContainer({ id, name, running, labels, createdAt }: EngineContainer): AdoptedContainer | undefined {
  const read = labelsSchema.safeParse(labels)
  if (!read.success) return undefined
  const { data } = read
  const reply = toReply(id, {
    publicKey: data['p2prc.key'],
    hostKey: data['p2prc.hostKey'],
    tag: data['p2prc.tag'],
    gpu: data['p2prc.gpu'] === 'true',
    ports: data['p2prc.ports'],
  })
  return {
    id: reply.ID,
    createdAt,
    reply,
    containerName: data[NAME_LABEL],
    caller: data['p2prc.borrower'] as Caller,
    requestId: data['p2prc.request'],
    complete: !name.endsWith(PENDING),
    running,
  }
}

function json(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
