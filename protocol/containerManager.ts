import { z } from 'zod'
import type { CommandSpec, CommandsOf } from './control.ts'
import { EXTRA_PORTS_MAX } from './defaults/containerManager.ts'
import { answer, done, type FactSpecs, type FactsOf, failed } from './facts.ts'
import { caller, containerId, failure } from './ids.ts'
import type { RequestFact } from './request.ts'
import { secret } from './secret.ts'

/** A container id of the engine or the beginning of one, as people type it. */
export const containerRef = z
  .string()
  .regex(/^[0-9a-f]{1,64}$/, 'a container id is 1 to 64 of the characters 0-9 and a-f')

const portCount = z.number().int().min(0).max(EXTRA_PORTS_MAX)

export const containerManagerCommands = {
  'container.create': {
    schema: z.object({
      /** One line with an OpenSSH public key; "" requests a password instead. */
      key: z.string().max(16_384).default(''),
      ports: portCount.default(0),
      udpPorts: portCount.default(0),
      gpu: z.boolean().default(false),
      /** The name of an image folder on the lender; "" is the default image. */
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

/** One published port of a container. The keys are P2PRC's. */
export const port = z.object({
  PortName: z.string(),
  InternalPort: z.number(),
  Type: z.enum(['tcp', 'udp']),
  ExternalPort: z.number(),
  IsUsed: z.boolean(),
  Description: z.string(),
  /** The plugin that uses the port. The borrower's node sets it, so that another run of the plugin gets the port again. */
  UsedBy: z.string().optional(),
  /** The text of the endpoint at which the borrower reaches the port. The borrower's node sets it; lenders do not. */
  Endpoint: z.string().optional(),
})

export type Port = z.infer<typeof port>

/**
 * What a borrower receives: P2PRC's container reply (compatibility 2.4), and the key that pins the container's SSH
 * server.
 */
export const containerReply = z.object({
  SSHUsername: z.string(),
  /** Set if the borrower sent no key. It is shown once and stored nowhere. */
  SSHPassword: secret.or(z.literal('')),
  SSHPublicKey: z.string(),
  /** The container's host key, `ssh-ed25519 AAAA…`, for the borrower's known_hosts. */
  SSHHostKey: z.string(),
  VNCUsername: z.string(),
  VNCPassword: secret.or(z.literal('')),
  ID: containerId,
  TagName: z.string(),
  ImagePath: z.string(),
  Ports: z.object({ Port: z.array(port) }),
  GPU: z.enum(['true', 'false']),
  TempPath: z.string(),
  BaseImage: z.string(),
  LogsPath: z.string(),
  SSHCommand: z.string(),
})

export type ContainerReply = z.infer<typeof containerReply>

const containerState = z.enum(['creating', 'running', 'stopped', 'removing'])

/** A lent container in its current state, as the lender sees it. */
export const containerSummary = z.object({
  id: containerId,
  borrower: caller,
  /** The id of the borrower's request that created the container. */
  requestId: z.string(),
  state: containerState,
  image: z.string(),
  /** Milliseconds since 1970, measured by the engine's clock. */
  createdAt: z.number(),
  ports: z.array(port),
  gpu: z.boolean(),
})

export type ContainerSummary = z.infer<typeof containerSummary>

/** One line of a container's output. */
export const outputLine = z.object({ stream: z.enum(['stdout', 'stderr']), line: z.string() })

export const containerManagerFacts = {
  /** A step in the creation of a container or an image. `line` is output of the engine or the build. */
  'container.progress': answer({ step: z.enum(['image', 'create', 'start', 'ssh']), line: z.string() }),
  'container.created': answer({ container: containerReply }),
  'container.createFailed': failed,
  'container.removed': answer({ id: containerId }),
  'container.removeFailed': failed,
  'container.listed': answer({ containers: z.array(containerSummary) }),
  'container.listFailed': failed,
  'container.logged': answer(outputLine.shape),
  'container.logsEnded': done,
  'container.logsFailed': failed,
  /** The state of a container has changed without a request to this node. */
  'container.changed': z.object({ id: containerId, state: containerState.or(z.literal('gone')) }),
  /** A container is created for a key that is weaker than those of known borrowers may be. */
  'container.weakKeyAccepted': z.object({ borrower: caller, bits: z.number() }),
  'image.progress': answer({ line: z.string() }),
  'image.built': answer({ image: z.string() }),
  'image.buildFailed': failed,
  'engine.connected': z.object({ version: z.string() }),
  'engine.lost': failure,
} as const satisfies FactSpecs

export type ContainerManagerEmits = FactsOf<typeof containerManagerFacts>

/** The facts that a container may be gone. */
export type ContainerGone = Extract<ContainerManagerEmits, { type: 'container.removed' | 'container.changed' }>

export type ContainerManagerCommand = CommandsOf<typeof containerManagerCommands>

export type ContainerManagerAccepts = ContainerManagerCommand | RequestFact
