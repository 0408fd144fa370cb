import { z } from 'zod'
import { containerManagerCommands, containerReply, containerSummary, type Port } from './containerManager.ts'
import { containerId, nodeId } from './ids.ts'
import { formatAddress, parseAddress } from './net/address.ts'
import { directEndpoint, type Endpoint, formatEndpoint, parseEndpoints } from './net/endpoint.ts'

/** The id of a tracked container or the beginning of one: 64 hex digits, or 22 letters and digits from Go P2PRC. */
export const loanRef = z.string().regex(/^[0-9A-Za-z]{1,64}$/, 'a container id is letters and digits')

/** A tracked container: P2PRC's record (`ID`, `Container`, `IpAddress`) with the fields that this version adds. */
export const loan = z.object({
  ID: containerId,
  Container: containerReply,
  /** The `ip:port`, `[v6]:port` or `name:port` at which the lender answered when it lent the container. */
  IpAddress: z.string(),
  /** The text of the lender's endpoint; absent in records that Go P2PRC wrote, which have `IpAddress` alone. */
  Endpoint: z.string().optional(),
  /** The lender's node id; absent in records that Go P2PRC wrote. */
  NodeId: nodeId.optional(),
  /**
   * How its SSH server authenticates the borrower: by this node's key, a key of the user, or the password in the reply.
   */
  Auth: z.enum(['nodeKey', 'userKey', 'password']).optional(),
  /** The file of the user's private key, if it is known. */
  KeyFile: z.string().optional(),
})

export type Loan = z.infer<typeof loan>

/**
 * The last state that the lender reported, or why there is none. `unknown` means a Go node, which does not report it.
 */
export const loanState = z.enum([...containerSummary.shape.state.options, 'gone', 'unreachable', 'refused', 'unknown'])

export type LoanState = z.infer<typeof loanState>

/**
 * A container that a lender says it lends to this node. `requestId` is that of the request that created it, if the
 * lender knows it.
 */
export const heldContainer = containerSummary
  .pick({ id: true, state: true, requestId: true, createdAt: true })
  .partial({ requestId: true, createdAt: true })

export type HeldContainer = z.infer<typeof heldContainer>

/** The options of a request for a container. */
export const takeOptions = containerManagerCommands['container.create'].schema.extend({
  /** "" with `password` false means this node's own key. */
  key: containerManagerCommands['container.create'].schema.shape.key,
  /** Sends no key and receives a password, as the original P2PRC does. */
  password: z.boolean().default(false),
  /** The path of the user's private key for `key`, which is passed to ssh. */
  keyFile: z.string().max(4_096).default(''),
})

/** A user name. The pattern also prevents an option in the destination of ssh. */
export const sshUser = z.string().regex(/^[a-z_][a-z0-9_-]{0,31}$/)

/** Returns the published port of a container's SSH server. */
export function sshPort<P extends { PortName: string; Type: string }>({ Port }: { Port: P[] }): P | undefined {
  return Port.find(({ PortName, Type }) => PortName === 'SSH' && Type === 'tcp')
}

/**
 * Returns the endpoint at which the lender of a loan answered last. A record of an endpoint whose kind this version does
 * not know, or of Go P2PRC, is read from `IpAddress`. Throws `bad_address`.
 */
export function lenderEndpoint({ Endpoint: text, IpAddress }: Pick<Loan, 'Endpoint' | 'IpAddress'>): Endpoint {
  return parseEndpoints(text ? [text] : [])[0] ?? directEndpoint(parseAddress(IpAddress))
}

/** Returns the endpoint of a published port: its own, or else the port at the lender's host. Throws `bad_address`. */
export function portEndpoint(loan: Loan, { Endpoint: text, ExternalPort }: Port): Endpoint {
  return parseEndpoints(text ? [text] : [])[0] ?? { ...lenderEndpoint(loan), port: ExternalPort }
}

/** Returns the record of a loan whose lender answers at `endpoint`, and with it every port that it published. */
export function atEndpoint(loan: Loan, endpoint: Endpoint): Loan {
  const text = formatEndpoint(endpoint)
  const published = (one: Port) => ({ ...one, Endpoint: formatEndpoint({ ...endpoint, port: one.ExternalPort }) })
  const Ports = { ...loan.Container.Ports, Port: loan.Container.Ports.Port.map(published) }
  return { ...loan, IpAddress: formatAddress(endpoint), Endpoint: text, Container: { ...loan.Container, Ports } }
}
