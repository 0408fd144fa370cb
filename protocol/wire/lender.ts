import { z } from 'zod'
import { containerReply, port } from '../containerManager.ts'
import { containerId } from '../ids.ts'
import { heldContainer, sshPort, sshUser } from '../loanRecord.ts'
import { Secret } from '../secret.ts'

// The replies of lenders. A lender may be hostile, and its replies are written to terminals, files and ssh commands.

/** Text without control characters and bidirectional formatting characters. */
const text = z
  .string()
  .max(512)
  .regex(/^[^\p{Cc}\u2028-\u202e\u2066-\u2069]*$/u, 'it has control characters')

/** An Ed25519 public key in OpenSSH form, which has a fixed length. */
const hostKey = z
  .string()
  .regex(/^ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI[A-Za-z0-9+/]{43}$/, 'it is not an ssh-ed25519 key')

const secretText = text.default('').transform((value) => (value === '' ? ('' as const) : new Secret(value)))

const ownPort = port.omit({ Endpoint: true, UsedBy: true })

const lenderPort = ownPort.extend({
  ...withText(ownPort.shape, text),
  InternalPort: z.number().int().min(0).max(65_535),
  ExternalPort: z.number().int().min(1).max(65_535),
})

/** The full id of a container. */
export const lenderContainerId = containerId.regex(/^[0-9a-f]{64}$/, 'it is not a container id')

/** A lender's reply to `container.create`. The schema drops unknown keys and requires a TCP port for SSH. */
export const lenderReply = containerReply.extend({
  ...withText(containerReply.shape, text.default('')),
  SSHUsername: sshUser,
  SSHPassword: secretText,
  SSHPublicKey: text.max(16_384).default(''),
  SSHHostKey: hostKey,
  VNCPassword: secretText,
  ID: lenderContainerId,
  Ports: z
    .object({ Port: z.array(lenderPort).max(256) })
    .refine((ports) => sshPort(ports) !== undefined, 'it has no port for SSH'),
  // This node makes the command itself and ignores that of the lender, because people paste it into a shell.
  SSHCommand: z.unknown().transform(() => ''),
})

/** One entry of a lender's `container.listed`. */
export const lenderEntry = heldContainer.extend({ id: lenderContainerId })

/** A lender's list of containers. Longer ones are rejected. */
export const lenderList = z.array(z.unknown()).max(10_000)

type WithText<S, T> = { [K in keyof S]: S[K] extends z.ZodString ? T : S[K] }

/** Returns the shape with the schema of each string field replaced by `text`. */
function withText<S extends z.ZodRawShape, T extends z.ZodType>(shape: S, text: T): WithText<S, T> {
  const fields = Object.entries(shape).map(([name, field]) => [name, field instanceof z.ZodString ? text : field])
  return Object.fromEntries(fields) as WithText<S, T>
}
