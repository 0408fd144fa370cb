import type HyperDht from 'hyperdht'
import type { DhtAddress, KeyPair } from 'hyperdht'
import { DHT_PORTS, PUNCHED } from '../../../protocol/defaults/punched.ts'
import { AppError } from '../../../protocol/errors.ts'
import { formatAddress, isIPv4 } from '../../../protocol/net/address.ts'
import { refusal } from '../../../protocol/net/reachable.ts'
import { guardDht } from './loadHyperdht.ts'

/** This node's sockets at the DHT of one relay. */
export interface RelayDhtClient {
  dht: HyperDht
  isRelay(host: string, port: number): boolean
  /** Whether to send datagrams to what the other end calls its addresses. */
  holepunch(remoteFirewall: number, localFirewall: number, addresses: DhtAddress[] | null): boolean
  close(): Promise<void>
}

export interface RelayDhtClientOptions {
  keyPair: KeyPair
  /** Permits loopback addresses. */
  test?: boolean
  /** The address to bind; all of IPv4 if absent. */
  host?: string | undefined
  answerTimeoutMs?: number | undefined
}

/** A router that gives each destination another port has an address without one, and then any port may be meant. */
const RANDOM_PORT = 1_024

/**
 * Opens sockets at the DHT of a relay, which has the addresses of `relay` and the ports after it. Rejects with
 * `unreachable` where none of them answers, and with `bad_address`.
 */
export async function openRelayDht(
  Dht: typeof HyperDht,
  relay: DhtAddress,
  { keyPair, test = false, host = '0.0.0.0', answerTimeoutMs = PUNCHED.answerTimeoutMs }: RelayDhtClientOptions,
): Promise<RelayDhtClient> {
  const where = formatAddress(relay)
  if (!isIPv4(relay.host)) throw new AppError('bad_address', { where })
  const isRelay = (at: string, port: number) => at === relay.host && port >= relay.port && port < relay.port + DHT_PORTS
  const dht = new Dht({ bootstrap: [relay], port: [0, 0], host, ephemeral: true, keyPair })
  dht.on('error', () => {})
  guardDht(dht, {
    isMember: ({ host: at, port }) => isRelay(at, port),
    handshakesPerSecond: PUNCHED.handshakesPerSecond,
  })
  const close = () => dht.destroy({ force: true }).catch(() => {})
  let timer: NodeJS.Timeout | undefined
  const overdue = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, answerTimeoutMs)
  })
  try {
    await Promise.race([dht.fullyBootstrapped(), overdue])
  } catch (error) {
    await close()
    throw new AppError('unreachable', { where, why: (error as Error).message }, error)
  } finally {
    clearTimeout(timer)
  }
  if (dht.toArray({ limit: 1 }).length === 0) {
    await close()
    throw new AppError('unreachable', { where, why: 'nothing answers over UDP; a firewall may block it' })
  }
  return {
    dht,
    isRelay,
    holepunch: (_remote, _local, addresses) =>
      (addresses ?? []).every(({ host, port }) => refusal(host, port || RANDOM_PORT, { test }) === undefined),
    close,
  }
}
