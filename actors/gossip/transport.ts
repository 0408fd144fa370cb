import { setTimeout as delay } from 'node:timers/promises'
import { WebSocket } from 'ws'
import { fromCallback } from 'xstate'
import type { GossipEvent } from '../../machines/gossip/gossipState.ts'
import type { FromTransport, ToTransport, Untimed } from '../../machines/gossip.ts'
import { GOSSIP_PATH } from '../../protocol/gossip.ts'
import type { NodeId } from '../../protocol/ids.ts'
import type { PeerAt } from '../../protocol/ipTable.ts'
import { parseAddress } from '../../protocol/net/address.ts'
import { decode, encode, WIRE_MAX_BYTES } from '../../protocol/wire/gossip.ts'
import type { DialGuard } from '../net/dialGuard.ts'
import { openScope } from '../scope.ts'
import type { Dial } from '../speedTester/speedLink.ts'
import type { AcceptedLink, LinkSource } from './accept.ts'

export interface TransportOptions {
  dial: Dial
  /** Source of the links that other nodes dialled. */
  source: LinkSource
  /** Asked before an address is dialled that others named. */
  guard: Pick<DialGuard, 'authorize' | 'markProved'>
  /** Monotonic milliseconds. */
  now?: () => number
}

/** Bytes that may wait for a slow peer until it is given up: two of the largest messages and some. */
const WAITING_MOST_BYTES = 1024 * 1024

/** How long a closing handshake may take. */
const CLOSE_MS = 1_000

/** How long one address of a peer has before the next one is tried beside it (RFC 8305, section 5). */
const STAGGER_MS = 250

/** An address of a peer that was tried, and answered. */
interface DialledSocket {
  socket: WebSocket
  id: NodeId
  at: PeerAt
  /** As the record or the owner has it. */
  where: string
}

/** The sockets and the timer of one gossip machine. All end with `signal`, whatever happens to the machine. */
export function createTransport({ dial, source, guard, now = () => performance.now() }: TransportOptions) {
  return fromCallback<ToTransport, { signal: AbortSignal }, FromTransport>(
    ({ input: { signal }, sendBack, receive }) => {
      const sockets = new Map<string, WebSocket>()
      let timer: NodeJS.Timeout | undefined
      let accepted = 0

      const emit = (event: Untimed) => {
        if (!signal.aborted) sendBack({ type: 'timestamped', event: { ...event, at: now() } as GossipEvent })
      }

      function register(link: string, socket: WebSocket): void {
        sockets.set(link, socket)
        socket.on('message', (data, isBinary) => {
          const message = isBinary ? 'protocolError' : decode(String(data))
          if (sockets.get(link) !== socket || message === 'unknown') return
          if (typeof message === 'string') emit({ type: 'protocolError', link })
          else emit({ type: 'received', link, message })
        })
        // An error is followed by the close, which says all that matters.
        socket.on('error', () => {})
        socket.on('close', () => {
          if (!sockets.delete(link)) return
          emit({ type: 'closed', link })
        })
      }

      function send(link: string, text: string): void {
        const socket = sockets.get(link)
        if (socket?.readyState !== WebSocket.OPEN) return
        if (socket.bufferedAmount > WAITING_MOST_BYTES) socket.terminate()
        else socket.send(text)
      }

      function closeLink(link: string): void {
        const socket = sockets.get(link)
        if (!socket) return
        sockets.delete(link)
        close(socket)
      }

      async function dialAny({ link, addresses, unverified, id, timeoutMs }: Extract<ToTransport, { type: 'dial' }>) {
        const scope = openScope(signal, timeoutMs)
        let refused = false
        const attempts: Promise<DialledSocket>[] = []
        for (const [index, where] of addresses.entries()) {
          const before = attempts.at(-1)?.catch(() => {})
          attempts.push(
            (async () => {
              if (before) await Promise.race([before, delay(index * STAGGER_MS, undefined, { signal: scope.signal })])
              scope.signal.throwIfAborted()
              const named = parseAddress(where)
              const at = unverified ? await guard.authorize(named, { urgent: true, signal: scope.signal }) : named
              return { ...(await openSocket(dial, { ...at, ...(id && { id }) }, scope.signal)), at, where }
            })(),
          )
        }
        const won = await Promise.any(attempts).catch(({ errors }: AggregateError) => {
          refused = errors.some(isRefusal)
        })
        scope.end()
        // Those that were as good as there when another was faster.
        for (const attempt of attempts)
          attempt.then(
            (late) => late !== won && late.socket.terminate(),
            () => {},
          )
        if (!won) return emit({ type: 'failed', link, refused })
        guard.markProved(won.at)
        if (signal.aborted) return won.socket.terminate()
        register(link, won.socket)
        emit({ type: 'opened', link, id: won.id, dialled: true, address: won.where })
        won.socket.resume()
      }

      receive((command) => {
        if (command.type === 'send') send(command.link, encode(command.message))
        else if (command.type === 'close') closeLink(command.link)
        else if (command.type === 'timestamp') emit(command.event)
        else if (command.type === 'dial') void dialAny(command)
        else {
          clearTimeout(timer)
          timer = setTimeout(() => emit({ type: 'tick' }), Math.max(0, Math.ceil(command.at - now())))
          timer.unref()
        }
      })

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
      return end
    },
  )
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
  if (signal.aborted) {
    tls.destroy()
    signal.throwIfAborted()
  }
  const socket = new WebSocket(`ws://peer${GOSSIP_PATH}`, {
    createConnection: () => tls,
    perMessageDeflate: false,
    maxPayload: WIRE_MAX_BYTES,
    followRedirects: false,
  })
  // Frames may come in one piece with the answer to the upgrade: a broken one must not find a socket without an error listener.
  socket.on('error', () => {})
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
      // What comes before the link is held waits for it.
      socket.pause()
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
