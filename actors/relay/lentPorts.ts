import { createServer, type Server, type Socket } from 'node:net'
import type { PortsCommand, PortsEmits } from '../../machines/relay/login.ts'
import { RANDOM_PORT_TRIES } from '../../protocol/defaults/relay.ts'
import { AppError } from '../../protocol/errors.ts'
import { encryptedStream } from '../frp/encryptedStream.ts'
import { createFrpChannel } from '../frp/frpChannel.ts'
import { splice } from '../frp/splice.ts'
import type { DomainNames } from './domainNames.ts'
import { lendDatagrams } from './lendDatagrams.ts'
import type { RelayQuota, Release } from './quota.ts'
import type { ActorEnds } from './relayLogin.ts'
import type { WorkPool } from './workPool.ts'

/** A port that is lent. `close` frees it and ends the connections of its users. */
interface Lent {
  port: number
  close(): void
}

/** What a lent port carries. */
export interface PortMeter {
  /** Milliseconds since 1970. */
  since: number
  /** Connections of users at this moment. */
  connections: number
  /** Bytes in both directions so far. */
  bytes: number
}

export interface LentPortsOptions {
  work: WorkPool
  /** Encrypts work connections where the client asks for it. */
  key: Uint8Array
  /** The address on which ports are bound; all of them if it is absent. */
  host?: string
  /** Whose ports they are, as `quota` counts. */
  client: string
  quota: RelayQuota
  /** If absent, this relay shows no domains. */
  domains?: LentDomains
  /** Aborts when the login has ended. */
  signal: AbortSignal
  /** What each port carries, by the name of the port, kept here. */
  meters: Map<string, PortMeter>
}

/** The names of ports, and the port at which they are shown. */
export interface LentDomains {
  names: Pick<DomainNames, 'claim' | 'hide'>
  port(): number
}

/** Binds the ports that a client requests, and joins each user's connection with a work connection. */
export function lentPorts(options: LentPortsOptions) {
  const { work, key, host = '::', client, quota, domains, signal, meters } = options
  return ({ sendBack, receive }: ActorEnds<PortsCommand, PortsEmits>): (() => void) => {
    const lent = new Map<string, Lent>()
    let isOver = false

    async function bind(request: Extract<PortsCommand, { type: 'bind' }>): Promise<void> {
      const { name, protocol } = request
      try {
        const meter = { since: Date.now(), connections: 0, bytes: 0 }
        const found = await lend({ ...request, meter })
        await claim(request.domains, found).catch((error) => {
          found.close()
          throw error
        })
        if (isOver) return found.close()
        if (lent.has(name)) {
          found.close()
          throw new Error(`proxy [${name}] already exists`)
        }
        lent.set(name, found)
        meters.set(name, meter)
        const domainPort = request.domains.length > 0 ? (domains?.port() ?? 0) : 0
        sendBack({ type: 'port.bound', port: { name, protocol, port: found.port }, domainPort })
      } catch (error) {
        sendBack({ type: 'port.refused', name, error: errorOf(error as NodeJS.ErrnoException) })
      }
    }

    /** Shows the port under these names. Throws if one of them is refused. */
    async function claim(requested: readonly string[], { port }: Lent): Promise<void> {
      if (requested.length > 0 && !domains) throw new AppError('no_domains')
      for (const name of requested) await domains?.names.claim(name, client, port)
    }

    async function lend({ name, protocol, port: requested, encrypted, meter }: Requested): Promise<Lent> {
      for (let tries = 1; ; tries++) {
        const { port, release } = quota.takePort(client, protocol, requested)
        const takeUser = () => quota.takeConnection(client)
        const pass = (bytes: number) => {
          meter.bytes += bytes
          return quota.takeBytes(client, bytes)
        }
        const options = { name, host, port, work, key: encrypted ? key : undefined, takeUser, pass, meter }
        try {
          const { close } = protocol === 'udp' ? await lendDatagrams(options) : await lendConnections(options)
          return {
            port,
            close() {
              if (protocol === 'tcp') domains?.names.hide(port)
              close()
              release()
            },
          }
        } catch (error) {
          release()
          // Another program may have the port that was chosen here.
          if (requested !== 0 || tries === RANDOM_PORT_TRIES) throw error
        }
      }
    }

    receive((command) => {
      if (command.type === 'bind') return void bind(command)
      lent.get(command.name)?.close()
      lent.delete(command.name)
      meters.delete(command.name)
    })
    const end = () => {
      isOver = true
      for (const { close } of lent.values()) close()
      lent.clear()
    }
    // A crash of the concern stops none of its actors, but aborts the signal.
    signal.addEventListener('abort', end)
    return () => {
      signal.removeEventListener('abort', end)
      end()
    }
  }
}

type Requested = Omit<Extract<PortsCommand, { type: 'bind' }>, 'type'> & { meter: PortMeter }

/** In the words of stock frp, for which its clients look. */
function errorOf({ code, message }: NodeJS.ErrnoException): string {
  return code === 'EADDRINUSE' ? 'port already used' : code?.startsWith('E') ? 'port unavailable' : message
}

export interface LendOptions {
  name: string
  host: string
  port: number
  work: WorkPool
  /** If present, work connections are encrypted with it. */
  key: Uint8Array | undefined
  /** Counts the connection of a user. Returns undefined for one too many. */
  takeUser(): Release | undefined
  /** Counts bytes of users. Returns for how many milliseconds no more should pass. */
  pass(bytes: number): number
  meter: PortMeter
}

async function lendConnections({ name, host, port, work, key, takeUser, pass, meter }: LendOptions): Promise<Lent> {
  const users = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, (user) => {
    user.on('error', () => {})
    const release = takeUser()
    if (!release) return void user.destroy()
    users.add(user)
    meter.connections = users.size
    user.once('close', () => {
      users.delete(user)
      meter.connections = users.size
      release()
    })
    void join(user)
  })

  async function join(user: Socket): Promise<void> {
    const stream = await work.take()
    if (!stream || user.destroyed) {
      stream?.destroy()
      return void user.destroy()
    }
    const channel = createFrpChannel(stream, { onMessage: () => channel.close(), onEnd: () => user.destroy() })
    channel.send({
      kind: 'StartWorkConn',
      body: {
        proxy_name: name,
        src_addr: user.remoteAddress ?? '',
        src_port: user.remotePort ?? 0,
        dst_addr: user.localAddress ?? '',
        dst_port: user.localPort ?? 0,
      },
    })
    const bytes = channel.detach()
    await splice(user, key ? encryptedStream(bytes, key) : bytes, { halfClose: 'lost', pace: pass })
  }

  await listen(server, port, host)
  const bound = (server.address() as { port: number }).port
  return {
    port: bound,
    close() {
      server.close()
      for (const user of users) user.destroy()
    },
  }
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      server.on('error', () => {})
      resolve()
    })
  })
}
