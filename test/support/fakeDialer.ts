import { createServer, type RequestListener } from 'node:http'
import { duplexPair } from 'node:stream'
import type { ProvenPeer } from '../../actors/identity/certificate.ts'
import type { Connection, Dialer, DialOptions, DialTarget } from '../../actors/net/dialer.ts'

/**
 * Returns a dialer whose dials all reach one node in this process: an HTTP server at the other end of a pair of
 * streams, which are not sockets. `onDial` is called for each dial and may reject it.
 */
export function fakeDialer(
  peer: ProvenPeer,
  handle: RequestListener,
  onDial: (target: DialTarget, options: DialOptions) => unknown = () => {},
): Dialer {
  const server = createServer(handle)
  const dial = async (target: DialTarget, options: DialOptions): Promise<Connection> => {
    await onDial(target, options)
    const [stream, other] = duplexPair()
    for (const end of [stream, other]) end.on('error', () => {})
    server.emit('connection', other)
    const [endpoint] = target.endpoints
    if (!endpoint) throw new Error('no endpoint')
    return { stream, peer, endpoint, ms: 1 }
  }
  return { dial: dial as Dialer['dial'], isSelf: () => false }
}
