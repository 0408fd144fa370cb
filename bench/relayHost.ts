import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import { makeCertificate } from '../actors/identity/certificate.ts'
import { openListener } from '../actors/listeners/tcp.ts'
import { createRelayServer } from '../actors/relay/frpServer.ts'
import { createRelayQuota } from '../actors/relay/quota.ts'
import { multiplexed, unmultiplexed } from '../actors/turnClient/frpTransport.ts'
import { startSession } from '../actors/turnClient/startSession.ts'
import { RELAY_LIMITS } from '../protocol/defaults/relay.ts'

/**
 * One process of a bench of the relay. The first argument says which: the `service` that users reach, our `relay` and our
 * `client`, a hop that does nothing but `splice`, or the `idle` clients of a node. It prints `ready` and a port.
 */
const [mode = '', ...options] = process.argv.slice(2)

/** The services and hops of the bench listen here. */
const HOST = '127.0.0.1'

function identity() {
  const { privateKey } = generateKeyPairSync('ed25519')
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
  return { tls: { key, cert: makeCertificate(privateKey, 'bench') } }
}

async function listening(accept: (socket: Socket) => void): Promise<number> {
  const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {})
    accept(socket)
  }).listen(0, HOST)
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

async function connected(port: number): Promise<Socket> {
  const socket = connect({ port, host: HOST, noDelay: true, allowHalfOpen: true }).on('error', () => {})
  await once(socket, 'connect')
  return socket
}

const ECHO = 'e'.charCodeAt(0)

const CHUNK = Buffer.alloc(256 * 1024)

/** Sends a byte at once. `e` is answered with all that follows, `d` and a number of bytes with so many. */
function serve(socket: Socket): void {
  socket.on('end', () => socket.end())
  socket.write('x')
  socket.once('data', (chunk) => {
    if (chunk[0] === ECHO) {
      socket.write(chunk.subarray(1))
      socket.pipe(socket)
      return
    }
    let left = Number(String(chunk).slice(1))
    const send = () => {
      while (left > 0) {
        const part = CHUNK.subarray(0, Math.min(left, CHUNK.length))
        left -= part.length
        if (!socket.write(part)) return void socket.once('drain', send)
      }
      socket.end()
    }
    send()
  })
}

async function dialer(port: number, isTls: boolean): Promise<() => Promise<Duplex>> {
  return async () => {
    const socket = await connected(port)
    if (!isTls) return socket
    const secure = connectTls({ socket, rejectUnauthorized: false }).on('error', () => {})
    await once(secure, 'secureConnect')
    return secure
  }
}

async function relay(): Promise<number> {
  const limits = { ...RELAY_LIMITS, bytesPerSecond: Number.MAX_SAFE_INTEGER }
  const server = createRelayServer({ token: '', host: HOST, quota: createRelayQuota(limits, () => false) })
  const listener = await openListener({
    identity: identity(),
    host: HOST,
    port: 0,
    handle: (_request, response) => response.end(),
    acceptFrp: (connection, { caller, address }, release) => server.accept(connection, { caller, address }, release),
  })
  return listener.port
}

async function client(relayPort: number, servicePort: number, isMux: boolean, isTls: boolean): Promise<number> {
  const dial = await dialer(relayPort, isTls)
  const session = startSession(
    {
      transport: async () => (isMux ? multiplexed(dial) : unmultiplexed(dial)),
      token: () => '',
      connectLocal: () => connected(servicePort),
      localUdpPort: () => undefined,
    },
    [{ name: 'web', protocol: 'tcp', remotePort: 0 }],
  )
  return new Promise((resolve, reject) => {
    session.actor.on('tunnel.opened', ({ remotePort }) => resolve(remotePort))
    session.actor.on('session.lost', ({ why }) => reject(new Error(why)))
  })
}

/** Logs in at a node as many clients, each with a key of its own, and lets each of them have ports. */
async function idle(nodePort: number, clients: number, ports: number): Promise<number> {
  let open = 0
  for (let at = 0; at < clients; at++) {
    const { tls } = identity()
    const dial = async () => {
      const secure = connectTls({ socket: await connected(nodePort), ...tls, rejectUnauthorized: false })
      await once(
        secure.on('error', () => {}),
        'secureConnect',
      )
      return secure
    }
    const session = startSession(
      {
        transport: async () => unmultiplexed(dial),
        token: () => '',
        connectLocal: () => Promise.reject(new Error('nobody uses it')),
        localUdpPort: () => undefined,
      },
      Array.from({ length: ports }, (_, port) => ({ name: `tcp/${port}`, protocol: 'tcp' as const, remotePort: 0 })),
    )
    await new Promise<void>((resolve, reject) => {
      let opened = 0
      session.actor.on('tunnel.opened', () => {
        opened += 1
        open += 1
        if (opened === ports) resolve()
      })
      session.actor.on('tunnel.refused', ({ why }) => reject(new Error(why)))
      session.actor.on('session.refused', ({ why }) => reject(new Error(why)))
    })
  }
  return open
}

const modes: Record<string, () => Promise<number>> = {
  service: () => listening(serve),
  splice: () =>
    listening(async (socket) => {
      const next = await connected(Number(options[0]))
      socket.pipe(next)
      next.pipe(socket)
    }),
  relay,
  client: () => client(Number(options[0]), Number(options[1]), options[2] === 'mux', options[3] === 'tls'),
  idle: () => idle(Number(options[0]), Number(options[1]), Number(options[2])),
}

console.log(`ready ${await modes[mode]?.()}`)
