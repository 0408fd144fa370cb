import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Server, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { createServer as createTlsServer, type TLSSocket } from 'node:tls'
import { HEADERS_TIMEOUT_MS, IDLE_TIMEOUT_MS } from '../../protocol/defaults/listeners.ts'
import { AppError } from '../../protocol/errors.ts'
import { formatAddress } from '../../protocol/net/address.ts'
import { provenPeer } from '../identity/certificate.ts'
import type { Identity } from '../identity.ts'
import { once } from '../once.ts'
import { type ConnectionLimits, connectionLimits, createConnectionLimit } from './connectionLimit.ts'
import { onFirstChunk } from './firstChunk.ts'
import type { AcceptFrp, Handle, Principal, Upgrade } from './principal.ts'
import { shutDown } from './shutDown.ts'

export interface ListenerOptions {
  identity: Pick<Identity, 'tls'>
  handle: Handle
  /** Takes over connections for another protocol. It must never throw. If absent, upgrades are rejected. */
  upgrade?: Upgrade
  /** Takes over connections that speak frp, in clear or inside TLS. If absent, they are bad HTTP. */
  acceptFrp?: AcceptFrp
  /** The address to listen on. If absent, all addresses of IPv6 and IPv4, or only IPv4 if the machine has no IPv6. */
  host?: string
  /** The port to listen on; 0 selects a free one. */
  port: number
  headersTimeoutMs?: number
  idleTimeoutMs?: number
  limits?: ConnectionLimits
}

export interface Listener {
  port: number
  /** The addresses on which it listens, as `host:port`. */
  addresses: string[]
  /** Takes over a stream that a peer has opened over a punched path. TLS follows, and no limit of this port counts it. */
  accept(stream: Duplex): void
  /** Stops listening, and ends every connection after at most `CLOSE_TIMEOUT_MS`. May be called more than once. */
  close(): Promise<void>
}

/** The first byte of a TLS handshake record (RFC 8446 5.1). No HTTP request begins with it. */
const TLS_HANDSHAKE = 0x16

/** frp's clients before 0.50 send it in front of their TLS handshake. */
const FRP_TLS_HEAD = 0x17

/**
 * The first bytes of frp: the version of its multiplexer, and the first messages of a connection (login, work connection,
 * visitor). No method of HTTP begins with one, because methods are in upper case.
 */
const FRP_FIRST_BYTES: ReadonlySet<number> = new Set([0x00, ...Buffer.from('owv')])

/**
 * Opens one TCP port for TLS 1.3, where the caller is the node id of the key that it has proved to hold, and for what is
 * in clear, where every caller is anonymous. In both, the first byte tells frp from HTTP. Throws `port_busy` or `listen_failed`.
 */
export async function openListener(options: ListenerOptions): Promise<Listener> {
  const { identity, handle, upgrade, acceptFrp, host, port, headersTimeoutMs = HEADERS_TIMEOUT_MS } = options
  const count = createConnectionLimit(options.limits ?? connectionLimits())
  const sockets = new Set<Duplex>()
  /** What gives the place of a connection back, by its path: TLS wraps the socket in another one. */
  const releases = new Map<string, () => void>()
  const principals = new WeakMap<Socket, Principal>()
  const principalAt = (socket: Socket): Principal =>
    principals.get(socket) ?? { caller: 'anonymous', address: socket.remoteAddress ?? '' }
  const times = { headersTimeout: headersTimeoutMs, requestTimeout: headersTimeoutMs }
  const interval = { connectionsCheckingInterval: Math.min(1_000, headersTimeoutMs) }
  const server = createServer({ ...times, ...interval }, (request: IncomingMessage, response: ServerResponse) => {
    handle(request, response, principalAt(request.socket))
  })
  if (upgrade)
    server.on('upgrade', (request, socket, head) => upgrade(request, socket, head, principalAt(request.socket)))
  server.timeout = options.idleTimeoutMs ?? IDLE_TIMEOUT_MS
  // The server's own listener starts HTTP on a connection. Here HTTP starts only after the first byte was inspected.
  const [beginHttp] = server.listeners('connection') as ((socket: Socket) => void)[]
  server.removeAllListeners('connection')

  const tls = createTlsServer(
    {
      ...identity.tls,
      minVersion: 'TLSv1.3',
      requestCert: true,
      // No authority signs node keys. The handshake proves possession of the key, and the rights depend on the key.
      rejectUnauthorized: false,
      handshakeTimeout: headersTimeoutMs,
    },
    (socket) => {
      principals.set(socket, principalOf(socket))
      socket.on('error', () => {})
      onFirstChunk(socket, headersTimeoutMs, ([byte]) => begin(byte as number, socket))
    },
  )
  tls.on('tlsClientError', (_error, socket) => socket.destroy())

  /** Starts the protocol that the first byte tells, inside TLS or without. */
  function begin(byte: number, socket: Socket): void {
    if (!acceptFrp || !FRP_FIRST_BYTES.has(byte)) beginHttp?.call(server, socket)
    else acceptFrp(socket, principalAt(socket), releases.get(pathOf(socket)) ?? (() => {}))
  }

  server.on('connection', (socket: Socket) => {
    const release = count(socket)
    if (!release) return socket.destroy()
    sockets.add(socket)
    const path = pathOf(socket)
    releases.set(path, release)
    socket.on('close', () => {
      sockets.delete(socket)
      releases.delete(path)
    })
    // HTTP or TLS handles the errors of the socket later. Until then, an error without a listener would end the
    // process.
    socket.on('error', () => {})
    onFirstChunk(socket, headersTimeoutMs, ([byte]) => {
      if (byte === FRP_TLS_HEAD) socket.read(1)
      if (byte === TLS_HANDSHAKE || byte === FRP_TLS_HEAD) tls.emit('connection', socket)
      else begin(byte as number, socket)
    })
  })

  await listen(server, port, host)
  const { address, port: bound } = server.address() as AddressInfo
  return {
    port: bound,
    addresses: [formatAddress({ host: address, port: bound })],
    accept(stream) {
      if (!server.listening) return void stream.destroy()
      stream.on('error', () => {})
      sockets.add(stream)
      stream.once('close', () => sockets.delete(stream))
      tls.emit('connection', stream)
    },
    close: once(() => shutDown(server, sockets)),
  }
}

/** The two ends of a connection, which are the same for its socket and for the TLS in it. */
function pathOf({ localAddress, remoteAddress, remotePort }: Socket): string {
  return `${localAddress} ${remoteAddress} ${remotePort}`
}

function principalOf(socket: TLSSocket): Principal {
  const peer = provenPeer(socket)
  const address = socket.remoteAddress ?? peer?.id ?? ''
  return peer ? { caller: peer.id, key: `${peer.key} ${peer.name}`.trim(), address } : { caller: 'anonymous', address }
}

function listen(server: Server, port: number, host: string | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') return reject(new AppError('port_busy', { port }, error))
      const where = host === undefined ? `port ${port}` : formatAddress({ host, port })
      reject(new AppError('listen_failed', { where, why: error.message }, error))
    }
    server.once('error', fail)
    server.listen({ port, ...(host !== undefined && { host }) }, () => {
      server.off('error', fail)
      resolve()
    })
  })
}
