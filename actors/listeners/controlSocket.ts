import { lstat, unlink } from 'node:fs/promises'
import { createServer } from 'node:http'
import { connect, type Socket } from 'node:net'
import { dirname } from 'node:path'
import { HEADERS_TIMEOUT_MS, IDLE_TIMEOUT_MS } from '../../protocol/defaults/listeners.ts'
import { AppError } from '../../protocol/errors.ts'
import { makeFolder } from '../home/makeFolder.ts'
import { once } from '../once.ts'
import type { Handle, Principal } from './principal.ts'
import { shutDown } from './shutDown.ts'

/** Maximum length of the path of a Unix socket (`sun_path`). libuv would silently truncate a longer one. */
const PATH_MAX_BYTES = process.platform === 'linux' ? 107 : 103

export interface ControlListener {
  /** Ends all connections and removes the socket. May be called more than once. */
  close(): Promise<void>
  /** Resolves when nobody is connected. */
  unused(): Promise<void>
}

/**
 * Opens the owner's listener: HTTP on a Unix socket that only this user may open (mode 0600, in a folder that is
 * created with 0700). The caller must hold the lock of the home folder, because a socket on which nobody answers is
 * then stale and is replaced. Throws `listen_failed`. Never removes a file that is not a socket.
 */
export async function listenControl({ path, handle }: { path: string; handle: Handle }): Promise<ControlListener> {
  const failed = (why: string, cause?: unknown) => new AppError('listen_failed', { where: path, why }, cause)
  if (Buffer.byteLength(path) > PATH_MAX_BYTES)
    throw failed(`the path of a socket may have at most ${PATH_MAX_BYTES} bytes`)
  const owner: Principal = { caller: 'owner', address: '' }
  const timeouts = { headersTimeout: HEADERS_TIMEOUT_MS, requestTimeout: HEADERS_TIMEOUT_MS }
  const server = createServer(timeouts, (request, response) => handle(request, response, owner))
  server.timeout = IDLE_TIMEOUT_MS
  const sockets = new Set<Socket>()
  const waiting: (() => void)[] = []
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('close', () => {
      sockets.delete(socket)
      if (sockets.size === 0) for (const resolve of waiting.splice(0)) resolve()
    })
  })
  try {
    await makeFolder(dirname(path))
    await removeLeftover(path)
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      // This call creates the socket, so it never exists with a wider mode, not even for a moment.
      const umask = process.umask(0o177)
      try {
        server.listen(path, resolve)
      } finally {
        process.umask(umask)
      }
    })
  } catch (error) {
    throw error instanceof AppError ? error : failed((error as Error).message, error)
  }
  return {
    close: once(() => shutDown(server, sockets)),
    unused: () => new Promise((resolve) => (sockets.size === 0 ? resolve() : waiting.push(resolve))),
  }

  async function removeLeftover(leftover: string): Promise<void> {
    const found = await lstat(leftover).catch(() => undefined)
    if (!found) return
    if (!found.isSocket()) throw failed('another file has this name')
    if (await answers(leftover)) throw failed('another process answers there')
    await unlink(leftover)
  }
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    const settle = (answer: boolean) => {
      socket.destroy()
      resolve(answer)
    }
    socket.once('connect', () => settle(true))
    socket.once('error', () => settle(false))
  })
}
