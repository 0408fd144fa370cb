import { WebSocket } from 'ws'
import { fromCallback } from 'xstate'
import type { GossipEvent } from '../../machines/gossip/gossipState.ts'
import type { FromWires, ToWires, Untimed } from '../../machines/gossip.ts'
import { parseAddress } from '../../protocol/address.ts'
import { GOSSIP_PATH } from '../../protocol/gossip.ts'
import type { NodeId } from '../../protocol/ids.ts'
import { decode, encode, WIRE_MAX_BYTES } from '../../protocol/wire.ts'
import type { Dial } from '../speedTester/speedLink.ts'
import type { AcceptedLink, LinkSource } from './accept.ts'

export interface WiresOptions {
  dial: Dial
  /** Where links that others dialled come from. */
  source: LinkSource
  /** Why an address that others named may not be dialled; undefined where it may. */
  refusal: (host: string, port: number) => string | undefined
  /** Monotonic milliseconds. */
  now?: () => number
}

/** Bytes that may wait for a slow peer until it is given up: two of the largest messages and some. */
const WAITING_MOST_BYTES = 1024 * 1024

/** How long a closing handshake may take. */
const CLOSE_MS = 1_000

/** The sockets and the timer of one gossip life. All end with `signal`, whatever becomes of the machine. */
export function createWires({ dial, source, refusal, now = () => performance.now() }: WiresOptions) {
  return fromCallback<ToWires, { signal: AbortSignal }, FromWires>(({ input: { signal }, sendBack, receive }) => {
    const sockets = new Map<string, WebSocket>()
    let timer: NodeJS.Timeout | undefined
    let accepted = 0

    const happened = (event: Untimed) => {
      if (!signal.aborted) sendBack({ type: 'happened', event: { ...event, at: now() } as GossipEvent })
    }

    function hold(link: string, socket: WebSocket): void {
      sockets.set(link, socket)
      socket.on('message', (data, isBinary) => {
        const message = isBinary ? 'garbled' : decode(String(data))
        if (sockets.get(link) !== socket || message === 'unknown') return
        if (typeof message === 'string') happened({ type: 'garbled', link })
        else happened({ type: 'heard', link, message })
      })
      // An error is followed by the close, which says all that matters.
      socket.on('error', () => {})
      socket.on('close', () => {
        if (!sockets.delete(link)) return
        happened({ type: 'closed', link })
      })
    }

    function send(link: string, text: string): void {
      const socket = sockets.get(link)
      if (socket?.readyState !== WebSocket.OPEN) return
      if (socket.bufferedAmount > WAITING_MOST_BYTES) socket.terminate()
      else socket.send(text)
    }

    function hangUp(link: string): void {
      const socket = sockets.get(link)
      if (!socket) return
      sockets.delete(link)
      close(socket)
    }

    async function reach({
      link,
      addresses,
      hearsay,
      id,
      timeoutMs,
    }: Extract<ToWires, { type: 'dial' }>): Promise<void> {
      const late = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
      let refused = false
      for (const where of addresses) {
        const { host, port } = parseAddress(where)
        if (hearsay && refusal(host, port)) continue
        try {
          const { socket, id: proven } = await openSocket(dial, { host, port, ...(id && { id }) }, late)
          if (signal.aborted) return socket.terminate()
          hold(link, socket)
          happened({ type: 'opened', link, id: proven, dialled: true, address: where })
          return
        } catch (error) {
          refused ||= isRefusal(error)
        }
      }
      happened({ type: 'failed', link, refused })
    }

    receive((command) => {
      if (command.type === 'send') send(command.link, encode(command.message))
      else if (command.type === 'hangUp') hangUp(command.link)
      else if (command.type === 'stamp') happened(command.event)
      else if (command.type === 'dial') void reach(command)
      else {
        clearTimeout(timer)
        timer = setTimeout(() => happened({ type: 'tick' }), Math.max(0, Math.ceil(command.at - now())))
        timer.unref()
      }
    })

    const unhear = source.listen(({ socket, id, address }: AcceptedLink) => {
      accepted += 1
      const link = `a${accepted}`
      hold(link, socket)
      happened({ type: 'opened', link, id, dialled: false, address })
    })

    const end = () => {
      unhear()
      clearTimeout(timer)
      for (const socket of sockets.values()) close(socket)
      sockets.clear()
    }
    signal.addEventListener('abort', end, { once: true })
    return end
  })
}

/** Lets go out what was sent, then closes, by force where the other end does not take part. */
function close(socket: WebSocket): void {
  socket.close(1000)
  setTimeout(() => socket.terminate(), CLOSE_MS).unref()
}

async function openSocket(
  dial: Dial,
  to: Parameters<Dial>[0],
  signal: AbortSignal,
): Promise<{ socket: WebSocket; id: NodeId }> {
  const { socket: tls, peer } = await dial(to, signal)
  const socket = new WebSocket(`ws://peer${GOSSIP_PATH}`, {
    createConnection: () => tls,
    perMessageDeflate: false,
    maxPayload: WIRE_MAX_BYTES,
    followRedirects: false,
  })
  return new Promise((resolve, reject) => {
    const fail = (error: unknown) => {
      signal.removeEventListener('abort', fail)
      socket.terminate()
      tls.destroy()
      reject(error)
    }
    signal.addEventListener('abort', fail, { once: true })
    socket.once('error', fail)
    socket.once('open', () => {
      signal.removeEventListener('abort', fail)
      socket.off('error', fail)
      resolve({ socket, id: peer.id })
    })
  })
}

/** The machine is there and says that no node listens, as against saying nothing. */
function isRefusal(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause)
    if ((cause as NodeJS.ErrnoException).code === 'ECONNREFUSED') return true
  return false
}
