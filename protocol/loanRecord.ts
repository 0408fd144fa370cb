import { z } from 'zod'
import { containerManagerCommands, containerReply, containerSummary } from './containerManager.ts'
import { containerId, nodeId } from './ids.ts'

/** An id of a tracked container or the beginning of one: 64 hex digits, or Go P2PRC's 22 letters and digits. */
export const loanRef = z.string().regex(/^[0-9A-Za-z]{1,64}$/, 'a container id is letters and digits')

/** A tracked container: P2PRC's record (`ID`, `Container`, `IpAddress`), and what P2PRC did not know. */
export const loan = z.object({
  ID: containerId,
  Container: containerReply,
  /** The lender's `ip:port`, `[v6]:port` or `name:port`, where it answered when the container was taken. */
  IpAddress: z.string(),
  /** The lender's key; absent in records that Go P2PRC wrote. */
  NodeId: nodeId.optional(),
  /** What opens its shell: this node's key, a key of the user's, or the password of the one reply. */
  Auth: z.enum(['nodeKey', 'userKey', 'password']).optional(),
  /** The user's private key file, where it is known. */
  KeyFile: z.string().optional(),
})

export type Loan = z.infer<typeof loan>

/** What the lender last said of it, or why it said nothing. `unknown`: a Go node, which cannot say. */
export const loanState = z.enum([...containerSummary.shape.state.options, 'gone', 'unreachable', 'refused', 'unknown'])

export type LoanState = z.infer<typeof loanState>

/** How a container is asked for. */
export const takeOptions = containerManagerCommands['container.create'].schema.extend({
  /** "" with `password` false means this node's own key. */
  key: containerManagerCommands['container.create'].schema.shape.key,
  /** The seeds' way: no key, a password comes back. */
  password: z.boolean().default(false),
  /** Where the user's private key for `key` lies, so that ssh can be told. */
  keyFile: z.string().max(4_096).default(''),
})

/** Also keeps an option out of ssh's destination. */
export const sshUser = z.string().regex(/^[a-z_][a-z0-9_-]{0,31}$/)

/** The external port of a container's SSH server. */
export function sshPort({ Port }: { Port: { PortName: string; Type: string; ExternalPort: number }[] }) {
  return Port.find(({ PortName, Type }) => PortName === 'SSH' && Type === 'tcp')?.ExternalPort
}
