import { randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { createServer } from 'node:net'
import { AppError } from '../../protocol/errors.ts'

type Protocol = 'tcp' | 'udp'

/** Allocates host ports to containers. A container keeps its ports while it exists, even while it is stopped. */
export interface HostPorts {
  /** Reserves a free port for each of `protocols`, and releases the earlier ports of `containerName`. Throws `ports_exhausted`. */
  allocate(containerName: string, protocols: readonly Protocol[], excluded?: readonly number[]): Promise<number[]>
  /** Records the ports of an existing container. */
  reserve(containerName: string, ports: readonly number[]): void
  release(containerName: string): void
  has(containerName: string): boolean
}

export interface HostPortsOptions {
  first: number
  last: number
  /** Whether a port is free on this machine now. If it is taken later, the container's start fails. */
  isFree?: (port: number, protocol: Protocol) => Promise<boolean>
}

export function createHostPorts({ first, last, isFree = canBind }: HostPortsOptions): HostPorts {
  const reserved = new Map<string, readonly number[]>()
  const count = last - first + 1

  return {
    async allocate(containerName, protocols, excluded = []) {
      // This is checked at each step, because other containers allocate ports concurrently.
      const isTaken = (port: number) => [excluded, ...reserved.values()].some((ports) => ports.includes(port))
      const found: number[] = []
      // The search starts at a random port, so that two nodes on one machine rarely pick the same port at the same time.
      const start = randomInt(count)
      for (let step = 0; step < count && found.length < protocols.length; step += 1) {
        const port = first + ((start + step) % count)
        const protocol = protocols[found.length] as Protocol
        if (isTaken(port)) continue
        reserved.set(containerName, [...(reserved.get(containerName) ?? []), port])
        if (await isFree(port, protocol)) found.push(port)
      }
      if (found.length < protocols.length) {
        reserved.delete(containerName)
        throw new AppError('ports_exhausted', { count: protocols.length })
      }
      reserved.set(containerName, found)
      return found
    },
    reserve: (containerName, ports) => void reserved.set(containerName, ports),
    release: (containerName) => void reserved.delete(containerName),
    has: (containerName) => reserved.has(containerName),
  }
}

/** Whether a port can be bound on every address of this machine. */
export async function canBind(port: number, protocol: Protocol): Promise<boolean> {
  const bind = protocol === 'tcp' ? bindTcp : bindUdp
  const failure = await bind(port, true)
  // A machine without IPv6 cannot bind `::`.
  if (failure === 'EAFNOSUPPORT' || failure === 'EADDRNOTAVAIL') return (await bind(port, false)) === undefined
  return failure === undefined
}

/** Tries to bind a port. Returns the error code, or undefined on success. */
function bindTcp(port: number, v6: boolean): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    server.listen({ port, host: v6 ? '::' : '0.0.0.0', exclusive: true }, () => server.close(() => resolve(undefined)))
  })
}

function bindUdp(port: number, v6: boolean): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket(v6 ? 'udp6' : 'udp4')
    socket.once('error', (error: NodeJS.ErrnoException) => {
      socket.close()
      resolve(error.code ?? error.message)
    })
    socket.bind({ port, address: v6 ? '::' : '0.0.0.0', exclusive: true }, () => socket.close(() => resolve(undefined)))
  })
}
