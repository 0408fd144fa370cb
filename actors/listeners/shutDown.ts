import type { Server } from 'node:net'
import type { Duplex } from 'node:stream'
import { CLOSE_TIMEOUT_MS } from '../../protocol/defaults/listeners.ts'

/**
 * Closes a server and its connections in `sockets`. Connections that are still in use get `CLOSE_TIMEOUT_MS` to finish.
 */
export async function shutDown(server: Server, sockets: Set<Duplex>): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  const timer = setTimeout(() => {
    for (const socket of sockets) socket.destroy()
  }, CLOSE_TIMEOUT_MS)
  await closed
  clearTimeout(timer)
}
