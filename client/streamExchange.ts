import { type IncomingMessage, type RequestOptions, request } from 'node:http'
import { protocolError } from './connectionError.ts'
import type { HttpResponse } from './factReader.ts'
import type { Exchange } from './httpTransport.ts'

export interface StreamExchangeOptions {
  /** How messages name the other side. */
  where: string
  /** What carries one exchange, as `node:http` takes it. */
  carrier(): Pick<RequestOptions, 'createConnection' | 'agent'>
  headers?: Record<string, string>
}

/** HTTP of Node's own over any stream. */
export function streamExchange({ where, carrier, headers = {} }: StreamExchangeOptions): Exchange {
  return ({ method, path, headers: own, body = '' }, signal) =>
    new Promise((resolve, reject) => {
      const length = { 'content-length': Buffer.byteLength(body) }
      const sent = request({ ...carrier(), method, path, headers: { ...headers, ...own, ...length }, signal })
      sent.on('error', reject)
      sent.on('upgrade', (_response, socket) => {
        socket.destroy()
        reject(protocolError(where, 'it wants to speak something else'))
      })
      sent.on('response', (response) => resolve(responseOf(response)))
      sent.end(body)
    })
}

/** An answer of Node's HTTP client in the shape that the fact reader takes. */
export function responseOf(response: IncomingMessage): HttpResponse {
  const { statusCode = 0, headers } = response
  return { status: statusCode, contentType: headers['content-type'] ?? '', body: response }
}
