import type { SecretStream } from 'hyperdht'
import { AppError } from '../../../protocol/errors.ts'

/** Why hyperdht could not open a stream, by the codes of its errors. */
const reasons: Record<string, string> = {
  PEER_NOT_FOUND: 'the relay does not know it',
  PEER_CONNECTION_FAILED: 'it does not answer, or it refuses this node',
  HOLEPUNCH_ABORTED: 'the routers on the way let no direct path through',
  HOLEPUNCH_PROBE_TIMEOUT: 'the routers on the way let no direct path through',
  HOLEPUNCH_DOUBLE_RANDOMIZED_NATS: 'both routers give each destination another port, and no relay carries it',
  CANNOT_HOLEPUNCH: 'the routers on the way let no direct path through',
  REMOTE_NOT_HOLEPUNCHABLE: 'its router lets no direct path through',
  REMOTE_NOT_HOLEPUNCHING: 'it does not punch',
  REMOTE_ABORTED: 'it gave up',
  RELAY_ABORTED: 'the relay does not carry it',
  SERVER_INCOMPATIBLE: 'it speaks another version',
  SERVER_ERROR: 'it refuses the stream',
}

export interface WaitOptions {
  /** The name of the peer in errors. */
  where: string
  signal: AbortSignal
  timeoutMs: number
}

/** Waits for the path of a stream. Rejects with `unreachable`, `timed_out`, `abandoned`, and the stream is destroyed then. */
export function waitUntilOpen(stream: SecretStream, { where, signal, timeoutMs }: WaitOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', abandon)
      stream.off('open', open).off('error', fail).off('close', close)
    }
    const open = () => {
      settle()
      resolve()
    }
    const end = (error: AppError) => {
      settle()
      stream.on('error', () => {})
      stream.destroy()
      reject(error)
    }
    const fail = (error: Error & { code?: string }) =>
      end(new AppError('unreachable', { where, why: reasons[error.code ?? ''] ?? error.message }, error))
    const close = () => end(new AppError('unreachable', { where, why: 'the stream was closed' }))
    const abandon = () => end(new AppError('abandoned'))
    const timer = setTimeout(() => end(new AppError('timed_out', { where, ms: timeoutMs })), timeoutMs)
    stream.on('open', open).on('error', fail).on('close', close)
    signal.addEventListener('abort', abandon, { once: true })
    if (signal.aborted) abandon()
  })
}
