import { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'

// A socket that reads into a buffer of its own, again and again, passes bytes on with half the work of one that allocates
// memory for each read. Node documents this (`onread`) for sockets that it connects, but not for those that a server
// accepts. For them the handle of the socket, which Node does not document, is given to a new one; where Node should have
// none, or where bytes are under way in the socket, it is left as it is.

/** What of Node's own is used here. */
interface Internals {
  _handle?: { useUserBuffer?: unknown } | null
  _readableState?: { ended?: boolean }
}

/** The size of a buffer at the beginning. It doubles as long as reads fill it, so that an idle connection needs little memory. */
const FIRST_BUFFER_BYTES = 16 * 1024
const MAX_BUFFER_BYTES = 256 * 1024

/** Whether `takeOver` can take a socket: it is connected, neither side has ended, and nothing waits in it to be written. */
export function canTakeOver(stream: unknown): stream is Socket {
  if (!(stream instanceof Socket) || stream instanceof TLSSocket || stream.destroyed || stream.connecting) return false
  const { _handle, _readableState } = stream as unknown as Internals
  const hasEnded = _readableState?.ended !== false || !stream.writable
  return typeof _handle?.useUserBuffer === 'function' && !hasEnded && stream.writableLength === 0
}

/**
 * Takes a socket over: its bytes go to `onBytes`, in a part of one buffer, which is free when `onBytes` returns true; else
 * reading stops until `resume()`. Returns the socket to write to. The one that was given stays for its owners as a sign: it
 * closes with the new one, and the new one with it. What it has read must have been taken out of it.
 */
export function takeOver(socket: Socket, onBytes: (bytes: Uint8Array) => boolean): Socket {
  const internals = socket as unknown as Internals
  const handle = internals._handle
  internals._handle = null
  let buffer = Buffer.allocUnsafeSlow(FIRST_BUFFER_BYTES)
  const callback = (count: number, from: Uint8Array) => {
    if (count === buffer.length && count < MAX_BUFFER_BYTES) buffer = Buffer.allocUnsafeSlow(2 * count)
    return onBytes(from.subarray(0, count))
  }
  const options = { handle, allowHalfOpen: true, onread: { buffer: () => buffer, callback } }
  const taken = new Socket(options as ConstructorParameters<typeof Socket>[0])
  taken.once('close', () => socket.destroy())
  socket.once('close', () => taken.destroy())
  return taken
}
