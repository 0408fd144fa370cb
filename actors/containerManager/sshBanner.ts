import { connect } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { SSH_BANNER_TIMEOUT_MS } from '../../protocol/defaults/containerManager.ts'
import { AppError } from '../../protocol/errors.ts'

/** Delay between two attempts. The engine's port proxy accepts before the container's server listens, and then disconnects. */
const RETRY_MS = 3

/** Timeout of one connection. An SSH server sends its banner first (RFC 4253 4.2). */
const SILENCE_MS = 2_000

/** Waits for the banner of an SSH server. Throws `ssh_failed` after `timeoutMs`, and when `signal` aborts. */
export async function waitForBanner(
  { host, port, timeoutMs = SSH_BANNER_TIMEOUT_MS }: { host: string; port: number; timeoutMs?: number },
  signal: AbortSignal,
): Promise<void> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const why = await tryBanner(host, port, signal)
    if (why === undefined) return
    if (signal.aborted || performance.now() > deadline) throw new AppError('ssh_failed', { why })
    await pause(RETRY_MS)
  }
}

/** Tries once. Returns undefined if an SSH server sent its banner, else the reason why not. */
function tryBanner(host: string, port: number, signal: AbortSignal): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: SILENCE_MS, signal })
    let received = ''
    const finish = (why?: string) => {
      socket.destroy()
      resolve(why)
    }
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1')
      if (received.startsWith('SSH-')) finish()
      else if (received.length >= 4) finish('something else than SSH answers on its port')
    })
    socket.on('timeout', () => finish('its port stays silent'))
    socket.on('error', (error) => finish(error.message))
    socket.on('close', () => finish('its port closes every connection'))
  })
}
