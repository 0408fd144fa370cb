import { BODY_MAX_BYTES } from '../../protocol/defaults/listeners.ts'
import { LEGACY_TIMEOUT_MS } from '../../protocol/defaults/net.ts'
import { AppError } from '../../protocol/errors.ts'
import { formatEndpoint } from '../../protocol/net/endpoint.ts'
import type { Dialer, DialTarget } from '../net/dialer.ts'
import { fetchText } from '../net/httpClient.ts'

/**
 * Removes a container over P2PRC's plain HTTP route. A Go node also writes `success` after the text of an error, so only
 * the bare word means success.
 */
export async function removeAtGoNode(
  dialer: Dialer,
  { endpoints }: DialTarget,
  id: string,
  signal: AbortSignal,
): Promise<void> {
  const { stream, endpoint } = await dialer.dial({ endpoints }, { purpose: 'command', goNode: 'expected', signal })
  try {
    const body = await fetchText(stream, {
      where: formatEndpoint(endpoint),
      path: `/RemoveContainer?id=${encodeURIComponent(id)}`,
      signal,
      timeoutMs: LEGACY_TIMEOUT_MS,
      maxBytes: BODY_MAX_BYTES,
    })
    if (body.trim() !== 'success')
      throw new AppError('engine_failed', { why: `the Go node says "${body.slice(0, 200)}"` })
  } finally {
    stream.destroy()
  }
}
