import type { ServerResponse } from 'node:http'
import { NDJSON } from '../../protocol/control.ts'
import { EVENTS_BACKLOG_BYTES, HEARTBEAT_MS } from '../../protocol/defaults/listeners.ts'

/** The answering side of an NDJSON stream, over a response that nothing was written to yet. */
export interface FactStream {
  /** One line; what `JSON.stringify` makes of it. False when the reader is too slow: then end it. */
  write(value: unknown): boolean
  /** May be called more than once. */
  end(): void
}

/** Starts the answer and its heartbeats. `onGone` is told once when the reader hangs up before `end`. */
export function openFactStream(response: ServerResponse, onGone: () => void): FactStream {
  response.writeHead(200, { 'content-type': NDJSON, 'cache-control': 'no-store' })
  response.flushHeaders()
  const heartbeat = setInterval(() => response.write('\n'), HEARTBEAT_MS)
  let ended = false
  const gone = () => {
    clearInterval(heartbeat)
    if (ended) return
    ended = true
    onGone()
  }
  // The socket's errors end in `close` as well.
  response.on('error', () => {})
  response.on('close', gone)
  if (response.destroyed) gone()
  return {
    write(value) {
      if (!ended) response.write(`${JSON.stringify(value)}\n`)
      return response.writableLength <= EVENTS_BACKLOG_BYTES
    },
    end() {
      if (ended) return
      ended = true
      clearInterval(heartbeat)
      response.end()
    },
  }
}
