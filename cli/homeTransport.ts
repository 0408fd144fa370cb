import { setTimeout as delay } from 'node:timers/promises'
import { holderOf, runningNode } from '../actors/home/lockHolder.ts'
import { homePaths } from '../actors/homePaths.ts'
import { controlSocket } from '../client/controlSocket.ts'
import type { Transport } from '../client/transport.ts'
import { LOCK_TIMEOUT_MS } from '../protocol/defaults/node.ts'
import { AppError, toAppError } from '../protocol/errors.ts'

const RETRY_MS = 50

/**
 * To the node that runs on the home of the environment; where none does, to a temporary one, which all commands share
 * until the last of them has ended. `onNote` is told what the owner should hear about the home, such as a file that was
 * quarantined.
 */
export function homeTransport(onNote: (note: string) => void = () => {}): Transport {
  const { lock, dir, socket } = homePaths(process.env)
  return {
    where: 'the node on this machine',
    async *request(command, signal) {
      let release: (() => Promise<void>) | undefined
      try {
        for (let waitedMs = 0; ; waitedMs += RETRY_MS) {
          const holder = holderOf(lock)
          let begun = false
          try {
            if (!holder) release = await startTemporary()
            for await (const fact of controlSocket({ path: holder?.socket ?? socket }).request(command, signal)) {
              begun = true
              yield fact
            }
            return
          } catch (error) {
            // A node is about to listen or to end. A temporary one ends only while no request is under way.
            const busy =
              isConnectionRefused(error) ||
              toAppError(error).code === 'home_locked' ||
              (holder?.temporary && !begun && toAppError(error).code === 'connection_lost')
            if (!busy || signal.aborted) throw error
            if (waitedMs >= LOCK_TIMEOUT_MS)
              throw new AppError('home_locked', { kind: 'node', path: dir, pid: holder?.pid ?? '?' }, error)
          }
          await delay(RETRY_MS)
        }
      } finally {
        await release?.()
      }
    },
    async *events(signal) {
      const path = runningNode(lock)?.socket
      if (!path) throw new AppError('no_node')
      try {
        yield* controlSocket({ path }).events(signal)
      } catch (error) {
        throw isConnectionRefused(error) ? new AppError('no_node') : error
      }
    },
  }

  async function startTemporary(): Promise<() => Promise<void>> {
    const { startTemporaryNode } = await import('./temporaryNodeClient.ts')
    return startTemporaryNode(onNote)
  }
}

/** The connection was refused before anything was sent. */
function isConnectionRefused(error: unknown): boolean {
  const { code } = ((error as Error).cause ?? {}) as NodeJS.ErrnoException
  return code === 'ENOENT' || code === 'ECONNREFUSED'
}
