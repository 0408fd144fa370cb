import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Server, Socket } from 'node:net'
import { createServer as createTlsServer, type TLSSocket } from 'node:tls'
import { HEADERS_TIMEOUT_MS, IDLE_TIMEOUT_MS } from '../../protocol/defaults/listeners.ts'
import { AppError } from '../../protocol/errors.ts'
import { formatAddress } from '../../protocol/net/address.ts'
import { provenPeer } from '../identity/certificate.ts'
import type { Identity } from '../identity.ts'
import { once } from '../once.ts'
import type { Handle, Principal, Upgrade } from './principal.ts'
import { shutDown } from './shutDown.ts'

export interface ListenerOptions {
  identity: Pick<Identity, 'tls'>
  handle: Handle
  /** Takes connections over for another protocol; absent: there is none. It must never throw. */
  upgrade?: Upgrade
  /** One address to listen on. Absent: all, IPv6 and IPv4, or IPv4 alone where there is no IPv6. */
  host?: string
  /** 0 takes any free one. */
  port: number
  headersTimeoutMs?: number
}

export interface Listener {
  port: number
  /** Where it listens, as `host:port`. */
  addresses: string[]
  /** Listens no more, lets answers go out for `CLOSE_GRACE_MS`, then ends every connection. May be called twice. */
  close(): Promise<void>
}

/** The first byte of a TLS handshake record (RFC 8446 5.1). No HTTP request begins with it. */
const TLS_HANDSHAKE = 0x16

/**
 * One TCP port for two worlds: TLS 1.3, where a caller is the node id of the key that it proved to hold, and plain
 * HTTP, where everybody is anonymous. Throws `port_busy` or `listen_failed`.
 */
export async function openListener(options: ListenerOptions): Promise<Listener> {
  const { identity, handle, upgrade, host, port, headersTimeoutMs = HEADERS_TIMEOUT_MS } = options
  const sockets = new Set<Socket>()
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
  server.timeout = IDLE_TIMEOUT_MS
  // Node's own listener begins HTTP on a connection; here it begins only after the first byte was looked at.
  const [beginHttp] = server.listeners('connection') as ((socket: Socket) => void)[]
  server.removeAllListeners('connection')

  const tls = createTlsServer(
    {
      ...identity.tls,
      minVersion: 'TLSv1.3',
      requestCert: true,
      // No authority signs node keys: the handshake proves possession, and the rights are looked up by the key.
      rejectUnauthorized: false,
      handshakeTimeout: headersTimeoutMs,
    },
    (socket) => {
      principals.set(socket, principalOf(socket))
      beginHttp?.call(server, socket)
    },
  )
  tls.on('tlsClientError', (_error, socket) => socket.destroy())

  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    // Whoever reads it later hears its errors too; between the two an error without a listener would end the process.
    socket.on('error', () => {})
    onFirstByte(socket, headersTimeoutMs, (byte) => {
      if (byte === TLS_HANDSHAKE) tls.emit('connection', socket)
      else beginHttp?.call(server, socket)
    })
  })

  await listen(server, port, host)
  const { address, port: bound } = server.address() as AddressInfo
  return {
    port: bound,
    addresses: [formatAddress({ host: address, port: bound })],
    close: once(() => shutDown(server, sockets)),
  }
}

/** Looks at the first byte and leaves it where it was. A connection that says nothing within `ms` is closed. */
function onFirstByte(socket: Socket, ms: number, onByte: (byte: number) => void): void {
  const timer = setTimeout(() => socket.destroy(), ms)
  const peek = () => {
    const chunk: Buffer | null = socket.read()
    const byte = chunk?.[0]
    if (chunk === null || byte === undefined) return
    cleanUp()
    socket.unshift(chunk)
    onByte(byte)
  }
  const hangUp = () => socket.destroy()
  const cleanUp = () => {
    clearTimeout(timer)
    socket.off('readable', peek)
    socket.off('end', hangUp)
    socket.off('close', cleanUp)
  }
  socket.on('readable', peek)
  socket.on('end', hangUp)
  socket.on('close', cleanUp)
}

function principalOf(socket: TLSSocket): Principal {
  const address = socket.remoteAddress ?? ''
  const peer = provenPeer(socket)
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
