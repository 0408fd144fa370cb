import { z } from 'zod'
import type { CommandSpec, CommandsOf } from './control.ts'
import { EXTRA_PORTS_MAX } from './defaults/containerManager.ts'
import type { Caller, ContainerId, Failure } from './ids.ts'
import type { RequestFact } from './request.ts'
import type { Secret } from './secret.ts'

/** An engine id or the beginning of one, as people type it. */
export const containerRef = z
  .string()
  .regex(/^[0-9a-f]{1,64}$/, 'a container id is 1 to 64 of the characters 0-9 and a-f')

const portCount = z.number().int().min(0).max(EXTRA_PORTS_MAX)

export const containerManagerCommands = {
  'container.create': {
    schema: z.object({
      /** One OpenSSH public-key line; "" asks for a password instead. */
      key: z.string().max(16_384).default(''),
      ports: portCount.default(0),
      udpPorts: portCount.default(0),
      gpu: z.boolean().default(false),
      /** Name of an image folder on the lender; "" is the default image. */
      image: z.string().max(128).default(''),
    }),
    action: 'borrow',
    terminalEvents: ['container.created', 'container.createFailed'],
  },
  'container.remove': {
    schema: z.object({ id: containerRef }),
    action: 'borrow',
    terminalEvents: ['container.removed', 'container.removeFailed'],
  },
  'container.list': {
    schema: z.object({}),
    action: 'borrow',
    terminalEvents: ['container.listed', 'container.listFailed'],
  },
  'container.logs': {
    schema: z.object({
      id: containerRef,
      follow: z.boolean().default(false),
      tail: z.number().int().min(0).default(200),
    }),
    action: 'borrow',
    terminalEvents: ['container.logsEnded', 'container.logsFailed'],
  },
  'image.build': { schema: z.object({}), action: 'administer', terminalEvents: ['image.built', 'image.buildFailed'] },
} as const satisfies Record<string, CommandSpec>

/** One published port of a container, with P2PRC's keys. */
export interface Port {
  PortName: string
  InternalPort: number
  Type: 'tcp' | 'udp'
  ExternalPort: number
  IsUsed: boolean
  Description: string
}

/** What a borrower gets: P2PRC's container reply (compatibility 2.4) and what pins the container's SSH server. */
export interface ContainerReply {
  SSHUsername: string
  /** Set where the borrower sent no key; shown once, stored nowhere. */
  SSHPassword: Secret | ''
  SSHPublicKey: string
  /** The container's host key, `ssh-ed25519 AAAA…`, for the borrower's known_hosts. */
  SSHHostKey: string
  VNCUsername: string
  VNCPassword: Secret | ''
  ID: ContainerId
  TagName: string
  ImagePath: string
  Ports: { Port: Port[] }
  GPU: 'true' | 'false'
  TempPath: string
  BaseImage: string
  LogsPath: string
  SSHCommand: string
}

/** A lent container as the lender sees it now. */
export interface ContainerSummary {
  id: ContainerId
  borrower: Caller
  /** The id that the borrower gave the request that made it. */
  requestId: string
  state: 'creating' | 'running' | 'stopped' | 'removing'
  image: string
  /** Milliseconds since 1970, by the engine's clock. */
  createdAt: number
  ports: Port[]
  gpu: boolean
}

/** A step of making a container or an image. `line` is the engine's or the build's own word. */
interface Progress {
  step: 'image' | 'create' | 'start' | 'ssh'
  line: string
}

export type ContainerManagerEmits =
  | ({ type: 'container.progress'; requestId: string } & Progress)
  | { type: 'container.created'; requestId: string; container: ContainerReply }
  | ({ type: 'container.createFailed'; requestId: string } & Failure)
  | { type: 'container.removed'; requestId: string; id: ContainerId }
  | ({ type: 'container.removeFailed'; requestId: string } & Failure)
  | { type: 'container.listed'; requestId: string; containers: ContainerSummary[] }
  | ({ type: 'container.listFailed'; requestId: string } & Failure)
  | { type: 'container.logged'; requestId: string; stream: 'stdout' | 'stderr'; line: string }
  | { type: 'container.logsEnded'; requestId: string }
  | ({ type: 'container.logsFailed'; requestId: string } & Failure)
  /** A container's state changed by itself or by another hand. */
  | { type: 'container.changed'; id: ContainerId; state: ContainerSummary['state'] | 'gone' }
  | { type: 'image.progress'; requestId: string; line: string }
  | { type: 'image.built'; requestId: string; image: string }
  | ({ type: 'image.buildFailed'; requestId: string } & Failure)
  | { type: 'engine.connected'; version: string }
  | ({ type: 'engine.lost' } & Failure)

export type ContainerManagerCommand = CommandsOf<typeof containerManagerCommands>

export type ContainerManagerAccepts = ContainerManagerCommand | RequestFact
