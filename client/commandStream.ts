import { type ClientRequest, type RequestOptions, request } from 'node:http'
import { COMMANDS_PATH, EVENTS_PATH } from '../protocol/control.ts'
import { SILENCE_TIMEOUT_MS } from '../protocol/defaults/net.ts'
import { AppError, isFailure } from '../protocol/errors.ts'
import { connectionError, protocolError } from './connectionError.ts'
import { type ReceivedFact, readFacts } from './factReader.ts'
import { receivedError } from './receivedText.ts'

export type { ReceivedFact } from './factReader.ts'
export { withoutControlCharacters } from './receivedText.ts'

/**
 * The client side of `/api/v1`, for the command line (over the control socket) and for other nodes (over TLS). Loads
 * nothing but Node's own modules: the command line starts with it.
 */

export interface StreamOptions {
  /** `{ socketPath }`, `{ createConnection }` or `{ agent }`, as `node:http` takes them. */
  connect: Pick<RequestOptions, 'socketPath' | 'createConnection' | 'agent' | 'headers'>
  /** How messages name the other side. */
  where: string
  /** Every fact in order, the finishing one included. */
  onFact?: (fact: ReceivedFact) => void
  /** Abort to hang up; the promise rejects with `abandoned`. */
  signal?: AbortSignal
  /** How long the other side may be silent, heartbeats included. */
  silenceMs?: number
}

/**
 * Sends one command and resolves with the fact that finishes it. Rejects with the other side's own failure, or with
 * `unreachable`, `timed_out`, `protocol_error`, `connection_lost`, `abandoned`.
 */
export async function sendRequest(
  command: { type: string; requestId?: string; [key: string]: unknown },
  options: StreamOptions,
): Promise<ReceivedFact> {
  const body = Buffer.from(JSON.stringify(command))
  const headers = { 'content-type': 'application/json', 'content-length': body.length }
  let last: ReceivedFact | undefined
  await exchange('POST', COMMANDS_PATH, { headers, body }, options, (fact) => {
    last = fact
  })
  if (!last) throw protocolError(options.where, 'it sent an empty answer')
  if (isFailure(last)) throw receivedError(last)
  return last
}

/** Follows the stream of events until `signal` aborts (then it resolves) or the node ends it. */
export async function followEvents(options: StreamOptions): Promise<void> {
  try {
    await exchange('GET', EVENTS_PATH, { headers: {} }, options, () => {})
  } catch (error) {
    if (!options.signal?.aborted) throw error
  }
}

/** One request and the NDJSON that answers it, read to its proper end. */
function exchange(
  method: string,
  path: string,
  { headers, body }: { headers: Record<string, string | number>; body?: Buffer },
  { connect, where, onFact, signal, silenceMs = SILENCE_TIMEOUT_MS }: StreamOptions,
  onLast: (fact: ReceivedFact) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(new AppError('abandoned'))
    let settled = false
    const settle = (error?: unknown) => {
      if (settled) return
      settled = true
      clearTimeout(silence)
      signal?.removeEventListener('abort', abandon)
      clientRequest.destroy()
      if (error === undefined) resolve()
      else reject(error)
    }
    const abandon = () => settle(new AppError('abandoned'))
    const silence = setTimeout(() => settle(new AppError('timed_out', { where, ms: silenceMs })), silenceMs)
    signal?.addEventListener('abort', abandon)
    const onEach = (fact: ReceivedFact) => {
      if (settled) return
      onLast(fact)
      onFact?.(fact)
    }
    const clientRequest: ClientRequest = request({
      ...connect,
      method,
      path,
      headers: { ...connect.headers, ...headers },
    })
    clientRequest.on('error', (error) => settle(connectionError(error, where)))
    clientRequest.on('upgrade', (_response, socket) => {
      socket.destroy()
      settle(protocolError(where, 'it wants to speak something else'))
    })
    clientRequest.on('response', (response) => {
      readFacts(response, where, onEach, () => silence.refresh()).then(() => settle(), settle)
    })
    clientRequest.end(body)
  })
}
