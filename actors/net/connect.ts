import { connect as connectTcp, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as connectTls, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls'
import { connectionError, protocolError } from '../../client/connectionError.ts'
import { AppError } from '../../protocol/errors.ts'
import type { NodeId } from '../../protocol/ids.ts'
import { type ProvenPeer, provenPeer } from '../identity/certificate.ts'
import type { Identity } from '../identity.ts'

export interface ConnectOptions {
  /** An IP address. */
  host: string
  port: number
  /** The name of the endpoint in errors. */
  where: string
  signal: AbortSignal
  timeoutMs: number
}

/** Opens a TCP connection. Rejects with `unreachable`, `timed_out`, `abandoned`. */
export function connectPlain({ host, port, ...options }: ConnectOptions): Promise<Socket> {
  if (options.signal.aborted) return Promise.reject(new AppError('abandoned'))
  const socket = connectTcp({ host, port })
  return established(
    socket,
    'connect',
    options,
    (error) => connectionError(error, options.where),
    () => socket,
  )
}

export interface SecureConnectOptions extends ConnectOptions {
  tls: Identity['tls']
  /** The host name that resolved to the address. */
  servername?: string
  /** The node that must answer. */
  id?: NodeId | undefined
  /** A stream to the peer, over which TLS runs instead of a TCP connection. It is owned by the connection from now on. */
  over?: Duplex
}

/**
 * Opens a TLS connection whose other end has proved its key. Rejects with `unreachable`, `timed_out`,
 * `protocol_error`, `wrong_node`, `abandoned`.
 */
export function connectSecure(options: SecureConnectOptions): Promise<{ socket: TLSSocket; peer: ProvenPeer }> {
  const { host, port, where, tls, servername, id, over } = options
  if (options.signal.aborted) {
    over?.destroy()
    return Promise.reject(new AppError('abandoned'))
  }
  const socket = connectTls({
    ...(over ? { socket: over } : { host, port }),
    secureContext: contextOf(tls),
    ...(servername && { servername }),
    // The certificate is self-signed; the peer's key is checked below instead.
    rejectUnauthorized: false,
  })
  let isConnected = over !== undefined
  socket.once('connect', () => {
    isConnected = true
  })
  const describe = (error: NodeJS.ErrnoException) =>
    isConnected && /^(ECONNRESET|EPIPE)$/.test(error.code ?? '')
      ? protocolError(where, 'it closed the connection', error)
      : connectionError(error, where)
  return established(socket, 'secureConnect', options, describe, () => {
    const peer = provenPeer(socket)
    if (!peer) throw protocolError(where, 'it shows no node key')
    if (id && id !== peer.id) throw new AppError('wrong_node', { where, expected: id, found: peer.id })
    return { socket, peer }
  })
}

/** Waits for `event`, at most `timeoutMs`. Any failure destroys the socket. */
function established<T>(
  socket: Socket,
  event: 'connect' | 'secureConnect',
  { where, signal, timeoutMs }: Pick<ConnectOptions, 'where' | 'signal' | 'timeoutMs'>,
  describe: (error: NodeJS.ErrnoException) => AppError,
  take: () => T,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const settle = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', abandon)
      socket.off('error', onError)
      // From here on, readers and writers see an error as the close of the connection.
      socket.on('error', () => {})
    }
    const fail = (error: unknown) => {
      settle()
      socket.destroy()
      reject(error)
    }
    const timer = setTimeout(() => fail(new AppError('timed_out', { where, ms: timeoutMs })), timeoutMs)
    const abandon = () => fail(new AppError('abandoned'))
    const onError = (error: NodeJS.ErrnoException) => fail(describe(error))
    signal.addEventListener('abort', abandon)
    socket.on('error', onError)
    socket.once(event, () => {
      try {
        const taken = take()
        settle()
        resolve(taken)
      } catch (error) {
        fail(error)
      }
    })
  })
}

/** Creating a context costs as much as a handshake, so each identity keeps one. */
const contexts = new WeakMap<Identity['tls'], SecureContext>()

function contextOf(tls: Identity['tls']): SecureContext {
  const known = contexts.get(tls)
  if (known) return known
  const created = createSecureContext({ ...tls, minVersion: 'TLSv1.3' })
  contexts.set(tls, created)
  return created
}
