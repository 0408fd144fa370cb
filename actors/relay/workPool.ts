import type { Duplex } from 'node:stream'
import { RELAY_USER_TIMEOUT_MS, WORK_POOL_MAX } from '../../protocol/defaults/turnClient.ts'

/** The work connections of one client that wait for a user, and the users that wait for one. */
export interface WorkPool {
  /** Takes a stream whose first message was `NewWorkConn`. More than the pool holds are closed. */
  add(stream: Duplex): void
  /** Returns the next stream, and requests another. Resolves with undefined if none comes in time. */
  take(): Promise<Duplex | undefined>
  close(): void
}

export function createWorkPool(requestWork: () => void): WorkPool {
  const idle: Duplex[] = []
  const waiting: ((stream: Duplex | undefined) => void)[] = []
  return {
    add(stream) {
      const next = waiting.shift()
      if (next) return next(stream)
      if (idle.length >= WORK_POOL_MAX) return void stream.destroy()
      idle.push(stream)
      stream.once('close', () => {
        const at = idle.indexOf(stream)
        if (at >= 0) idle.splice(at, 1)
      })
    },
    take() {
      requestWork()
      const stream = idle.shift()
      if (stream) return Promise.resolve(stream)
      return new Promise((resolve) => {
        const settle = (found: Duplex | undefined) => {
          clearTimeout(timer)
          resolve(found)
        }
        const timer = setTimeout(() => {
          const at = waiting.indexOf(settle)
          if (at >= 0) waiting.splice(at, 1)
          resolve(undefined)
        }, RELAY_USER_TIMEOUT_MS)
        waiting.push(settle)
      })
    },
    close() {
      for (const stream of idle.splice(0)) stream.destroy()
      for (const settle of waiting.splice(0)) settle(undefined)
    },
  }
}
