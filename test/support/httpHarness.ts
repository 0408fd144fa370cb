import { generateKeyPairSync } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { request } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls'
import { text } from '../../actors/identity/sshWire.ts'
import { type Identity, loadIdentity } from '../../actors/identity.ts'
import { listenControl } from '../../actors/listeners/controlSocket.ts'
import { createEventStream } from '../../actors/listeners/eventStream.ts'
import { createHttpServer, type HttpServerOptions } from '../../actors/listeners/httpServer.ts'
import { type Listener, type ListenerOptions, openListener } from '../../actors/listeners/tcp.ts'
import { createRegistry } from '../../actors/registry.ts'
import { createBus } from '../../protocol/bus.ts'
import type { BusEvent } from '../../protocol/index.ts'
import type { Rights } from '../../protocol/rights.ts'
import { Secret } from '../../protocol/secret.ts'
import { record } from './harness.ts'

/** Opens an HTTP server with all its listeners on loopback. Only the test is on its bus. */
export async function httpHarness(options: Partial<HttpServerOptions & ListenerOptions> = {}) {
  const dir = await mkdtemp(join(tmpdir(), 'p2prc-listener-'))
  const identity = await newIdentity(dir, 'lender')
  const bus = createBus<BusEvent>()
  const rights: { current: Rights } = { current: { trusted: new Set(), open: false, relay: 'off' } }
  const seen = record(bus)
  const events = createEventStream({ bus, registry: createRegistry() })
  const httpServer = await createHttpServer({ bus, rights: () => rights.current, events, ...options })
  const listener: Listener = await openListener({
    identity,
    handle: httpServer.handle,
    port: 0,
    host: '127.0.0.1',
    ...options,
  })
  const socketPath = join(dir, 'run', 'control.sock')
  const control = await listenControl({ path: socketPath, handle: httpServer.handle })
  return {
    dir,
    identity,
    bus,
    events,
    httpServer,
    listener,
    control,
    socketPath,
    seen,
    rights,
    where: { host: '127.0.0.1', port: listener.port },
    async close() {
      await httpServer.close()
      await Promise.all([listener.close(), control.close()])
      bus.close()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

export type HttpHarness = Awaited<ReturnType<typeof httpHarness>>

let serial = 0

export async function newIdentity(dir: string, name: string): Promise<Identity> {
  serial += 1
  return loadIdentity({ key: join(dir, `${name}${serial}`), publicKey: join(dir, `${name}${serial}.pub`) }, name)
}

export interface Reply {
  status: number
  headers: Record<string, string | string[] | undefined>
  text: string
}

export interface HttpRequest {
  method?: string
  path: string
  headers?: Record<string, string>
  body?: string | Buffer
}

/** No request of a test takes longer. A missing response fails the test instead of hanging it. */
const REQUEST_TIMEOUT_MS = 30_000

/** Sends one HTTP request through the plain listener (a port), the control socket (a path) or an open connection. */
export function http(
  to: number | string | TLSSocket,
  { method = 'GET', path, headers = {}, body }: HttpRequest,
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }
    const target =
      typeof to === 'number'
        ? { host: '127.0.0.1', port: to, agent: false as const }
        : typeof to === 'string'
          ? { socketPath: to, agent: false as const }
          : { createConnection: () => to }
    const signal = AbortSignal.timeout(REQUEST_TIMEOUT_MS)
    const sent = request({ ...target, signal, method, path, headers: { ...length, ...headers } }, async (response) => {
      try {
        let text = ''
        for await (const chunk of response) text += chunk
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text })
      } catch (error) {
        reject(error)
      }
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

export function command(to: number | string | TLSSocket, body: unknown, headers: Record<string, string> = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return http(to, {
    method: 'POST',
    path: '/api/v1/commands',
    headers: { 'content-type': 'application/json', ...headers },
    body: text,
  })
}

/** Returns the error code of a reply. */
export function codeOf({ text }: Reply): string {
  return JSON.parse(text).error.code
}

/** Returns the lines of an NDJSON reply without the heartbeats. */
export function lines({ text }: Reply): Record<string, unknown>[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line))
}

export function tls(port: number, options: ConnectionOptions = {}): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false, ...options })
    socket.once('secureConnect', () => resolve(socket))
    socket.once('error', reject)
  })
}

/** Sends raw bytes and resolves with everything that arrives until the other side closes. */
export function raw(port: number, bytes: string | Buffer): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes))
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk
    })
    socket.on('error', () => {})
    socket.on('close', () => resolve(text))
  })
}

/** Returns a container reply that contains a secret. */
export function madeContainer(id = 'a'.repeat(64)) {
  return {
    SSHUsername: 'root',
    SSHPassword: new Secret('correct horse'),
    SSHPublicKey: '',
    SSHHostKey: 'ssh-ed25519 AAAA',
    VNCUsername: '',
    VNCPassword: '' as const,
    ID: id as never,
    TagName: '',
    ImagePath: '',
    Ports: { Port: [] },
    GPU: 'false' as const,
    TempPath: '',
    BaseImage: '',
    LogsPath: '',
    SSHCommand: '',
  }
}

/** Returns the line of a new RSA key of this size. */
export function rsaKey(bits: number): string {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: bits })
  const { n = '', e = '' } = publicKey.export({ format: 'jwk' })
  const exponent = Buffer.from(e, 'base64url')
  // The sign bit of the modulus is set, and the wire has signed numbers.
  const modulus = Buffer.concat([Buffer.from([0]), Buffer.from(n, 'base64url')])
  return `ssh-rsa ${Buffer.concat([text('ssh-rsa'), text(exponent), text(modulus)]).toString('base64')} go`
}
