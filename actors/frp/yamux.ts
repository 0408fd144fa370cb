import type { Duplex } from 'node:stream'
import { YAMUX } from '../../protocol/defaults/turnClient.ts'
import {
  encodeYamux,
  readYamux,
  YAMUX_HEADER_BYTES,
  type YamuxHeader,
  yamuxFlag,
  yamuxGoAway,
  yamuxType,
} from '../../protocol/wire/frp/yamux.ts'
import { type Clock, realClock } from '../clock.ts'
import { type YamuxSender, YamuxStream } from './yamuxStream.ts'

export interface YamuxOptions {
  /** The client opens streams with odd ids, the server with even ones. */
  role: 'client' | 'server'
  /** Receives each stream that the other end opens. If absent, they are reset. */
  onStream?: (stream: Duplex) => void
  /** The largest window of a stream, in bytes, at least the initial one. */
  windowBytes?: number
  /** Streams that may be open at the same time. */
  maxStreams?: number
  /** How often the other end must prove that it is alive, and how long it may take. */
  ping?: { intervalMs: number; timeoutMs: number }
  clock?: Clock
}

/** Many streams over one connection. */
export interface YamuxSession {
  /** Opens a stream. Throws if the session has ended or if it has no more ids. */
  open(): Duplex
  /** The number of open streams. */
  readonly size: number
  /** Ends the session and all of its streams at once. */
  close(): void
  /** Resolves when the session has ended, with the reason: `closed` by either end without a fault. */
  readonly ended: Promise<YamuxEnd>
}

/** Why a session ended. `goAway` is the other end's complaint. */
export type YamuxEnd = 'closed' | 'protocolError' | 'goAway' | 'pingTimeout' | 'backlog'

/** Runs yamux over a connection, which it owns from now on. The connection is read without a pause, as the protocol demands. */
export function createYamux(connection: Duplex, options: YamuxOptions): YamuxSession {
  const {
    role,
    onStream,
    windowBytes = YAMUX.maxWindowBytes,
    maxStreams = YAMUX.maxStreams,
    ping = { intervalMs: YAMUX.pingIntervalMs, timeoutMs: YAMUX.pingTimeoutMs },
    clock = realClock,
  } = options
  const streams = new Map<number, YamuxStream>()
  const waiting: (() => void)[] = []
  let nextId = role === 'client' ? 1 : 2
  let isClosed = false
  let pingId = 0
  let pingTimer: unknown
  let resolveEnded: (end: YamuxEnd) => void = () => {}
  const ended = new Promise<YamuxEnd>((resolve) => {
    resolveEnded = resolve
  })

  const sender: YamuxSender = {
    windowBytes,
    send,
    whenWritable(callback) {
      if (isClosed || !connection.writableNeedDrain) callback()
      else waiting.push(callback)
    },
    forget: (id) => streams.delete(id),
  }

  function send(type: number, flags: number, streamId: number, length: number, payload?: Uint8Array): void {
    if (isClosed || !connection.writable) return
    const header = encodeYamux({ type, flags, streamId, length })
    if (!payload) {
      connection.write(header)
    } else {
      connection.cork()
      connection.write(header)
      connection.write(payload)
      connection.uncork()
    }
    // Data stops at `whenWritable`. Only answers to the other end's frames pile up, if it never reads.
    if (connection.writableLength > YAMUX.maxBacklogBytes) end('backlog')
  }

  function end(reason: YamuxEnd): void {
    if (isClosed) return
    if (reason === 'protocolError') send(yamuxType.goAway, 0, 0, yamuxGoAway.protocolError)
    isClosed = true
    clock.clearTimeout(pingInterval)
    clock.clearTimeout(pingTimer)
    for (const stream of [...streams.values()]) stream.receiveReset()
    for (const callback of waiting.splice(0)) callback()
    if (reason === 'protocolError') connection.end()
    else connection.destroy()
    resolveEnded(reason)
  }

  /** Opens the stream that a SYN announces. Returns whether the id is one that the other end may use. */
  function accept(id: number): boolean {
    const isTheirs = id !== 0 && id % 2 === (role === 'client' ? 0 : 1)
    if (!isTheirs || streams.has(id)) return false
    if (!onStream || streams.size >= maxStreams) {
      send(yamuxType.windowUpdate, yamuxFlag.rst, id, 0)
      return true
    }
    const stream = createStream(id)
    stream.announce(yamuxFlag.ack)
    onStream(stream)
    return true
  }

  function createStream(id: number): YamuxStream {
    const stream = new YamuxStream(id, sender)
    streams.set(id, stream)
    // Its owner may listen too. Until then an error without a listener would end the process.
    stream.on('error', () => {})
    return stream
  }

  /** Handles a frame whose payload follows. Returns false if it breaks the protocol. */
  function begin({ type, flags, streamId, length }: YamuxHeader): boolean {
    if (type === yamuxType.ping) {
      if (flags & yamuxFlag.syn) send(yamuxType.ping, yamuxFlag.ack, 0, length)
      else if (length === pingId) clock.clearTimeout(pingTimer)
    } else if (type === yamuxType.goAway) {
      if (length !== yamuxGoAway.normal) end('goAway')
    } else {
      if (flags & yamuxFlag.syn && !accept(streamId)) return false
      if (flags & yamuxFlag.rst) streams.get(streamId)?.receiveReset()
      if (type === yamuxType.windowUpdate) streams.get(streamId)?.addCredit(length)
    }
    return true
  }

  let partialHeader: Uint8Array = Buffer.alloc(0)
  let frame: YamuxHeader | undefined
  let payloadLeft = 0

  /** Reads whatever frames and parts of frames a chunk has, and passes payload on as it comes. Returns false at an error. */
  function read(chunk: Uint8Array): boolean {
    let at = 0
    while (!isClosed && (at < chunk.length || frame)) {
      if (!frame) {
        const part = chunk.subarray(at, at + YAMUX_HEADER_BYTES - partialHeader.length)
        at += part.length
        const bytes = partialHeader.length > 0 ? Buffer.concat([partialHeader, part]) : part
        partialHeader = bytes.length < YAMUX_HEADER_BYTES ? bytes : Buffer.alloc(0)
        if (bytes.length < YAMUX_HEADER_BYTES) return true
        const header = readYamux(bytes)
        if (header === 'protocolError' || !begin(header)) return false
        frame = header
        payloadLeft = header.type === yamuxType.data ? header.length : 0
      }
      const stream = streams.get(frame.streamId)
      const payload = chunk.subarray(at, at + payloadLeft)
      at += payload.length
      payloadLeft -= payload.length
      if (payload.length > 0 && stream?.receive(payload) === false) return false
      if (payloadLeft > 0) return true
      const isFin =
        (frame.type === yamuxType.data || frame.type === yamuxType.windowUpdate) && frame.flags & yamuxFlag.fin
      frame = undefined
      if (isFin && stream?.receiveFin() === false) return false
    }
    return true
  }

  /** Lets those that wait write again, in their order, until the connection is full once more. */
  function onDrain(): void {
    for (const callback of waiting.splice(0)) sender.whenWritable(callback)
  }

  function sendPing(): void {
    pingId = (pingId + 1) % 2 ** 32
    clock.clearTimeout(pingTimer)
    pingTimer = clock.setTimeout(() => end('pingTimeout'), ping.timeoutMs)
    pingInterval = clock.setTimeout(sendPing, ping.intervalMs)
    send(yamuxType.ping, yamuxFlag.syn, 0, pingId)
  }

  let pingInterval = clock.setTimeout(sendPing, ping.intervalMs)
  connection.on('data', (chunk: Uint8Array) => {
    if (!read(chunk)) end('protocolError')
  })
  connection.on('drain', onDrain)
  for (const event of ['end', 'error', 'close']) connection.on(event, () => end('closed'))

  return {
    open() {
      if (isClosed || nextId > 0xffff_ffff) throw new Error('The session has ended')
      const stream = createStream(nextId)
      nextId += 2
      stream.announce(yamuxFlag.syn)
      return stream
    },
    get size() {
      return streams.size
    },
    close: () => end('closed'),
    ended,
  }
}
