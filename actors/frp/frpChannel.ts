import type { Duplex } from 'node:stream'
import { FRP_BACKLOG_MAX_BYTES } from '../../protocol/defaults/turnClient.ts'
import { createFrpDecrypter, createFrpEncrypter, type Transform } from '../../protocol/wire/frp/cipher.ts'
import {
  encodeFrp,
  type FrpDecodeFailure,
  type FrpMessage,
  type FrpOutgoing,
  readFrp,
} from '../../protocol/wire/frp/message.ts'

/** Why a channel ended: the connection did, the other end sent what is no message, or it does not read. */
export type FrpChannelEnd = 'closed' | FrpDecodeFailure | 'backlog'

/** frp's messages over one connection or stream. */
export interface FrpChannel {
  /** Sends a message. After the end it does nothing. */
  send(message: FrpOutgoing): void
  /** Encrypts both directions from here on, as a control connection is after its login. */
  encrypt(key: Uint8Array): void
  /** Stops reading messages, and returns the stream with every byte behind the last message still to be read. */
  detach(): Duplex
  close(): void
}

export interface FrpChannelHandlers {
  /** Receives each message. It may call `encrypt` or `detach`, which hold for the bytes that follow. */
  onMessage(message: FrpMessage): void
  /** Called once, unless the channel was detached. The stream is destroyed by then. */
  onEnd(why: FrpChannelEnd): void
}

/** Exchanges messages over a stream, which it owns until it is detached. */
export function createFrpChannel(stream: Duplex, { onMessage, onEnd }: FrpChannelHandlers): FrpChannel {
  let isOpen = true
  let received: Uint8Array = Buffer.alloc(0)
  let encryptBytes: Transform = (bytes) => bytes
  let decryptBytes: Transform = (bytes) => bytes

  function read(): void {
    while (isOpen) {
      const chunk: Uint8Array | null = stream.read()
      if (chunk === null) return
      received = Buffer.concat([received, decryptBytes(chunk)])
      readMessages()
    }
  }

  function readMessages(): void {
    while (isOpen) {
      const found = readFrp(received)
      if (found === 'incomplete') return
      if (typeof found === 'string') end(found)
      else {
        received = received.subarray(found.size)
        onMessage(found.message)
      }
    }
  }

  function end(why: FrpChannelEnd): void {
    if (!isOpen) return
    stop()
    stream.destroy()
    onEnd(why)
  }

  function stop(): void {
    isOpen = false
    stream.off('readable', read)
    stream.off('end', onClosed)
    stream.off('close', onClosed)
  }

  const onClosed = () => end('closed')
  stream.on('readable', read)
  stream.on('end', onClosed)
  stream.on('close', onClosed)
  // It stays after `detach()`, so that no error is without a listener while the stream changes hands.
  stream.on('error', onClosed)

  return {
    send(message) {
      if (!isOpen || !stream.writable) return
      stream.write(encryptBytes(encodeFrp(message)))
      if (stream.writableLength > FRP_BACKLOG_MAX_BYTES) end('backlog')
    },
    encrypt(key) {
      encryptBytes = createFrpEncrypter(key)
      decryptBytes = createFrpDecrypter(key)
      received = decryptBytes(received)
    },
    detach() {
      stop()
      if (received.length > 0) stream.unshift(received)
      received = Buffer.alloc(0)
      return stream
    },
    close: () => end('closed'),
  }
}
