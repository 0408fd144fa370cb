import type { ServerResponse } from 'node:http'
import { NDJSON } from '../../protocol/control.ts'
import { EVENTS_BACKLOG_MAX_BYTES, HEARTBEAT_INTERVAL_MS } from '../../protocol/defaults/listeners.ts'

/** The server's side of an NDJSON stream over an HTTP response. */
export interface FactStream {
  /**
   * Writes `value` as one line of JSON. Returns false if the reader is too slow; then the caller must end the stream.
   */
  write(value: unknown): boolean
  /** Resolves when what was written has gone to the reader, or the reader has gone. */
  drained(): Promise<void>
  /** Ends the response. May be called more than once. */
  end(): void
}

/**
 * Starts a response, to which nothing was written yet, and its heartbeats. Calls `onGone` once if the reader
 * disconnects before `end`.
 */
export function openFactStream(response: ServerResponse, onGone: () => void): FactStream {
  response.writeHead(200, { 'content-type': NDJSON, 'cache-control': 'no-store' })
  response.flushHeaders()
  const heartbeat = setInterval(() => response.write('\n'), HEARTBEAT_INTERVAL_MS)
  let ended = false
  const gone = () => {
    clearInterval(heartbeat)
    if (ended) return
    ended = true
    onGone()
  }
  // An error of the socket is also followed by `close`.
  response.on('error', () => {})
  response.on('close', gone)
  if (response.destroyed) gone()
  return {
    write(value) {
      if (!ended) response.write(`${JSON.stringify(value)}\n`)
      return response.writableLength <= EVENTS_BACKLOG_MAX_BYTES
    },
    drained() {
      if (ended || !response.writableNeedDrain) return Promise.resolve()
      return new Promise((resolve) => {
        const done = () => {
          response.off('drain', done)
          response.off('close', done)
          resolve()
        }
        response.on('drain', done)
        response.on('close', done)
      })
    },
    end() {
      if (ended) return
      ended = true
      clearInterval(heartbeat)
      response.end()
    },
  }
}
