import { once } from 'node:events'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { setTimeout as wait } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import type { Relay } from '../../machines/turnClient/relays.ts'
import { CONNECT_TIMEOUT_MS, LEGACY_TIMEOUT_MS } from '../../protocol/defaults/net.ts'
import { FRP_LOGIN_TIMEOUT_MS, KEYLESS_RELAY_RETRY_MS } from '../../protocol/defaults/turnClient.ts'
import { AppError } from '../../protocol/errors.ts'
import { type Endpoint, formatEndpoint } from '../../protocol/net/endpoint.ts'
import { connectPlain } from '../net/connect.ts'
import type { Dialer } from '../net/dialer.ts'
import { fetchText } from '../net/httpClient.ts'
import { detected, type FrpTransport, multiplexed } from './frpTransport.ts'

/** A relay that proves no key: stock frp's server, or Go P2PRC, which starts one of its own for each client. */

export type Identified = Pick<Relay, 'id' | 'keyless' | 'endpoints'>

/**
 * Finds out what listens at the endpoints that the owner named. What is neither a node nor Go P2PRC is taken for stock
 * `frps`, whose login tells. Rejects as the dialer does where nothing answers.
 */
export async function identifyRelay(
  dialer: Dialer,
  endpoints: readonly Endpoint[],
  signal: AbortSignal,
): Promise<Identified> {
  const named = () => endpoints.map(formatEndpoint).join(' ')
  try {
    const { stream, peer, endpoint } = await dialer.dial(
      { endpoints },
      { purpose: 'relay', goNode: 'accepted', signal },
    )
    stream.destroy()
    return peer ? { id: peer.id, endpoints } : { id: named(), keyless: 'go', endpoints: [endpoint] }
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'protocol_error') throw error
    return { id: named(), keyless: 'frps', endpoints }
  }
}

export interface KeylessTransportOptions {
  dialer: Dialer
  relay: Relay
  signal: AbortSignal
  /** The ports of the servers that Go P2PRC has started for this node, by the relay. Kept here. */
  goPorts: Map<string, number>
}

/** Reaches a relay that proves no key. Rejects with `unreachable`, `timed_out`, `protocol_error`, `abandoned`. */
export async function keylessTransport({
  dialer,
  relay,
  signal,
  goPorts,
}: KeylessTransportOptions): Promise<FrpTransport> {
  const [endpoint] = relay.endpoints
  if (!endpoint) throw new AppError('not_found', { kind: 'node', id: relay.id })
  const connect = (port: number) =>
    connectPlain({ host: endpoint.host, port, where: relay.id, signal, timeoutMs: CONNECT_TIMEOUT_MS })
  if (relay.keyless === 'frps') return detected(async () => secured(await connect(endpoint.port), relay.id))

  // Go P2PRC never stops a server that it has started. After an interruption the same one is tried once.
  const known = goPorts.get(relay.id)
  goPorts.delete(relay.id)
  const again = known === undefined ? undefined : await connect(known).catch(() => undefined)
  if (again) return multiplexed(async () => again)
  const port = await requestPort(dialer, relay, signal)
  goPorts.set(relay.id, port)
  return multiplexed(() => connectWhenReady(() => connect(port)))
}

/** Every version of `frps` accepts TLS, which keeps the proof of the token from others. Its certificate proves nothing. */
async function secured(socket: Socket, where: string): Promise<Duplex> {
  const secure = connectTls({ socket, rejectUnauthorized: false })
  try {
    await once(secure, 'secureConnect', { signal: AbortSignal.timeout(CONNECT_TIMEOUT_MS) })
  } catch (error) {
    secure.on('error', () => {}).destroy()
    throw new AppError('protocol_error', { where, why: 'it accepts no TLS' }, error)
  }
  return secure.on('error', () => {})
}

/** Asks Go P2PRC to start a server for this node. Resolves with its port. */
async function requestPort(dialer: Dialer, { id, endpoints }: Relay, signal: AbortSignal): Promise<number> {
  const { stream } = await dialer.dial({ endpoints }, { purpose: 'relay', goNode: 'expected', signal })
  const limits = { timeoutMs: LEGACY_TIMEOUT_MS, maxBytes: 64 }
  const text = await fetchText(stream, { where: id, path: '/FRPPort', signal, ...limits })
  stream.destroy()
  const port = /^\s*\d{1,5}\s*$/.test(text) ? Number(text) : 0
  if (port < 1 || port > 65_535) throw new AppError('protocol_error', { where: id, why: 'it names no port' })
  return port
}

/** Go P2PRC names the port before its server listens there. */
async function connectWhenReady(connect: () => Promise<Duplex>): Promise<Duplex> {
  const deadline = performance.now() + FRP_LOGIN_TIMEOUT_MS
  for (;;) {
    try {
      return await connect()
    } catch (error) {
      if (performance.now() > deadline || (error as AppError).code !== 'unreachable') throw error
      await wait(KEYLESS_RELAY_RETRY_MS)
    }
  }
}
