import type { Socket } from 'node:net'
import { TUNNEL_REMEMBERED_MS } from '../../protocol/defaults/listeners.ts'
import { isLoopback } from '../../protocol/net/address.ts'

/**
 * Tells programs of this machine from users outside: what a user sends to a port that this node shows comes from a loopback
 * address too, where that port is the node's own. Tunnels of other programs, such as `ssh -R`, cannot be told apart.
 */
export interface LocalCallers {
  /** Notes a connection that this node has opened to a port of this machine for a user outside, before it passes a byte. */
  tunnelled(socket: Socket): void
  /** Whether a program of this machine is at the other end of an accepted connection. */
  isLocal(socket: Socket): boolean
}

export function createLocalCallers(): LocalCallers {
  const tunnels = new Set<string>()
  return {
    tunnelled(socket) {
      const path = `${socket.localPort} ${socket.remotePort}`
      tunnels.add(path)
      // What was sent last may be read after the connection has closed.
      socket.once('close', () => setTimeout(() => tunnels.delete(path), TUNNEL_REMEMBERED_MS).unref())
    },
    isLocal: ({ remoteAddress = '', remotePort, localPort }) =>
      isLoopback(remoteAddress) && !tunnels.has(`${remotePort} ${localPort}`),
  }
}
