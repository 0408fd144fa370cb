import { type Agent, request } from 'node:http'
import { AppError } from '../../protocol/errors.ts'
import type { PeerAt } from '../../protocol/ipTable.ts'
import { formatAddress } from '../../protocol/net/address.ts'

export interface PlainRequest {
  method?: 'GET' | 'POST'
  path: string
  headers?: Record<string, string | number>
  body?: Buffer
  /** Where connections are kept; none: a connection of its own. */
  agent?: Agent
  /** Ends it for a reason of the caller's: `abandoned`. */
  signal?: AbortSignal
  /** Connecting, asking and the whole answer together. */
  timeoutMs: number
  maxBytes: number
}

/**
 * One plain HTTP exchange with a node that has no key to prove. Resolves with a body that came whole and with status
 * 200. Rejects with `unreachable`, `timed_out`, `protocol_error`, `too_large`, `abandoned`.
 */
export function sendPlainRequest(to: PeerAt, { path, timeoutMs, maxBytes, ...options }: PlainRequest): Promise<string> {
  const where = formatAddress(to)
  const deadline = AbortSignal.timeout(timeoutMs)
  const { signal } = options
  return new Promise((resolve, reject) => {
    const fail = (error: Error) => {
      if (error instanceof AppError) reject(error)
      else if (signal?.aborted && signal.reason?.name !== 'TimeoutError') reject(new AppError('abandoned', {}, error))
      else if (signal?.aborted || deadline.aborted) reject(new AppError('timed_out', { where, ms: timeoutMs }, error))
      else if (/^HPE_/.test((error as NodeJS.ErrnoException).code ?? ''))
        reject(new AppError('protocol_error', { where, why: 'it does not speak HTTP' }, error))
      else reject(new AppError('unreachable', { where, why: error.message }, error))
    }
    const sent = request({
      host: to.host,
      port: to.port,
      path,
      method: options.method ?? 'GET',
      headers: { ...options.headers, ...(options.body && { 'content-length': options.body.length }) },
      agent: options.agent ?? false,
      signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
    })
    sent.on('error', fail)
    sent.on('response', (response) => {
      const chunks: Buffer[] = []
      let size = 0
      response.on('data', (chunk: Buffer) => {
        size += chunk.length
        if (size > maxBytes) response.destroy(new AppError('too_large', { max: maxBytes }))
        else chunks.push(chunk)
      })
      response.on('error', fail)
      response.on('close', () => {
        if (!response.complete) fail(new Error('the connection was closed in the middle of the answer'))
      })
      response.on('end', () => {
        if (response.statusCode === 200) resolve(Buffer.concat(chunks).toString('utf8'))
        else fail(new AppError('protocol_error', { where, why: `it answers with status ${response.statusCode}` }))
      })
    })
    sent.end(options.body)
  })
}
