import { request } from 'node:http'
import type { Duplex } from 'node:stream'
import { agentOver } from '../../client/agentOver.ts'
import { AppError } from '../../protocol/errors.ts'
import { abortError } from './race.ts'

/** HTTP over a connection that the dialer has opened, over any transport. */

export interface TextRequest {
  /** The name of the other side in errors. */
  where: string
  method?: 'GET' | 'POST'
  path: string
  headers?: Record<string, string | number>
  body?: Buffer
  /** Aborts the exchange with `abandoned`, or with `timed_out` if it is a timeout signal. */
  signal?: AbortSignal | undefined
  /** The time limit of the whole exchange, in milliseconds. */
  timeoutMs: number
  maxBytes: number
}

/**
 * Performs one HTTP exchange. Resolves with the complete body of a response with status 200. Rejects with
 * `unreachable`, `timed_out`, `protocol_error`, `too_large`, `abandoned`; the connection is then closed.
 */
export function fetchText(stream: Duplex, options: TextRequest): Promise<string> {
  const { where, path, timeoutMs, maxBytes, signal } = options
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(abortError(where, signal, timeoutMs))
    const settle = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', abort)
    }
    const fail = (error: Error) => {
      settle()
      sent.destroy()
      if (error instanceof AppError) reject(error)
      else if (/^HPE_/.test((error as NodeJS.ErrnoException).code ?? ''))
        reject(new AppError('protocol_error', { where, why: 'it does not speak HTTP' }, error))
      else reject(new AppError('unreachable', { where, why: error.message }, error))
    }
    const timer = setTimeout(() => fail(new AppError('timed_out', { where, ms: timeoutMs })), timeoutMs)
    const abort = () => fail(abortError(where, signal as AbortSignal, timeoutMs))
    signal?.addEventListener('abort', abort)
    const sent = request({
      path,
      method: options.method ?? 'GET',
      headers: { host: where, ...options.headers, ...(options.body && { 'content-length': options.body.length }) },
      agent: agentOver(stream),
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
        if (!response.complete) fail(new Error('the connection was closed in the middle of the response'))
      })
      response.on('end', () => {
        settle()
        if (response.statusCode === 200) resolve(Buffer.concat(chunks).toString('utf8'))
        else fail(new AppError('protocol_error', { where, why: `it answers with status ${response.statusCode}` }))
      })
    })
    sent.end(options.body)
  })
}
