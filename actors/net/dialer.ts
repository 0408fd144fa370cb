import type { Duplex } from 'node:stream'
import { connectionError } from '../../client/connectionError.ts'
import { CONNECT_TIMEOUT_MS, LEGACY_TIMEOUT_MS, SERVER_INFO_MAX_BYTES } from '../../protocol/defaults/net.ts'
import type { DialerEmits, DialPurpose } from '../../protocol/dialer.ts'
import { AppError, toFailure } from '../../protocol/errors.ts'
import type { NodeId } from '../../protocol/ids.ts'
import { type Endpoint, formatEndpoint, isNumeric, isPunched, isSameEndpoint } from '../../protocol/net/endpoint.ts'
import type { ProvenPeer } from '../identity/certificate.ts'
import type { Identity } from '../identity.ts'
import { connectPlain, connectSecure } from './connect.ts'
import { addressesOf, createDialGuard, type DialGuardOptions } from './dialGuard.ts'
import { fetchText } from './httpClient.ts'
import type { Punched } from './punched.ts'
import { alternateFamilies, DialError, type FailedAttempt, preferIPv6, race } from './race.ts'

/** A peer to dial. */
export interface DialTarget {
  /** The node that must answer. If it is absent, any node may answer. */
  id?: NodeId
  /** The endpoints of the peer. The address family of the first one leads the race. */
  endpoints: readonly Endpoint[]
}

export interface DialOptions {
  purpose: DialPurpose
  signal?: AbortSignal | undefined
  /**
   * Whether the owner named an endpoint or it was proved before. The other endpoints come from third parties: they
   * are refused in ranges that third parties may not name, and share one budget. If this function is absent, the
   * owner asked for the dial, and nothing is refused.
   */
  isTrusted?: (endpoint: Endpoint) => boolean
  /** Whether to dial before others when the budget is short, because the status of a peer depends on the result. */
  urgent?: boolean
  /**
   * Whether a Go P2PRC node may answer, which has no key to prove. `expected`: it answered without a key before, so
   * no TLS handshake is sent, which it would treat as garbage. A target with an id is never a Go node.
   */
  goNode?: 'refused' | 'accepted' | 'expected'
  /** How long one endpoint may take to connect and prove its key, in milliseconds. */
  attemptMs?: number
}

interface Dialled {
  /** Owned by the caller, who must close it. */
  stream: Duplex
  /** The endpoint that answered first, as the caller gave it. */
  endpoint: Endpoint
  /** Milliseconds from the beginning of the dial to the proof. */
  ms: number
}

/** A connection over mutual TLS, whose other end has proved to be `peer`. */
export interface NodeConnection extends Dialled {
  peer: ProvenPeer
}

/** A plain connection to a Go P2PRC node. */
export interface GoConnection extends Dialled {
  peer: null
  /** The body of `/server_info`, if it was requested to identify the peer. */
  serverInfo?: string
}

export type Connection = NodeConnection | GoConnection

/**
 * Opens every connection to another node. Rejects with `DialError`, whose code is that of the one endpoint there was
 * (`unreachable`, `timed_out`, `protocol_error`, `wrong_node`, `not_dialled`, `dialled_lately`, `not_found`) or
 * `unreachable`, and with `abandoned`.
 */
export interface Dialer {
  dial(target: DialTarget, options: DialOptions & { goNode?: 'refused' }): Promise<NodeConnection>
  dial(target: DialTarget, options: DialOptions): Promise<Connection>
  /** Returns whether an endpoint is this node's own. */
  isSelf: DialGuardOptions['isSelf']
}

export interface DialerOptions extends Partial<DialGuardOptions> {
  identity: Pick<Identity, 'tls'>
  /** Opens streams to nodes that are found at a relay. */
  punched?: Pick<Punched, 'connect'>
  /** Receives the outcome of every dial that was not abandoned. */
  publish?: (fact: DialerEmits) => void
}

/**
 * What is dialled over a punched path. The background work of a node, which goes on for every peer, would have every node load
 * hyperdht; it goes over the relay.
 */
const PUNCHED_PURPOSES: ReadonlySet<DialPurpose> = new Set(['command', 'speed'])

/** The result of one attempt, before it is known to have won the race. */
type Attempt = Omit<NodeConnection, 'endpoint' | 'ms'> | Omit<GoConnection, 'endpoint' | 'ms'>

export function createDialer({ identity, publish = () => {}, punched, ...guardOptions }: DialerOptions): Dialer {
  const { isSelf = () => false } = guardOptions
  const resolveName = guardOptions.resolve ?? addressesOf
  const guard = createDialGuard({ test: false, ...guardOptions, isSelf, resolve: resolveName })

  async function dial(target: DialTarget, options: DialOptions): Promise<Connection> {
    const { purpose, signal } = options
    const startedAt = performance.now()
    const endpoints = relayedLast(
      distinct(target.endpoints).filter((each) => !isPunched(each) || PUNCHED_PURPOSES.has(purpose)),
    )
    const where = endpoints.length === 1 && endpoints[0] ? formatEndpoint(endpoints[0]) : (target.id ?? 'The peer')
    try {
      const { endpoint, result, failed } = await race(
        alternateFamilies(endpoints),
        (each, attemptSignal) => attempt(each, { ...options, target, isOnly: endpoints.length === 1 }, attemptSignal),
        { where, signal, discard: ({ stream }) => stream.destroy() },
      )
      const ms = performance.now() - startedAt
      const { id, name, key } = result.peer ?? {}
      publish({
        ...{
          type: 'dial.succeeded',
          purpose,
          endpoint,
          ms,
          at: Date.now(),
          ...(id && { id }),
          ...(key && { name, key }),
        },
        ...(failed.length > 0 && { attempts: toAttempts(failed) }),
      })
      return { ...result, endpoint, ms }
    } catch (error) {
      if (error instanceof DialError) {
        const attempts = toAttempts(error.attempts)
        const at = Date.now()
        publish({ type: 'dial.failed', purpose, ...(target.id && { id: target.id }), attempts, at, ...error.toJSON() })
      }
      throw error
    }
  }

  /** Connects to one endpoint. If it is a host name, its addresses race each other. */
  async function attempt(endpoint: Endpoint, options: AttemptOptions, signal: AbortSignal): Promise<Attempt> {
    const where = formatEndpoint(endpoint)
    const { isTrusted, urgent = false } = options
    const [allowed] = isTrusted
      ? [await guard.authorize(endpoint, { trusted: isTrusted(endpoint), urgent, signal, id: options.target.id })]
      : []
    const named = allowed ?? endpoint
    const found = isNumeric(named) ? [named] : await resolved(named, where)
    const proveAt = async (each: Endpoint, eachSignal: AbortSignal) => {
      const proved = await prove(each, where, { ...options, servername: endpoint.host }, eachSignal)
      if (proved.peer) guard.markProved(each)
      return proved
    }
    const [only] = found
    if (only && found.length === 1) return proveAt(only, signal)
    const discard = ({ stream }: Attempt) => stream.destroy()
    return (await race(alternateFamilies(found), proveAt, { where, signal, discard })).result
  }

  async function resolved(endpoint: Endpoint, where: string): Promise<Endpoint[]> {
    const addresses = await resolveName(endpoint.host).catch((error) => {
      throw connectionError(error, where)
    })
    return preferIPv6(addresses.map((host) => ({ ...endpoint, host })))
  }

  /** Identifies the peer. This is the one place that tells a node from a Go node. */
  async function prove(at: Endpoint, where: string, options: ProveOptions, signal: AbortSignal): Promise<Attempt> {
    const { target, goNode = 'refused', isOnly, servername, attemptMs = CONNECT_TIMEOUT_MS } = options
    const to = { host: at.host, port: at.port, where, signal, timeoutMs: attemptMs }
    const mayBeGoNode = goNode !== 'refused' && target.id === undefined && !isPunched(at)
    if (mayBeGoNode && goNode === 'expected') {
      const stream = await connectPlain(to)
      // The only endpoint needs no check: the caller's own request shows whether it answers.
      return isOnly ? { stream, peer: null } : withServerInfo(stream, where, options.attemptMs, signal)
    }
    try {
      const isName = servername !== at.host
      const { socket, peer } = await connectSecure({
        ...to,
        tls: identity.tls,
        id: target.id,
        ...(isPunched(at) && { over: await openPunched(at, target.id, signal) }),
        ...(isName && { servername }),
      })
      return { stream: socket, peer }
    } catch (error) {
      if (!mayBeGoNode || (error as { code?: string }).code !== 'protocol_error') throw error
      return await connectPlain(to)
        .then((stream) => withServerInfo(stream, where, options.attemptMs, signal))
        .catch(() => {
          throw error
        })
    }
  }

  /** Opens a stream over UDP, through the routers of both ends. `at` is the relay at which the node is found. */
  async function openPunched(at: Endpoint, id: NodeId | undefined, signal: AbortSignal): Promise<Duplex> {
    const where = formatEndpoint(at)
    if (!id) throw new AppError('unreachable', { where, why: 'it names a relay, and no node that is found there' })
    if (!punched) throw new AppError('punching_missing', { why: 'this process does not use it' })
    return punched.connect(at, id, signal)
  }

  return { dial: dial as Dialer['dial'], isSelf }
}

function toAttempts(failed: readonly FailedAttempt[]) {
  return failed.map(({ endpoint, error }) => ({ endpoint, ...toFailure(error) }))
}

type AttemptOptions = DialOptions & { target: DialTarget; isOnly: boolean }
type ProveOptions = AttemptOptions & { servername: string }

/** Identifies a Go node by its response. It proves nothing, so its data is unverified. */
async function withServerInfo(
  stream: Duplex,
  where: string,
  timeoutMs = LEGACY_TIMEOUT_MS,
  signal: AbortSignal,
): Promise<Attempt> {
  try {
    const limits = { timeoutMs, maxBytes: SERVER_INFO_MAX_BYTES }
    return {
      stream,
      peer: null,
      serverInfo: await fetchText(stream, { where, path: '/server_info', signal, ...limits }),
    }
  } catch (error) {
    stream.destroy()
    throw error
  }
}

/** Puts relayed endpoints last, though background work has reached the peer there: the punched path is better. */
function relayedLast(endpoints: readonly Endpoint[]): Endpoint[] {
  const rank = ({ kind }: Endpoint) => Number(kind === 'relayed')
  return endpoints.some(isPunched) ? [...endpoints].sort((one, other) => rank(one) - rank(other)) : [...endpoints]
}

function distinct(endpoints: readonly Endpoint[]): Endpoint[] {
  return endpoints.filter((one, index) => endpoints.findIndex((other) => isSameEndpoint(one, other)) === index)
}
