import { z } from 'zod'
import { type ContainerSummary, containerManagerCommands } from './containerManager.ts'
import type { ContainerId } from './ids.ts'
import { Secret } from './secret.ts'

/** An id of a tracked container or the beginning of one: 64 hex digits, or Go P2PRC's 22 letters and digits. */
export const loanRef = z.string().regex(/^[0-9A-Za-z]{1,64}$/, 'a container id is letters and digits')

/** How a container is asked for. */
export const takeOptions = containerManagerCommands['container.create'].schema.extend({
  /** "" with `password` false means this node's own key. */
  key: containerManagerCommands['container.create'].schema.shape.key,
  /** The seeds' way: no key, a password comes back. */
  password: z.boolean().default(false),
  /** Where the user's private key for `key` lies, so that ssh can be told. */
  keyFile: z.string().max(4_096).default(''),
})

// Everything below comes from a lender who may be hostile, and ends in a terminal, a file and an ssh command.

/** No control or direction characters. */
const text = z
  .string()
  .max(512)
  .regex(/^[^\p{Cc}\u2028-\u202e\u2066-\u2069]*$/u, 'it has characters that act on a terminal')

/** An Ed25519 public key in OpenSSH form is exactly this long. */
const hostKey = z
  .string()
  .regex(/^ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI[A-Za-z0-9+/]{43}$/, 'that is no ssh-ed25519 key')

const secret = text.default('').transform((value) => (value === '' ? ('' as const) : new Secret(value)))
const externalPort = z.number().int().min(1).max(65_535)

/** Also keeps an option out of ssh's destination. */
export const sshUser = z.string().regex(/^[a-z_][a-z0-9_-]{0,31}$/)

const port = z.object({
  PortName: text,
  InternalPort: z.number().int().min(0).max(65_535),
  Type: z.enum(['tcp', 'udp']),
  ExternalPort: externalPort,
  IsUsed: z.boolean(),
  Description: text,
})

export const containerId = z
  .string()
  .regex(/^[0-9a-f]{64}$/, 'that is no container id')
  .transform((id) => id as ContainerId)

/** A lender's reply to `container.create`. Unknown keys are dropped; there must be a tcp port for SSH. */
export const lenderReply = z.object({
  SSHUsername: sshUser,
  SSHPassword: secret,
  SSHPublicKey: text.max(16_384).default(''),
  SSHHostKey: hostKey,
  VNCUsername: text.default(''),
  VNCPassword: secret,
  ID: containerId,
  TagName: text.default(''),
  ImagePath: text.default(''),
  Ports: z.object({ Port: z.array(port).max(256) }).refine((ports) => sshPort(ports) !== undefined, 'no port for SSH'),
  GPU: z.enum(['true', 'false']),
  TempPath: text.default(''),
  BaseImage: text.default(''),
  LogsPath: text.default(''),
  // Made here, never believed: it is pasted into a shell.
  SSHCommand: z.unknown().transform(() => ''),
})

/** The external port of a container's SSH server. */
export function sshPort({ Port }: { Port: { PortName: string; Type: string; ExternalPort: number }[] }) {
  return Port.find(({ PortName, Type }) => PortName === 'SSH' && Type === 'tcp')?.ExternalPort
}

const states = ['creating', 'running', 'stopped', 'removing'] as const satisfies ContainerSummary['state'][]

/** One entry of a lender's `container.listed`. `requestId` is told by lenders who know which request made it. */
export const lenderEntry = z.object({ id: containerId, state: z.enum(states), requestId: z.string().optional() })

/** Largest list of one lender that is looked at. */
export const lenderList = z.array(z.unknown()).max(10_000)
