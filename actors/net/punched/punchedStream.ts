import { Duplex } from 'node:stream'
import type { SecretStream } from 'hyperdht'
import { connectionError } from '../../../client/connectionError.ts'
import { BLIND_RELAY, PUNCHED } from '../../../protocol/defaults/punched.ts'

type Done = (error?: Error | null) => void

export interface PunchedStreamOptions {
  /** The name of the peer in errors. */
  where: string
  /** Whether an address is the relay's. */
  isRelay: (host: string, port: number) => boolean
}

/**
 * A stream of hyperdht as one of Node, which TLS takes: its `for await` ends, half-close is kept, and a reader that pauses
 * holds the sender back. It owns the stream of hyperdht.
 */
export class PunchedStream extends Duplex {
  readonly #stream: SecretStream
  readonly #isRelay: PunchedStreamOptions['isRelay']
  #isClosed = false
  #hasEnded = false
  #pending: Done | undefined
  #timer: NodeJS.Timeout | undefined
  /** When the relay's rate has room again for what was sent over it, by the clock of `performance`. */
  #freeAt = 0

  constructor(stream: SecretStream, { where, isRelay }: PunchedStreamOptions) {
    super({ readableHighWaterMark: PUNCHED.chunkBytes, writableHighWaterMark: PUNCHED.chunkBytes })
    this.#stream = stream
    this.#isRelay = isRelay
    stream.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) stream.pause()
    })
    stream.on('end', () => {
      this.#hasEnded = true
      this.push(null)
    })
    stream.on('drain', () => this.#settle())
    stream.on('error', (error: Error) => this.destroy(connectionError(error, where)))
    stream.on('close', () => {
      this.#isClosed = true
      this.#settle(closedError(where))
      // After its end, what has arrived is still read.
      if (!this.#hasEnded) this.destroy(closedError(where))
    })
  }

  /** Whether it goes over the relay at this moment; it may move to a direct path at any time. */
  get isRelayed(): boolean {
    const { remoteHost, remotePort } = this.#stream.rawStream ?? {}
    return typeof remoteHost === 'string' && remotePort !== undefined && this.#isRelay(remoteHost, remotePort)
  }

  /** The address of the peer, or of the relay while the stream goes over it. */
  get remoteAddress(): string {
    return this.#stream.rawStream?.remoteHost ?? ''
  }

  get remotePort(): number {
    return this.#stream.rawStream?.remotePort ?? 0
  }

  override _read(): void {
    this.#stream.resume()
  }

  override _write(chunk: Buffer, _encoding: string, done: Done): void {
    this.#write(chunk, 0, done)
  }

  #write(chunk: Buffer, from: number, done: Done): void {
    if (this.#isClosed) return void done(new Error('the stream is closed'))
    if (from >= chunk.length) return void done()
    const piece = chunk.subarray(from, from + PUNCHED.chunkBytes)
    const send = () => {
      const next: Done = (error) => (error ? done(error) : this.#write(chunk, from + piece.length, done))
      if (this.#isClosed || this.#stream.write(piece)) next()
      else this.#pending = next
    }
    const delayMs = this.isRelayed ? this.#relayDelay(piece.length) : 0
    if (delayMs > 0) this.#timer = setTimeout(send, delayMs)
    else send()
  }

  /**
   * The relay ends a pair that exceeds its rate, so that this end keeps to two fifths of it. The peer has as much, and the
   * relay also counts what is sent again.
   */
  #relayDelay(bytes: number): number {
    const now = performance.now()
    const burstMs = (BLIND_RELAY.burstBytes / BLIND_RELAY.bytesPerSecond) * 400
    this.#freeAt = Math.max(now - burstMs, this.#freeAt) + (bytes / BLIND_RELAY.bytesPerSecond) * 2_500
    return this.#freeAt - now
  }

  override _final(done: Done): void {
    this.#stream.end()
    done()
  }

  override _destroy(error: Error | null, done: Done): void {
    clearTimeout(this.#timer)
    const stream = this.#stream
    if (error || !this.writableFinished || !this.#hasEnded) stream.destroy()
    else if (!this.#isClosed) {
      // Both directions have ended; hyperdht closes the stream when the peer has everything.
      const timer = setTimeout(() => stream.destroy(), PUNCHED.lingerMs)
      stream.once('close', () => clearTimeout(timer))
    }
    this.#settle(error ?? new Error('the stream is closed'))
    done(error)
  }

  /** Ends the write that waits for the stream. */
  #settle(error?: Error): void {
    const pending = this.#pending
    this.#pending = undefined
    pending?.(error)
  }
}

function closedError(where: string): Error {
  return connectionError(Object.assign(new Error('the peer closed the stream'), { code: 'ECONNRESET' }), where)
}
