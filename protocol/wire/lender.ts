import { z } from 'zod'
import { containerReply, containerSummary, port } from '../containerManager.ts'
import { containerId } from '../ids.ts'
import { sshPort, sshUser } from '../loanRecord.ts'
import { Secret } from '../secret.ts'

/** What a lender answers. A lender may be hostile, and this ends in a terminal, in a file and in an ssh command. */

/** Text without control and direction characters. */
const text = z
  .string()
  .max(512)
  .regex(/^[^\p{Cc}\u2028-\u202e\u2066-\u2069]*$/u, 'it has characters that act on a terminal')

/** An Ed25519 public key in OpenSSH form is exactly this long. */
const hostKey = z
  .string()
  .regex(/^ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI[A-Za-z0-9+/]{43}$/, 'that is no ssh-ed25519 key')

const secretText = text.default('').transform((value) => (value === '' ? ('' as const) : new Secret(value)))

const lenderPort = port.extend({
  ...withText(port.shape, text),
  InternalPort: z.number().int().min(0).max(65_535),
  ExternalPort: z.number().int().min(1).max(65_535),
})

/** The id of a container that an engine made. */
export const lenderContainerId = containerId.regex(/^[0-9a-f]{64}$/, 'that is no container id')

/** A lender's reply to `container.create`. Unknown keys are dropped; there must be a tcp port for SSH. */
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
    .refine((ports) => sshPort(ports) !== undefined, 'no port for SSH'),
  // Made here, never believed: it is pasted into a shell.
  SSHCommand: z.unknown().transform(() => ''),
})

/** One entry of a lender's `container.listed`. `requestId` is told by lenders who know which request made it. */
export const lenderEntry = containerSummary
  .pick({ state: true, requestId: true })
  .partial({ requestId: true })
  .extend({ id: lenderContainerId })

/** Largest list of one lender that is looked at. */
export const lenderList = z.array(z.unknown()).max(10_000)

type WithText<S, T> = { [K in keyof S]: S[K] extends z.ZodString ? T : S[K] }

/** The same fields, each text checked by `text`. */
function withText<S extends z.ZodRawShape, T extends z.ZodType>(shape: S, text: T): WithText<S, T> {
  const fields = Object.entries(shape).map(([name, field]) => [name, field instanceof z.ZodString ? text : field])
  return Object.fromEntries(fields) as WithText<S, T>
}
