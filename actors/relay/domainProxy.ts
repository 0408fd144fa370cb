import { Agent, createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { createServer as createTlsServer, type SecureContext, type TLSSocket } from 'node:tls'
import { HEADERS_TIMEOUT_MS, IDLE_TIMEOUT_MS } from '../../protocol/defaults/listeners.ts'
import { DOMAIN_PROXY } from '../../protocol/defaults/relay.ts'
import { AppError } from '../../protocol/errors.ts'
import { domainOfHost, readDomainName } from '../../protocol/net/domainName.ts'
import { type ConnectionLimits, connectionLimits, createConnectionLimit } from '../listeners/connectionLimit.ts'
import { onFirstChunk } from '../listeners/firstChunk.ts'
import { shutDown } from '../listeners/shutDown.ts'
import { once } from '../once.ts'
import type { DomainCertificates } from './domainCertificates.ts'
import type { DomainNames } from './domainNames.ts'

export interface DomainProxyOptions {
  names: Pick<DomainNames, 'portOf'>
  certificates: Pick<DomainCertificates, 'contextOf'>
  /** What proves to an authority that a name leads here; undefined while none asks for it (RFC 8737). */
  challengeOf?(name: string): SecureContext | undefined
  port: number
  host?: string
  /** The address at which the lent ports are bound. */
  lentHost?: string
  limits?: ConnectionLimits
}

export interface DomainProxy {
  port: number
  close(): Promise<void>
}

/** The first byte of a TLS handshake record (RFC 8446 5.1). */
const TLS_HANDSHAKE = 0x16

/** The protocol by which an authority asks for the proof (RFC 8737). It stands in the clear in the first record. */
const ACME_PROTOCOL = 'acme-tls/1'

/** Says nothing of users but what this proxy has seen itself. */
const FORWARDED = [
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-forwarded-proto',
  'x-real-ip',
]

/**
 * A reverse proxy by name: what comes for a claimed name goes to the port that is lent to its owner, WebSockets too, with
 * the `Host` that the user has sent. It never looks up an address, so that nobody can aim it elsewhere. What comes without TLS is
 * sent to the same place with it. Throws `port_busy` and `listen_failed`.
 */
export async function openDomainProxy(options: DomainProxyOptions): Promise<DomainProxy> {
  const { names, certificates, challengeOf, port, host, lentHost = '127.0.0.1' } = options
  const { createProxyServer } = await import('httpxy')
  const count = createConnectionLimit(options.limits ?? connectionLimits())
  const agent = new Agent({ keepAlive: true, timeout: DOMAIN_PROXY.keepAliveMs })
  const proxy = createProxyServer({ xfwd: true, agent, proxyTimeout: DOMAIN_PROXY.answerTimeoutMs })
  const sockets = new Set<Socket>()

  /** Returns the target of a request, or the status and the sentence of a refusal. */
  function targetOf({ headers, socket, url }: IncomingMessage): string | [status: number, why: string] {
    const name = domainOfHost(headers.host)
    const { servername } = socket as TLSSocket
    if (name === undefined || !url?.startsWith('/')) return [400, 'The request names no domain.']
    // A user who has checked the certificate of one name must not be answered by another one's machine.
    if (servername && readDomainName(servername) !== name) return [421, 'TLS was set up for another domain.']
    const lent = names.portOf(name)
    if (lent === null) return [404, `Nothing is shown here as ${name}.`]
    if (lent === undefined) return [503, `The machine behind ${name} is not connected at this moment.`]
    return `http://${lentHost}:${lent}`
  }

  function handle(request: IncomingMessage, response: ServerResponse): void {
    const target = targetOf(request)
    if (typeof target !== 'string') return void refuse(response, ...target)
    for (const name of FORWARDED) delete request.headers[name]
    void proxy.web(request, response, { target }).catch(() => {})
  }

  function upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const target = targetOf(request)
    socket.on('error', () => {})
    if (typeof target !== 'string') return void socket.end(`HTTP/1.1 ${target[0]} Refused\r\nconnection: close\r\n\r\n`)
    for (const name of FORWARDED) delete request.headers[name]
    void proxy
      .ws(request, socket as Socket, { target, upgradeTimeout: DOMAIN_PROXY.answerTimeoutMs }, head)
      .catch(() => {})
  }

  proxy.on('error', (_error, request, response) => {
    if (!response || !('writeHead' in response)) return void response?.destroy()
    if (response.headersSent) return void response.destroy()
    refuse(response, 502, `The machine behind ${domainOfHost(request?.headers.host)} does not answer.`)
  })

  const times = { headersTimeout: HEADERS_TIMEOUT_MS, requestTimeout: 0 }
  const https = createHttpsServer(
    {
      ...times,
      minVersion: 'TLSv1.2',
      handshakeTimeout: HEADERS_TIMEOUT_MS,
      ALPNProtocols: ['http/1.1'],
      SNICallback(text, done) {
        const name = readDomainName(text)
        if (name === undefined || names.portOf(name) === null) return done(new Error('no such name'))
        certificates.contextOf(name).then((context) => done(null, context), done)
      },
    },
    handle,
  )
  https.on('upgrade', upgrade)
  https.timeout = IDLE_TIMEOUT_MS
  https.on('tlsClientError', (_error, socket) => socket.destroy())

  const challenges = createTlsServer({
    ALPNProtocols: [ACME_PROTOCOL],
    handshakeTimeout: HEADERS_TIMEOUT_MS,
    SNICallback(text, done) {
      const context = challengeOf?.(text.toLowerCase())
      if (context) done(null, context)
      else done(new Error('no such challenge'))
    },
  })
  challenges.on('secureConnection', (socket) => socket.on('error', () => {}).end())
  challenges.on('tlsClientError', (_error, socket) => socket.destroy())

  const plain = createServer(times, (request, response) => {
    const name = domainOfHost(request.headers.host)
    if (name === undefined || !request.url?.startsWith('/'))
      return void refuse(response, 400, 'The request names no domain.')
    const at = bound.port === 443 ? name : `${name}:${bound.port}`
    response.writeHead(308, { location: `https://${at}${request.url}`, connection: 'close' }).end()
  })
  plain.timeout = IDLE_TIMEOUT_MS

  const server = createTcpServer({ noDelay: true }, (socket) => {
    if (!count(socket)) return void socket.destroy()
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {})
    onFirstChunk(socket, HEADERS_TIMEOUT_MS, (chunk) => {
      if (chunk[0] !== TLS_HANDSHAKE) plain.emit('connection', socket)
      else if (chunk.includes(ACME_PROTOCOL)) challenges.emit('connection', socket)
      else https.emit('connection', socket)
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') return reject(new AppError('port_busy', { port }, error))
      reject(new AppError('listen_failed', { where: `port ${port}`, why: error.message }, error))
    })
    server.listen({ port, ...(host !== undefined && { host }) }, resolve)
  })
  const bound = server.address() as AddressInfo
  return {
    port: bound.port,
    close: once(async () => {
      await shutDown(server, sockets)
      agent.destroy()
    }),
  }
}

function refuse(response: ServerResponse, status: number, why: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(`${why}\n`)
}
