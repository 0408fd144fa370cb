import { get } from 'node:http'
import { BODY_MAX_BYTES } from '../../protocol/defaults/listeners.ts'
import { LEGACY_TIMEOUT_MS } from '../../protocol/defaults/net.ts'
import { AppError } from '../../protocol/errors.ts'

/** A Go P2PRC node: plain HTTP, no identity, so nothing it says is more than hearsay (compatibility 2.4). */
interface LegacyAddress {
  host: string
  port: number
}

/** `GET /server_info`, unchecked. Rejects with an `AppError` (`unreachable`, `timed_out`, `protocol_error`, `too_large`). */
export async function legacySpecs(to: LegacyAddress, signal?: AbortSignal): Promise<unknown> {
  const body = await fetchText(to, '/server_info', signal)
  try {
    return JSON.parse(body)
  } catch (error) {
    throw new AppError('protocol_error', { where: `${to.host}:${to.port}`, why: 'its /server_info is not JSON' }, error)
  }
}

/** `GET /RemoveContainer`. A Go node answers an error's text and then `success` too, so only the bare word counts. */
export async function legacyRemove(to: LegacyAddress, id: string, signal?: AbortSignal): Promise<void> {
  const body = await fetchText(to, `/RemoveContainer?id=${encodeURIComponent(id)}`, signal)
  if (body.trim() !== 'success')
    throw new AppError('engine_failed', { why: `the Go node says "${body.slice(0, 200)}"` })
}

function fetchText({ host, port }: LegacyAddress, path: string, signal?: AbortSignal): Promise<string> {
  const where = `${host}:${port}`
  const deadline = AbortSignal.timeout(LEGACY_TIMEOUT_MS)
  return new Promise((resolve, reject) => {
    const fail = (error: Error) => {
      if (deadline.aborted) reject(new AppError('timed_out', { where, ms: LEGACY_TIMEOUT_MS }, error))
      else if (signal?.aborted) reject(new AppError('abandoned', {}, error))
      else reject(error instanceof AppError ? error : new AppError('unreachable', { where, why: error.message }, error))
    }
    const request = get(
      { host, port, path, agent: false, signal: signal ? AbortSignal.any([signal, deadline]) : deadline },
      (response) => {
        const chunks: Buffer[] = []
        let size = 0
        response.on('data', (chunk: Buffer) => {
          chunks.push(chunk)
          size += chunk.length
          if (size > BODY_MAX_BYTES) response.destroy(new AppError('too_large', { max: BODY_MAX_BYTES }))
        })
        response.on('error', fail)
        response.on('end', () => {
          if (response.statusCode === 200) resolve(Buffer.concat(chunks).toString('utf8'))
          else fail(new AppError('protocol_error', { where, why: `plain HTTP status ${response.statusCode}` }))
        })
      },
    )
    request.on('error', fail)
  })
}
