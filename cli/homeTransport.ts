import { setTimeout as delay } from 'node:timers/promises'
import { holderOf } from '../actors/home/lockHolder.ts'
import { homePaths } from '../actors/homePaths.ts'
import { controlSocket } from '../client/controlSocket.ts'
import type { ReceivedFact, SentCommand, Transport } from '../client/transport.ts'
import { LOCK_TIMEOUT_MS } from '../protocol/defaults/node.ts'
import { AppError, toAppError } from '../protocol/errors.ts'

const RETRY_MS = 50

/**
 * To the node that runs on the home of the environment; where none does, the same system is started in this process,
 * without listening, for each command. `onNote` is told what the owner should hear about the home, such as a file that
 * was quarantined.
 */
export function homeTransport(onNote: (note: string) => void = () => {}): Transport {
  const { lock, dir } = homePaths(process.env)
  return {
    where: 'the node on this machine',
    async *request(command, signal) {
      for (let waitedMs = 0; ; waitedMs += RETRY_MS) {
        const holder = holderOf(lock)
        try {
          return yield* holder
            ? controlSocket({ path: holder.socket }).request(command, signal)
            : inThisProcess(command, signal)
        } catch (error) {
          // Another command works on this home without listening, or a node is about to listen or to end.
          const busy = holder ? isConnectionRefused(error) : toAppError(error).code === 'home_locked'
          if (!busy || signal.aborted) throw error
          if (waitedMs >= LOCK_TIMEOUT_MS)
            throw new AppError('home_locked', { path: dir, pid: holder?.pid ?? '?' }, error)
        }
        await delay(RETRY_MS)
      }
    },
    async *events(signal) {
      const path = holderOf(lock)?.socket
      if (!path) throw new AppError('no_node')
      try {
        yield* controlSocket({ path }).events(signal)
      } catch (error) {
        throw isConnectionRefused(error) ? new AppError('no_node') : error
      }
    },
  }

  async function* inThisProcess(command: SentCommand, signal: AbortSignal): AsyncGenerator<ReceivedFact> {
    const { inProcess } = await import('./inProcess.ts')
    yield* inProcess(onNote).request(command, signal)
  }
}

/** The connection was refused before anything was sent. */
function isConnectionRefused(error: unknown): boolean {
  const { code } = ((error as Error).cause ?? {}) as NodeJS.ErrnoException
  return code === 'ENOENT' || code === 'ECONNREFUSED'
}
