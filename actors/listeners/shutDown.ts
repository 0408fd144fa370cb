import type { Server, Socket } from 'node:net'
import { CLOSE_GRACE_MS } from '../../protocol/defaults/listeners.ts'

/** Ends a server whose connections are in `sockets`: those still at work get `CLOSE_GRACE_MS`. */
export async function shutDown(server: Server, sockets: Set<Socket>): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  const timer = setTimeout(() => {
    for (const socket of sockets) socket.destroy()
  }, CLOSE_GRACE_MS)
  await closed
  clearTimeout(timer)
}
