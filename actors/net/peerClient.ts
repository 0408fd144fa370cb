import { isIP } from 'node:net'
import { connect, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls'
import { type ReceivedFact, sendRequest } from '../../client/commandStream.ts'
import { connectionError, protocolError } from '../../client/connectionError.ts'
import { withoutControlCharacters } from '../../client/receivedText.ts'
import { CONNECT_TIMEOUT_MS } from '../../protocol/defaults/net.ts'
import { AppError } from '../../protocol/errors.ts'
import type { NodeId } from '../../protocol/ids.ts'
import { type Answer, commands } from '../../protocol/index.ts'
import { formatAddress } from '../../protocol/net/address.ts'
import { type ProvenPeer, provenPeer } from '../identity/certificate.ts'
import type { Identity } from '../identity.ts'

export interface PeerAddress {
  host: string
  port: number
  /** The node that must answer there; `wrong_node` if it is another. */
  id?: NodeId
}

export interface PeerRequestOptions {
  /** Every fact in order, the finishing one included. Its texts are free of control characters. */
  onFact?: (fact: Answer) => void
  signal?: AbortSignal
  /** How long the peer may be silent, heartbeats included. */
  silenceMs?: number
}

/** Asks other nodes over mutual TLS 1.3. Each command has a connection of its own. */
export interface PeerClient {
  /**
   * Resolves with the finishing fact and the node that gave it. Rejects with `unreachable`, `timed_out`, `protocol_error`,
   * `wrong_node`, `connection_lost`, `abandoned`, or the peer's own failure. Facts have the shape the peer gave them:
   * whoever uses a field checks it. Secrets in them are plain strings.
   */
  request(
    to: PeerAddress,
    command: { type: string; requestId?: string; [key: string]: unknown },
    options?: PeerRequestOptions,
  ): Promise<{ fact: Answer } & ProvenPeer>
}

export function createPeerClient(identity: Pick<Identity, 'tls'>): PeerClient {
  return {
    async request(to, command, { onFact, signal, silenceMs } = {}) {
      const where = formatAddress(to)
      const { socket, peer } = await dialPeer(identity, to, signal)
      try {
        const fact = await sendRequest(command, {
          connect: { createConnection: () => socket, headers: { host: where } },
          where,
          ...(onFact && { onFact: (received: ReceivedFact) => onFact(asAnswer(received)) }),
          ...(signal && { signal }),
          ...(silenceMs !== undefined && { silenceMs }),
        })
        const terminalEvents = commands.get(command.type)?.terminalEvents
        if (terminalEvents && !terminalEvents.includes(fact.type)) throw protocolError(where, 'it stopped half-way')
        return { fact: asAnswer(fact), ...peer }
      } finally {
        socket.destroy()
      }
    },
  }
}

/** A TLS connection whose other end has proved to be `peer`. The caller owns the socket. Errors as of `request`. */
export function dialPeer(
  { tls }: Pick<Identity, 'tls'>,
  to: PeerAddress,
  signal?: AbortSignal,
): Promise<{ socket: TLSSocket; peer: ProvenPeer }> {
  const where = formatAddress(to)
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(new AppError('abandoned'))
    const socket = connect({
      host: to.host,
      port: to.port,
      secureContext: contextOf(tls),
      ...(isIP(to.host.split('%')[0] ?? '') === 0 && { servername: to.host }),
      // The certificate is the peer's own; what counts is its key, looked at below.
      rejectUnauthorized: false,
    })
    const finish = (error?: unknown) => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', abandon)
      socket.off('error', fail)
      if (error === undefined) return
      socket.on('error', () => {})
      socket.destroy()
      reject(error)
    }
    let connected = false
    const late = () => finish(new AppError('timed_out', { where, ms: CONNECT_TIMEOUT_MS }))
    const timer = setTimeout(late, CONNECT_TIMEOUT_MS)
    const abandon = () => finish(new AppError('abandoned'))
    const fail = (error: NodeJS.ErrnoException) => {
      const closed = connected && /^(ECONNRESET|EPIPE)$/.test(error.code ?? '')
      finish(closed ? protocolError(where, 'it closed the connection') : connectionError(error, where))
    }
    signal?.addEventListener('abort', abandon)
    socket.on('error', fail)
    socket.once('connect', () => {
      connected = true
    })
    socket.once('secureConnect', () => {
      const peer = provenPeer(socket)
      if (!peer) return finish(protocolError(where, 'it shows no node key'))
      if (to.id && to.id !== peer.id) {
        return finish(new AppError('wrong_node', { where, expected: to.id, found: peer.id }))
      }
      finish()
      resolve({ socket, peer })
    })
  })
}

/** Making one costs as much as a handshake, so each identity has one. */
const contexts = new WeakMap<Identity['tls'], SecureContext>()

function contextOf(tls: Identity['tls']): SecureContext {
  const known = contexts.get(tls)
  if (known) return known
  const made = createSecureContext({ ...tls, minVersion: 'TLSv1.3' })
  contexts.set(tls, made)
  return made
}

function asAnswer(fact: ReceivedFact): Answer {
  return withoutControlCharacters(fact) as unknown as Answer
}
