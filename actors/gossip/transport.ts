import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { WebSocket } from 'ws'
import type { GossipEffect } from '../../machines/gossip/gossipState.ts'
import type { Untimed } from '../../machines/gossip.ts'
import { toAppError } from '../../protocol/errors.ts'
import { GOSSIP_PATH } from '../../protocol/gossip.ts'
import { formatEndpoint } from '../../protocol/net/endpoint.ts'
import { decode, encode, WIRE_MAX_BYTES, type WireMessage } from '../../protocol/wire/gossip.ts'
import type { Dialer } from '../net/dialer.ts'
import { DialError, preferIPv6 } from '../net/race.ts'
import { openScope } from '../scope.ts'
import type { AcceptedLink, LinkSource } from './accept.ts'

export interface TransportOptions {
  dialer: Dialer
  /** Source of the links that other nodes dialled. */
  source: LinkSource
  /** Monotonic milliseconds. */
  now?: () => number
}

/** A link to a slow peer is closed when this many bytes are buffered for it, which is several of the largest messages. */
const MAX_BUFFERED_BYTES = 1024 * 1024

/** Timeout of the closing handshake. */
const CLOSE_MS = 1_000

export interface Transport {
  send(link: string, message: WireMessage): void
  close(link: string): void
  /** Dials a member. The result is an event: `opened` or `failed`. */
  dial(target: Extract<GossipEffect, { type: 'dial' }>): void
  /** Sets the time of the next `tick`. */
  wake(at: number): void
  /** Closes every link and stops the timer. May be called more than once. */
  end(): void
}

/** Opens the sockets and the timer of gossip. `onEvent` receives what happens at them, until `signal` aborts and all of them close. */
export function openTransport(
  { dialer, source, now = () => performance.now() }: TransportOptions,
  { signal, onEvent }: { signal: AbortSignal; onEvent: (event: Untimed) => void },
): Transport {
  const sockets = new Map<string, WebSocket>()
  let timer: NodeJS.Timeout | undefined
  let wakeAt = Number.POSITIVE_INFINITY
  let accepted = 0

  const emit = (event: Untimed) => {
    if (!signal.aborted) onEvent(event)
  }

  function register(link: string, socket: WebSocket): void {
    sockets.set(link, socket)
    socket.on('message', (data, isBinary) => {
      const message = isBinary ? 'protocolError' : decode(String(data))
      if (sockets.get(link) !== socket || message === 'unknown') return
      if (typeof message === 'string') emit({ type: 'protocolError', link })
      else emit({ type: 'received', link, message })
    })
    // An error is always followed by `close`, which is handled below.
    socket.on('error', () => {})
    socket.on('close', () => {
      if (!sockets.delete(link)) return
      emit({ type: 'closed', link })
    })
  }

  function send(link: string, message: WireMessage): void {
    const socket = sockets.get(link)
    if (socket?.readyState !== WebSocket.OPEN) return
    if (socket.bufferedAmount > MAX_BUFFERED_BYTES) socket.terminate()
    else socket.send(encode(message))
  }

  function closeLink(link: string): void {
    const socket = sockets.get(link)
    if (!socket) return
    sockets.delete(link)
    close(socket)
  }

  async function dial({ link, endpoints, unverified, id, timeoutMs }: Extract<GossipEffect, { type: 'dial' }>) {
    const scope = openScope(signal, timeoutMs)
    try {
      const target = { endpoints: preferIPv6(endpoints), ...(id && { id }) }
      const { stream, peer, endpoint } = await dialer.dial(target, {
        purpose: 'gossip',
        signal: scope.signal,
        urgent: true,
        ...(unverified && { isTrusted: () => false }),
      })
      const socket = await openSocket(stream, scope.signal)
      register(link, socket)
      emit({ type: 'opened', link, id: peer.id, dialled: true, address: formatEndpoint(endpoint) })
      socket.resume()
    } catch (error) {
      emit({ type: 'failed', link, refused: isRefused(error), ...(isWithheld(error) && { withheld: true }) })
    } finally {
      scope.end()
    }
  }

  function wake(at: number): void {
    if (at === wakeAt) return
    clearTimeout(timer)
    wakeAt = at
    timer = setTimeout(afterTimer, Math.max(0, Math.ceil(at - now())))
    timer.unref()
  }

  /**
   * Ticks after what has arrived was read. If this process got no processor for a while, the answers of others wait in its
   * sockets, and a tick before them would take its own lateness for the others' death.
   */
  function afterTimer(): void {
    setImmediate(() => {
      wakeAt = Number.POSITIVE_INFINITY
      emit({ type: 'tick' })
    })
  }

  const stopListening = source.listen(({ socket, id, address }: AcceptedLink) => {
    accepted += 1
    const link = `a${accepted}`
    register(link, socket)
    emit({ type: 'opened', link, id, dialled: false, address })
  })

  const end = () => {
    stopListening()
    clearTimeout(timer)
    for (const socket of sockets.values()) close(socket)
    sockets.clear()
  }
  signal.addEventListener('abort', end, { once: true })
  return { send, close: closeLink, dial: (target) => void dial(target), wake, end }
}

/** Closes a socket after everything that was sent has gone out, and terminates it if the peer does not answer. */
function close(socket: WebSocket): void {
  socket.close(1000)
  setTimeout(() => socket.terminate(), CLOSE_MS).unref()
}

/** Upgrades a connection to a WebSocket. The socket is paused, so that no message arrives before the link is registered. */
function openSocket(stream: Duplex, signal: AbortSignal): Promise<WebSocket> {
  const socket = new WebSocket(`ws://peer${GOSSIP_PATH}`, {
    createConnection: () => stream as Socket,
    perMessageDeflate: false,
    maxPayload: WIRE_MAX_BYTES,
    followRedirects: false,
  })
  // A faulty frame may arrive together with the upgrade response, so the socket needs an error listener from the start.
  socket.on('error', () => {})
  return new Promise((resolve, reject) => {
    const fail = (error?: unknown) => {
      signal.removeEventListener('abort', fail)
      socket.terminate()
      stream.destroy()
      reject(error)
    }
    if (signal.aborted) return fail()
    signal.addEventListener('abort', fail, { once: true })
    socket.once('error', fail)
    socket.once('open', () => {
      signal.removeEventListener('abort', fail)
      socket.off('error', fail)
      socket.pause()
      resolve(socket)
    })
  })
}

/** Whether one of the attempts was refused: the machine is up, but no node listens there. */
function isRefused(error: unknown): boolean {
  return error instanceof DialError && error.attempts.some((attempt) => isRefusal(attempt.error))
}

/** Whether this node's own limits allowed none of the attempts. */
function isWithheld(error: unknown): boolean {
  return (
    error instanceof DialError &&
    error.attempts.every((attempt) => ['dialled_lately', 'not_dialled'].includes(toAppError(attempt.error).code))
  )
}

function isRefusal(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause)
    if ((cause as NodeJS.ErrnoException).code === 'ECONNREFUSED') return true
  return false
}
