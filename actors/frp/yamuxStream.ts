import { Duplex } from 'node:stream'
import { YAMUX } from '../../protocol/defaults/turnClient.ts'
import { yamuxFlag, yamuxType } from '../../protocol/wire/frp/yamux.ts'

/** What a stream needs of its session. */
export interface YamuxSender {
  /** The largest window that is granted to a stream, in bytes. */
  readonly windowBytes: number
  send(type: number, flags: number, streamId: number, length: number, payload?: Uint8Array): void
  /** Calls back as soon as the connection takes more bytes, in the order of the calls. */
  whenWritable(callback: () => void): void
  /** Both ends have closed the stream, or it was reset: its id is free of meaning from now on. */
  forget(streamId: number): void
}

interface PendingWrite {
  chunk: Uint8Array
  callback: (error?: Error | null) => void
}

/**
 * One stream of a yamux session. Its reader holds the writer at the other end back through the window of this stream
 * alone; the others go on. Half-close is kept: `end()` sends FIN, and reading goes on until the other end does too.
 */
export class YamuxStream extends Duplex {
  readonly id: number
  readonly #session: YamuxSender
  #sendCredit: number = YAMUX.initialWindowBytes
  /** What the other end may still send. */
  #receiveCredit: number = YAMUX.initialWindowBytes
  /** Bytes that were received and not yet given back as credit. */
  #uncredited = 0
  #pending: PendingWrite | undefined
  #finSent = false
  #finReceived = false
  #isForgotten = false

  constructor(id: number, session: YamuxSender) {
    super({
      allowHalfOpen: true,
      readableHighWaterMark: YAMUX.maxFrameBytes,
      writableHighWaterMark: YAMUX.maxFrameBytes,
    })
    this.id = id
    this.#session = session
  }

  /** Announces the stream, with the window that this end grants beyond the initial one. */
  announce(flag: number): void {
    const delta = this.#session.windowBytes - YAMUX.initialWindowBytes
    this.#receiveCredit += delta
    this.#session.send(yamuxType.windowUpdate, flag, this.id, delta)
  }

  /** Takes the payload of a DATA frame. Returns whether the other end had credit for it. */
  receive(payload: Uint8Array): boolean {
    if (payload.length > this.#receiveCredit) return false
    this.#receiveCredit -= payload.length
    this.#uncredited += payload.length
    // After `destroy()` nobody reads any more. The other end learns of it by the reset.
    if (!this.destroyed && !this.#finReceived) this.push(payload)
    this.#giveCredit()
    return true
  }

  addCredit(bytes: number): void {
    this.#sendCredit += bytes
    this.#flush()
  }

  /** Takes the other end's FIN. Returns whether it was the first one. */
  receiveFin(): boolean {
    if (this.#finReceived) return false
    this.#finReceived = true
    this.push(null)
    this.#forgetIfClosed()
    return true
  }

  receiveReset(): void {
    this.#forget()
    this.destroy(Object.assign(new Error('The other end reset the stream'), { code: 'ECONNRESET' }))
  }

  override _read(): void {}

  // Every byte that leaves the buffer passes here, except those that `push()` hands over at once. `_read()` would not do:
  // Node calls it before the bytes leave, and then not again until more arrive, which the other end may have no credit for.
  override read(size?: number): unknown {
    const chunk = super.read(size)
    this.#giveCredit()
    return chunk
  }

  #giveCredit(): void {
    const consumed = this.#uncredited - this.readableLength
    if (this.#isForgotten || this.#finReceived || consumed < this.#session.windowBytes / 2) return
    this.#uncredited -= consumed
    this.#receiveCredit += consumed
    this.#session.send(yamuxType.windowUpdate, 0, this.id, consumed)
  }

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, callback: PendingWrite['callback']): void {
    this.#pending = { chunk, callback }
    this.#flush()
  }

  override _final(callback: () => void): void {
    this.#sendFin()
    callback()
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    if (!this.#isForgotten) {
      this.#session.send(yamuxType.windowUpdate, yamuxFlag.rst, this.id, 0)
      this.#forget()
    }
    const pending = this.#pending
    this.#pending = undefined
    pending?.callback(error ?? new Error('The stream was destroyed'))
    callback(error)
  }

  #flush(): void {
    const pending = this.#pending
    if (!pending || this.#sendCredit === 0) return
    const part = pending.chunk.subarray(0, Math.min(this.#sendCredit, YAMUX.maxFrameBytes))
    this.#sendCredit -= part.length
    this.#session.send(yamuxType.data, 0, this.id, part.length, part)
    this.#pending = undefined
    const rest = pending.chunk.subarray(part.length)
    this.#session.whenWritable(() => {
      if (this.destroyed) return pending.callback(new Error('The stream was destroyed'))
      if (rest.length === 0) return pending.callback()
      this.#pending = { chunk: rest, callback: pending.callback }
      this.#flush()
    })
  }

  #sendFin(): void {
    if (this.#finSent || this.#isForgotten) return
    this.#finSent = true
    this.#session.send(yamuxType.windowUpdate, yamuxFlag.fin, this.id, 0)
    this.#forgetIfClosed()
  }

  #forgetIfClosed(): void {
    if (this.#finSent && this.#finReceived) this.#forget()
  }

  #forget(): void {
    if (this.#isForgotten) return
    this.#isForgotten = true
    this.#session.forget(this.id)
  }
}
