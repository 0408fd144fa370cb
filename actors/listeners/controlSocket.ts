import { lstat, mkdir, unlink } from 'node:fs/promises'
import { createServer } from 'node:http'
import { connect, type Socket } from 'node:net'
import { dirname } from 'node:path'
import { HEADERS_TIMEOUT_MS, IDLE_TIMEOUT_MS } from '../../protocol/defaults/listeners.ts'
import { AppError } from '../../protocol/errors.ts'
import { once } from '../once.ts'
import type { Handle, Principal } from './principal.ts'
import { shutDown } from './shutDown.ts'

/** What a Unix socket's name may be long (sun_path); libuv would cut a longer one without a word. */
const PATH_MAX_BYTES = process.platform === 'linux' ? 107 : 103

export interface ControlListener {
  /** Ends its connections and takes the socket away. May be called more than once. */
  close(): Promise<void>
}

/**
 * The owner's listener: HTTP on a Unix socket that only this user may open (0600, and its folder 0700 if made here). Call
 * it with the home's lock held: a socket that nobody answers on is then a leftover and is replaced. Throws
 * `listen_failed`; what is not a socket is never removed.
 */
export async function listenControl({ path, handle }: { path: string; handle: Handle }): Promise<ControlListener> {
  const failed = (why: string, cause?: unknown) => new AppError('listen_failed', { where: path, why }, cause)
  if (Buffer.byteLength(path) > PATH_MAX_BYTES) throw failed(`a socket's path may have ${PATH_MAX_BYTES} bytes at most`)
  const owner: Principal = { caller: 'owner', address: '' }
  const timeouts = { headersTimeout: HEADERS_TIMEOUT_MS, requestTimeout: HEADERS_TIMEOUT_MS }
  const server = createServer(timeouts, (request, response) => handle(request, response, owner))
  server.timeout = IDLE_TIMEOUT_MS
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    await removeLeftover(path)
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      // The socket is made inside this call, so it never exists with a wider mode, not even for a moment.
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
  return { close: once(() => shutDown(server, sockets)) }

  async function removeLeftover(leftover: string): Promise<void> {
    const found = await lstat(leftover).catch(() => undefined)
    if (!found) return
    if (!found.isSocket()) throw failed('there is something else of that name')
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
