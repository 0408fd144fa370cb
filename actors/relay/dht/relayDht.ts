import type BlindRelay from 'blind-relay'
import type { RelaySession } from 'blind-relay'
import type HyperDht from 'hyperdht'
import type { RawStream, SecretStream } from 'hyperdht'
import { BLIND_RELAY, DHT_PORTS, DHT_PROCESS } from '../../../protocol/defaults/punched.ts'
import type { NodeId } from '../../../protocol/ids.ts'
import { formatAddress } from '../../../protocol/net/address.ts'
import { guardDht, SIGNALLING } from '../../net/punched/loadHyperdht.ts'
import { idOf } from '../../net/punched/nodeKeys.ts'
import type { RelayedStream } from './messages.ts'
import { createPairMeter, type PairLimits } from './pairMeter.ts'

/** Who may be relayed, and how much. */
export interface Consent {
  authorize(client: NodeId): Promise<boolean>
  /** Counts a stream of a client. Resolves with what gives it back, or undefined where the client has too many. */
  take(serial: number, client: NodeId, from: string): Promise<(() => void) | undefined>
}

export interface RelayDhtOptions extends Consent {
  Dht: typeof HyperDht
  blindRelay: typeof BlindRelay
  /** The public IPv4 address of this machine, as peers see it. */
  host: string
  /** The address to bind. */
  bind: string
  /** The first of `DHT_PORTS` UDP ports. */
  port: number
  seed: Buffer
  limits?: PairLimits
  pairTimeoutMs?: number
  lingerMs?: number
}

export interface RelayDht {
  streams(): RelayedStream[]
  /** Ends the streams of a client. */
  closeClient(client: NodeId): void
  close(): Promise<void>
}

interface Relayed {
  client: NodeId
  from: string
  token?: string
  end(): void
}

/**
 * Opens the addresses of a DHT of its own, which has no other members, and the blind relay in it. Rejects where a port is
 * not free.
 */
export async function openRelayDht(options: RelayDhtOptions): Promise<RelayDht> {
  const {
    Dht,
    blindRelay,
    host,
    authorize,
    take,
    pairTimeoutMs = BLIND_RELAY.pairTimeoutMs,
    lingerMs = BLIND_RELAY.lingerMs,
  } = options
  const nodes: HyperDht[] = []
  const relayed = new Map<number, Relayed>()
  const meter = createPairMeter(options.limits)
  let serials = 0

  const close = async () => {
    meter.close()
    for (const { end } of relayed.values()) end()
    await Promise.all(nodes.map((dht) => dht.destroy({ force: true }).catch(() => {})))
  }

  /** The handler of a stream to the blind relay, which carries one pair: hyperdht opens one for each. */
  async function accept(stream: SecretStream): Promise<void> {
    stream.on('error', () => {})
    const client = idOf(stream.remotePublicKey)
    const serial = ++serials
    const { remoteHost, remotePort } = stream.rawStream ?? {}
    const from = formatAddress({ host: remoteHost ?? '', port: remotePort ?? 0 })
    let isOpen = true
    stream.once('close', () => {
      isOpen = false
    })
    const release = await take(serial, client, from)
    if (!release) return stream.destroy()
    if (!isOpen) return release()
    const session = relay.accept(stream, { id: stream.remotePublicKey })
    session.on('error', () => {})
    session._links = new KeptLinks()
    const forget = () => {
      relayed.delete(serial)
      release()
    }
    let raw: RawStream | undefined
    const end = () => {
      session.destroy()
      stream.destroy()
      raw?.destroy()
    }
    const entry: Relayed = { client, from, end }
    relayed.set(serial, entry)
    let timer = setTimeout(end, pairTimeoutMs)
    onlyOnePair(session, end)
    session.on('pair', (_isInitiator, token: Buffer, paired: RawStream, remoteId: number) => {
      clearTimeout(timer)
      raw = paired
      entry.token = token.toString('hex')
      meter.add(entry.token, paired, end)
      // The relay would otherwise learn the address from the client's first packet, and there is none where the client
      // already has a direct path while the other one has not.
      const { socket, remotePort: port, remoteHost: at } = stream.rawStream ?? {}
      if (socket && port && at) paired.connect(socket, remoteId, port, at)
      paired.once('close', () => {
        clearTimeout(timer)
        forget()
        end()
      })
    })
    stream.once('close', () => {
      clearTimeout(timer)
      if (raw) timer = setTimeout(end, lingerMs)
      else forget()
    })
  }

  const relay = new blindRelay.Server({ createStream: (each) => (nodes[0] as HyperDht).createRawStream(each) })
  try {
    for (let at = 0; at < DHT_PORTS; at++) nodes.push(await openAddress(options, at))
    const server = (nodes[0] as HyperDht).createServer(
      { firewall: async (key) => !(await authorize(idOf(key))), shareLocalAddress: false },
      (stream) => void accept(stream),
    )
    await server.listen(Dht.keyPair(options.seed))
  } catch (error) {
    await close()
    throw error
  }
  return {
    streams: () =>
      [...relayed].map(([serial, { client, from, token }]) => {
        return { serial, client, from, bytes: token ? meter.bytesOf(token) : 0 }
      }),
    closeClient(client) {
      for (const each of relayed.values()) if (each.client === client) each.end()
    },
    close,
  }

  /** Opens one of the addresses. They know no others than each other. */
  async function openAddress({ bind, port: first }: RelayDhtOptions, at: number): Promise<HyperDht> {
    const port = first + at
    const dht = new Dht({
      bootstrap: at === 0 ? [] : [{ host, port: first }],
      port: [port, port + 1],
      host: bind,
      anyPort: false,
      ephemeral: false,
      firewalled: false,
      maxSize: DHT_PROCESS.records,
    })
    dht.on('error', () => {})
    dht._nat.add(host, port)
    guardDht(dht, {
      isMember: (address) => address.host === host && address.port >= first && address.port < first + DHT_PORTS,
      handshakesPerSecond: DHT_PROCESS.handshakesPerSecond,
      isServed: (command) => SIGNALLING.has(command),
    })
    try {
      await dht.fullyBootstrapped()
      return dht
    } catch (error) {
      await dht.destroy({ force: true }).catch(() => {})
      throw error
    }
  }
}

/**
 * Keeps a session that closes from destroying what it has paired, which `accept` does later. A node whose direct path comes
 * up first closes its session at once, while the other node has sent a packet over the relay. That one is sent again over
 * the relay alone, also after the stream has moved, and would never arrive.
 */
class KeptLinks extends Map<string, unknown> {
  override values() {
    return new Map<string, unknown>().values()
  }
}

/** Ends a session that requests a second pair: each would otherwise be counted as one and carry any number. */
function onlyOnePair({ _pair: pair }: RelaySession, end: () => void): void {
  const { onmessage } = pair
  let isRequested = false
  pair.onmessage = (message, session) => {
    if (isRequested) return end()
    isRequested = true
    return onmessage(message, session)
  }
}
