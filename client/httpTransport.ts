import { COMMANDS_PATH, EVENTS_PATH } from '../protocol/control.ts'
import { SILENCE_TIMEOUT_MS } from '../protocol/defaults/net.ts'
import { AppError } from '../protocol/errors.ts'
import { connectionError } from './connectionError.ts'
import { type HttpResponse, readFacts } from './factReader.ts'
import type { ReceivedFact, Transport } from './transport.ts'

export interface HttpRequest {
  method: 'GET' | 'POST'
  path: string
  headers: Record<string, string>
  body?: string
}

/**
 * One HTTP request and its answer, such as `fetch` can make. `signal` ends it, whatever state it is in: reading the body
 * throws then.
 */
export type Exchange = (request: HttpRequest, signal: AbortSignal) => Promise<HttpResponse>

export interface HttpTransportOptions {
  /** How messages name the other side. */
  where: string
  exchange: Exchange
  /** How long the other side may be silent, heartbeats included, in ms. */
  silenceMs?: number | undefined
}

/**
 * A transport over `/api/v1`. Throws the node's own failure, or `unreachable`, `timed_out`, `protocol_error`,
 * `connection_lost`.
 */
export function httpTransport({ where, exchange, silenceMs = SILENCE_TIMEOUT_MS }: HttpTransportOptions): Transport {
  let answered = false

  async function* facts(request: HttpRequest, outer: AbortSignal): AsyncGenerator<ReceivedFact, undefined, undefined> {
    const scope = new AbortController()
    const abort = () => scope.abort()
    let timer: ReturnType<typeof setTimeout> | undefined
    let silent = false
    const awaitSign = () => {
      clearTimeout(timer)
      timer = setTimeout(() => {
        silent = true
        abort()
      }, silenceMs)
    }
    /** The bytes as they come; only the waiting for them counts, not what a slow reader takes. */
    async function* watched(body: AsyncIterable<Uint8Array>) {
      awaitSign()
      for await (const chunk of body) {
        clearTimeout(timer)
        yield chunk
        awaitSign()
      }
    }
    if (outer.aborted) abort()
    outer.addEventListener('abort', abort)
    try {
      awaitSign()
      const response = await exchange(request, scope.signal)
      answered = true
      yield* readFacts({ ...response, body: watched(response.body) }, where)
    } catch (error) {
      throw silent ? new AppError('timed_out', { where, ms: silenceMs }, error) : connectionError(error, where)
    } finally {
      clearTimeout(timer)
      outer.removeEventListener('abort', abort)
    }
  }

  const request: Transport['request'] = (command, signal) => {
    const headers = { 'content-type': 'application/json' }
    return facts({ method: 'POST', path: COMMANDS_PATH, headers, body: JSON.stringify(command) }, signal)
  }

  return {
    where,
    request,
    events: (signal) => facts({ method: 'GET', path: EVENTS_PATH, headers: {} }, signal),
    async versions(signal) {
      if (!answered) return undefined
      for await (const { protocols } of request({ type: 'node.show' }, signal))
        if (Array.isArray(protocols)) return protocols.filter(Number.isInteger).slice(0, 16)
      return undefined
    },
  }
}
