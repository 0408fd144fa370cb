import type { Duplex } from 'node:stream'
import type { SecretStream, Server } from 'hyperdht'
import { PUNCHED } from '../../protocol/defaults/punched.ts'
import { AppError } from '../../protocol/errors.ts'
import type { NodeId } from '../../protocol/ids.ts'
import { formatAddress } from '../../protocol/net/address.ts'
import type { Identity } from '../identity.ts'
import { once } from '../once.ts'
import { countStreams } from './punched/countStreams.ts'
import { loadHyperdht } from './punched/loadHyperdht.ts'
import { idOf, pointOf, seedOf } from './punched/nodeKeys.ts'
import type { KeyOf } from './punched/peerKeys.ts'
import { PunchedStream } from './punched/punchedStream.ts'
import { openRelayDht, type RelayDhtClient, type RelayDhtClientOptions } from './punched/relayDhtClient.ts'
import { waitUntilOpen } from './punched/waitUntilOpen.ts'

/** The first UDP port of a relay's DHT. `host` is an IPv4 address. */
export interface DhtEndpoint {
  host: string
  port: number
}

export interface PunchedOptions extends Pick<RelayDhtClientOptions, 'test' | 'host' | 'answerTimeoutMs'> {
  identity: Pick<Identity, 'tls'>
  keyOf: KeyOf
  /** Whether a node that has proved its key may open streams to this one. */
  authorize: (id: NodeId) => boolean
  /** Takes over a stream that another node has opened, and owns it. */
  accept: (stream: PunchedStream, id: NodeId) => void
  limits?: { streamsPerPeer: number; streams: number }
  idleMs?: number
  checkIntervalMs?: number
  connectTimeoutMs?: number
  load?: Parameters<typeof loadHyperdht>[0]
}

/** The punched path: streams over UDP through the routers of both ends, which start over a relay. */
export interface Punched {
  /**
   * Opens a stream to a node that listens at the relay with this address. It may go over the relay at first, and moves to
   * a direct path by itself. Whether the other end lives is proved by what runs over it. Rejects with `punching_missing`,
   * `not_found`, `bad_address`, `unreachable`, `timed_out`, `abandoned`.
   */
  connect(relay: DhtEndpoint, id: NodeId, signal: AbortSignal): Promise<Duplex>
  /** Makes this node known at a relay, whose key is an OpenSSH line. Rejects as `connect` does. */
  listen(relay: DhtEndpoint & { key: string }, signal: AbortSignal): Promise<{ close(): Promise<void> }>
  /** Closes everything, streams included. */
  close(): Promise<void>
}

interface Client {
  opened: Promise<RelayDhtClient>
  uses: number
  timer?: NodeJS.Timeout
}

export function createPunched(options: PunchedOptions): Punched {
  const { identity, keyOf, authorize, accept, limits = PUNCHED } = options
  const { idleMs = PUNCHED.idleMs, connectTimeoutMs = PUNCHED.connectTimeoutMs } = options
  const { checkIntervalMs = PUNCHED.checkIntervalMs } = options
  const clients = new Map<string, Client>()
  const streams = countStreams(limits)
  const listening = new Set<() => Promise<void>>()
  let isClosed = false

  /** Returns the sockets at a relay, which are shared, and what gives them back. */
  function use(relay: DhtEndpoint): { opened: Promise<RelayDhtClient>; release: () => void } {
    if (isClosed) throw new AppError('stopping')
    const name = formatAddress(relay)
    const client = clients.get(name) ?? { opened: open(relay), uses: 0 }
    clients.set(name, client)
    clearTimeout(client.timer)
    client.uses += 1
    const forget = () => {
      if (clients.get(name) === client) clients.delete(name)
    }
    client.opened.catch(forget)
    const release = () => {
      client.uses -= 1
      if (client.uses > 0) return
      client.timer = setTimeout(() => {
        forget()
        client.opened.then(({ close }) => close()).catch(() => {})
      }, idleMs)
      client.timer.unref()
    }
    return { opened: client.opened, release: onlyOnce(release) }
  }

  async function open({ host, port }: DhtEndpoint): Promise<RelayDhtClient> {
    const Dht = await loadHyperdht(options.load)
    return openRelayDht(Dht, { host, port }, { ...options, keyPair: Dht.keyPair(seedOf(identity)) })
  }

  async function keyPair() {
    return (await loadHyperdht(options.load)).keyPair(seedOf(identity))
  }

  async function connect(relay: DhtEndpoint, id: NodeId, signal: AbortSignal): Promise<Duplex> {
    const where = `punched://${formatAddress(relay)}`
    if (signal.aborted) throw new AppError('abandoned')
    const key = await keyOf(id, signal)
    if (!key) throw new AppError('not_found', { kind: 'node', id })
    const { opened, release } = use(relay)
    try {
      const client = await abortable(opened, signal)
      const addresses = client.dht.toArray({ limit: 2 })
      const raw = client.dht.connect(pointOf(key), {
        keyPair: await keyPair(),
        holepunch: client.holepunch,
        relayAddresses: addresses,
      })
      raw.once('close', release)
      await waitUntilOpen(raw, { where, signal, timeoutMs: connectTimeoutMs })
      return new PunchedStream(raw, { where, isRelay: client.isRelay })
    } catch (error) {
      release()
      throw error
    }
  }

  async function listen(relay: DhtEndpoint & { key: string }, signal: AbortSignal) {
    if (signal.aborted) throw new AppError('abandoned')
    const where = `punched://${formatAddress(relay)}`
    const { opened, release } = use(relay)
    let server: Server | undefined
    let timer: NodeJS.Timeout | undefined
    const close = once(async () => {
      clearInterval(timer)
      listening.delete(close)
      await server?.close().catch(() => {})
      release()
    })
    try {
      const { dht, isRelay, holepunch } = await abortable(opened, signal)
      const firewall = (key: Buffer) => {
        const id = idOf(key)
        return !streams.hasRoom(id) || !authorize(id)
      }
      const onConnection = (raw: SecretStream) => {
        raw.on('error', () => {})
        const id = idOf(raw.remotePublicKey)
        if (!streams.add(id, raw)) return
        accept(new PunchedStream(raw, { where: id, isRelay }), id)
      }
      server = dht.createServer({ firewall, holepunch, relayThrough: pointOf(relay.key) }, onConnection)
      const pair = await keyPair()
      await abortable(server.listen(pair), signal)
      listening.add(close)
      timer = setInterval(() => void refreshIfUnknown(), checkIntervalMs)
      timer.unref()
      const refreshIfUnknown = async () => {
        const query = dht.findPeer(pair.publicKey)
        try {
          for await (const _reply of query) return
          server?.refresh()
        } catch {
          // The relay does not answer now. hyperdht announces again when it does.
        } finally {
          query.destroy()
        }
      }
      return { close }
    } catch (error) {
      await close()
      if (error instanceof AppError) throw error
      throw new AppError('unreachable', { where, why: (error as Error).message }, error)
    }
  }

  const close = once(async () => {
    isClosed = true
    await Promise.all([...listening].map((each) => each()))
    streams.destroyAll()
    const open = [...clients.values()]
    clients.clear()
    for (const { timer } of open) clearTimeout(timer)
    await Promise.all(open.map(({ opened }) => opened.then((client) => client.close()).catch(() => {})))
  })

  return { connect, listen, close }
}

function onlyOnce(run: () => void): () => void {
  let isDone = false
  return () => {
    if (isDone) return
    isDone = true
    run()
  }
}

/** Rejects with `abandoned` as soon as the signal aborts; what was begun goes on for others. */
function abortable<T>(begun: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(new AppError('abandoned'))
    if (signal.aborted) return abort()
    signal.addEventListener('abort', abort, { once: true })
    begun.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}
