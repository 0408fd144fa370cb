import { randomBytes } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { connect } from 'node:net'
import { fromCallback } from 'xstate'
import type { ConfirmInput, FromConfirm } from '../../machines/turnClient/turnClientContext.ts'
import {
  MAPPING_CONFIRM_TIMEOUT_MS,
  MAPPING_PROBE_INTERVAL_MS,
  MAPPING_RETRY_MS,
} from '../../protocol/defaults/turnClient.ts'
import { AppError, toFailure } from '../../protocol/errors.ts'
import { isIPv6 } from '../../protocol/net/address.ts'
import { directEndpoint, formatEndpoint } from '../../protocol/net/endpoint.ts'

/** What comes out of tunnels, so that a mapping counts as open only when something that was sent to it has arrived. */
export interface Arrivals {
  /** A user's connection has come out of the tunnel. */
  connected(tunnel: string): void
  /** Returns whether a datagram that came out of the tunnel is a probe, which no service is to see. */
  isProbe(tunnel: string, payload: Buffer): boolean
}

interface Probe {
  /** What is sent as a datagram. A connection has nothing to recognize it by: any user's is a proof as good. */
  nonce: Buffer
  onArrival(): void
}

/**
 * Creates the actor that confirms a mapping from outside. `hostOf` returns the address at which a relay was reached. It
 * tries until it has succeeded or is stopped, and reports each failure.
 */
export function createConfirm(hostOf: (relay: string) => string | undefined) {
  const probes = new Map<string, Probe>()
  const arrivals: Arrivals = {
    connected: (tunnel) => probes.get(tunnel)?.onArrival(),
    isProbe(tunnel, payload) {
      const probe = probes.get(tunnel)
      if (!probe?.nonce.equals(payload)) return false
      probe.onArrival()
      return true
    },
  }

  const confirm = fromCallback<{ type: 'none' }, ConfirmInput, FromConfirm>(({ input, sendBack }) => {
    const { name, protocol, relay, remotePort } = input
    const host = hostOf(relay.id) ?? relay.endpoints[0]?.host ?? ''
    const address = directEndpoint({ host, port: remotePort })
    const where = formatEndpoint(address)
    let endAttempt = () => {}
    let retry: NodeJS.Timeout | undefined

    function attempt(): void {
      const fail = (error: unknown) => {
        endAttempt()
        sendBack({ type: 'mapping.unconfirmed', name, failure: toFailure(error) })
        retry = setTimeout(attempt, MAPPING_RETRY_MS)
      }
      const timer = setTimeout(
        () => fail(new AppError('timed_out', { where, ms: MAPPING_CONFIRM_TIMEOUT_MS })),
        MAPPING_CONFIRM_TIMEOUT_MS,
      )
      const nonce = randomBytes(16)
      const onError = (error: Error) => fail(new AppError('unreachable', { where, why: error.message }, error))
      const stop = protocol === 'udp' ? sendDatagrams(address, nonce, onError) : openConnection(address, onError)
      endAttempt = () => {
        endAttempt = () => {}
        clearTimeout(timer)
        stop()
        if (probes.get(name)?.nonce === nonce) probes.delete(name)
      }
      probes.set(name, {
        nonce,
        onArrival() {
          endAttempt()
          sendBack({ type: 'mapping.confirmed', name, address, at: Date.now() })
        },
      })
    }

    attempt()
    return () => {
      clearTimeout(retry)
      endAttempt()
    }
  })
  return { confirm, arrivals }
}

interface At {
  host: string
  port: number
}

function openConnection(at: At, onError: (error: Error) => void): () => void {
  const socket = connect(at)
  socket.once('error', onError)
  return () => {
    socket.off('error', onError).on('error', () => {})
    socket.destroy()
  }
}

/** Sends a datagram again and again, because each may be lost. */
function sendDatagrams({ host, port }: At, payload: Buffer, onError: (error: Error) => void): () => void {
  const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4')
  const send = () => socket.send(payload, port, host)
  socket.on('error', onError)
  const timer = setInterval(send, MAPPING_PROBE_INTERVAL_MS)
  send()
  return () => {
    clearInterval(timer)
    socket.off('error', onError).on('error', () => {})
    socket.close()
  }
}
