import { randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { createServer } from 'node:net'
import { Fault } from '../../protocol/errors.ts'

type Protocol = 'tcp' | 'udp'

/** Host ports for guests. A port stays with its guest as long as that is there, also while the guest is stopped. */
export interface GuestPorts {
  /** Reserves one free port for each of `wants`, in place of what `slug` had. Throws `ports_exhausted`. */
  take(slug: string, wants: readonly Protocol[], except?: readonly number[]): Promise<number[]>
  /** Remembers ports that a guest has already. */
  hold(slug: string, ports: readonly number[]): void
  free(slug: string): void
  has(slug: string): boolean
}

export interface GuestPortsOptions {
  first: number
  last: number
  /** Whether a port is free on this machine now; a port taken later shows when the guest starts. */
  isFree?: (port: number, protocol: Protocol) => Promise<boolean>
}

export function createGuestPorts({ first, last, isFree = canBind }: GuestPortsOptions): GuestPorts {
  const reserved = new Map<string, readonly number[]>()
  const count = last - first + 1

  return {
    async take(slug, wants, except = []) {
      // Asked at each step: other guests choose at the same time.
      const isTaken = (port: number) => [except, ...reserved.values()].some((ports) => ports.includes(port))
      const found: number[] = []
      // Begun anywhere, so that two nodes on one machine seldom want the same port at the same time.
      const start = randomInt(count)
      for (let step = 0; step < count && found.length < wants.length; step += 1) {
        const port = first + ((start + step) % count)
        const protocol = wants[found.length] as Protocol
        if (isTaken(port)) continue
        reserved.set(slug, [...(reserved.get(slug) ?? []), port])
        if (await isFree(port, protocol)) found.push(port)
      }
      if (found.length < wants.length) {
        reserved.delete(slug)
        throw new Fault('ports_exhausted', { count: wants.length })
      }
      reserved.set(slug, found)
      return found
    },
    hold: (slug, ports) => void reserved.set(slug, ports),
    free: (slug) => void reserved.delete(slug),
    has: (slug) => reserved.has(slug),
  }
}

/** Whether a port can be bound on every address of this machine. */
export async function canBind(port: number, protocol: Protocol): Promise<boolean> {
  const bind = protocol === 'tcp' ? bindTcp : bindUdp
  const failure = await bind(port, true)
  // A machine without IPv6 has no `::` to bind.
  if (failure === 'EAFNOSUPPORT' || failure === 'EADDRNOTAVAIL') return (await bind(port, false)) === undefined
  return failure === undefined
}

/** The error code, or undefined where it could be bound. */
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
