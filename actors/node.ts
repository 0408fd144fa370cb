import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { version } from '../package.json'
import { type Bus, createBus } from '../protocol/bus.ts'
import { PORT, PROTOCOL_VERSION } from '../protocol/defaults/node.ts'
import { AppError, toFailure } from '../protocol/errors.ts'
import type { NodeId } from '../protocol/ids.ts'
import type { Answer, BusEvent, Command } from '../protocol/index.ts'
import type { RelayPolicy, Rights } from '../protocol/rights.ts'
import { openConcerns } from './concerns.ts'
import { createImageList } from './containerManager/imageFolders.ts'
import { openGossipListener } from './gossip.ts'
import { type Home, lockHome } from './home.ts'
import { type Identity, loadIdentity } from './identity.ts'
import { discover, hostsOf, type ListenAddresses, loopbackOf } from './ipTable/listening.ts'
import { fetchPublicAddress } from './ipTable/publicAddress.ts'
import { listenControl } from './listeners/controlSocket.ts'
import { createEventStream } from './listeners/eventStream.ts'
import { createHttpServer } from './listeners/httpServer.ts'
import { createLocalCallers } from './listeners/localCallers.ts'
import { openListener } from './listeners/tcp.ts'
import { once } from './once.ts'
import { createRegistry, replyWithActors } from './registry.ts'
import type { DomainsOptions } from './relay/domains.ts'
import type { RelayChoices } from './relay.ts'
import { type RequestOptions, request } from './request.ts'

export interface NodeOptions {
  home: Home
  /** Null for a temporary node: its owner's commands alone reach it, and it does no background work. */
  listen: { host?: string; port: number } | null
  /** Whether everybody may borrow, as in Go P2PRC. */
  open: boolean
  /** To whom this node lends ports. */
  relay?: RelayPolicy
  /** The token with which clients of stock frp may log in, and other caps of what this node lends. */
  relayChoices?: RelayChoices
  /** The token for stock `frps` that the owner names as a relay. */
  viaToken?: string
  /** The URL of a service that reports the public address in the form of ip-api.com. */
  ipService?: string
  /** Receives every event, including the first. */
  tap?: (event: BusEvent) => void
  /**
   * Receives errors of the bus: of a listener, and in development of an event that does not fit. By default, it warns.
   */
  onError?: (error: unknown, type: string) => void
}

export interface Node {
  identity: Identity
  bus: Bus<BusEvent>
  /** The addresses on which it listens, as `host:port`. */
  addresses: string[]
  /** Where it shows domains; absent if nowhere. */
  proxyPort?: number
  request(command: Command, options?: RequestOptions): Promise<Answer>
  /** Stops the node; its containers keep running. May be called more than once. */
  stop(): Promise<void>
  /** Resolves when no command of the owner is connected. */
  unused(): Promise<void>
  /** Stops the node as soon as no command of the owner is connected. */
  stopWhenUnused(): Promise<void>
}

/** How long a starting node waits for a command that uses the home folder without a node. */
const START_LOCK_WAIT_MS = 800

/**
 * The composition root: locks the home folder, constructs all parts, connects them to one bus and starts them. They
 * stop in reverse order. Throws `home_locked`, `home_unusable`, `bad_identity`, `newer_file`, `port_busy` or
 * `listen_failed`, and leaves nothing running.
 */
export async function createNode({
  home,
  listen,
  open,
  relay = 'peers',
  relayChoices = {},
  viaToken = '',
  ipService,
  tap,
  onError = (error, type) => process.emitWarning(`on the bus, with ${type}: ${String(error)}`),
}: NodeOptions): Promise<Node> {
  const undo: (() => unknown)[] = []
  const stop = once(async () => {
    for (const take of undo.reverse()) await take()
  })
  try {
    undo.push(await lockHome(home, { waitMs: listen ? START_LOCK_WAIT_MS : 0, temporary: !listen }))
    const identity = await loadIdentity(home.paths, home.config.MachineName)
    const bus = createBus<BusEvent>({ onError })
    undo.push(() => bus.close())
    if (tap) bus.tap(tap)
    const registry = createRegistry()
    replyWithActors(bus, registry)
    const events = createEventStream({ bus, registry })
    const rights = followRights(bus, identity.id, { open, relay: listen ? relay : 'off' })
    replyForNode(bus, identity)
    const addresses: string[] = []

    const localCallers = createLocalCallers()
    const httpServer = await createHttpServer({
      ...{ bus, rights, events, images: createImageList(home.paths.images), isLocal: localCallers.isLocal },
      // No request comes before the concerns have started.
      addDomain: (...claim) => addDomain(...claim),
    })
    undo.push(() => httpServer.close())
    const listenAddresses: ListenAddresses = { port: listen?.port ?? PORT, hosts: [] }
    const gossipListener = openGossipListener()
    /** Set when the listener is open. */
    const accept = { punched: (stream: Duplex): void => void stream.destroy() }
    const proxyPort = listen ? proxyPortOf(home) : undefined
    const { concerns, quarantined, acceptFrp, names, addDomain, settled } = await openConcerns({
      home,
      bus,
      identity,
      listenAddresses,
      gossipListener,
      rights,
      relay: relayChoices,
      acceptPunched: (stream) => accept.punched(stream),
      viaToken,
      showsDomains: proxyPort !== undefined,
      localCallers,
      background: listen !== null,
    })
    undo.push(settled)
    if (listen && names && proxyPort !== undefined) {
      const { ACMEEmail: email, ACMEDirectory: directoryUrl } = home.config
      const proxy = await loadDomains({
        ...{ names, email, directoryUrl, folder: join(home.dir, 'domains'), port: proxyPort },
        ...(listen.host !== undefined && { host: listen.host }),
        lentHost: loopbackOf({ port: proxyPort, hosts: listen.host === undefined ? [] : [listen.host] }),
        publish: (fact) => bus.publish(fact),
      })
      undo.push(proxy.close)
      listenAddresses.proxyPort = proxy.port
    }
    if (listen) {
      // The port is opened first, so that a busy one stops the node before it has changed anything. No request is
      // handled
      // before the concerns have started, because they start in the same turn of the event loop.
      const listener = await openListener({
        identity,
        handle: httpServer.handle,
        upgrade: gossipListener.upgrade,
        acceptFrp,
        ...listen,
      })
      undo.push(() => listener.close())
      accept.punched = listener.accept
      listenAddresses.port = listener.port
      listenAddresses.hosts = hostsOf(listener.addresses)
      if (ipService) requestPublicAddress(ipService, bus)
      addresses.push(...listener.addresses)
    }
    // All concerns are on the bus before the first one starts, so that each receives what the others emit at their
    // start.
    const supervised = concerns.map((join) => join({ bus, inspect: registry.inspect }))
    for (const concern of supervised) {
      registry.add(concern)
      undo.push(() => concern.stop())
      concern.start()
    }
    for (const [path, found] of quarantined) bus.publish({ type: 'node.fileQuarantined', path, ...found })
    const control = await listenControl({ path: home.paths.socket, handle: httpServer.handle })
    undo.push(() => control.close())
    if (listen) {
      undo.push(discover(listenAddresses, identity.id, bus))
      bus.publish({ type: 'node.started', id: identity.id, addresses })
      undo.push(() => bus.publish({ type: 'node.stopping' }))
    }
    return {
      identity,
      bus,
      addresses,
      ...(listenAddresses.proxyPort !== undefined && { proxyPort: listenAddresses.proxyPort }),
      request: (command, options) => request(bus, command, options),
      stop,
      unused: control.unused,
      // `stop` closes the socket in the same turn, so that no connection is accepted in between.
      stopWhenUnused: () => control.unused().then(stop),
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Returns `ProxyPort`, undefined if it is not set. Throws `bad_request`. */
function proxyPortOf({ config: { ProxyPort }, paths }: Home): number | undefined {
  if (ProxyPort === '') return undefined
  const port = Number(ProxyPort)
  if (Number.isInteger(port) && port >= 0 && port <= 65_535) return port
  throw new AppError('bad_request', { why: `ProxyPort in ${paths.config} is a port and not "${ProxyPort}"` })
}

/** The code of the reverse proxy is loaded where it is wanted. */
async function loadDomains(options: DomainsOptions) {
  const { openDomains } = await import('./relay/domains.ts')
  return openDomains(options)
}

function requestPublicAddress(service: string, bus: Bus<BusEvent>): void {
  fetchPublicAddress(service).then(
    (address) => bus.publish({ type: 'node.addressFound', address }),
    (error) => bus.publish({ type: 'node.addressFailed', ...toFailure(error) }),
  )
}

/**
 * Returns a function that returns the current rights, which the listeners pass to `isAuthorized`. The node trusts its own
 * key, so that its owner can borrow from this machine as from any other.
 */
function followRights(bus: Bus<BusEvent>, own: NodeId, choices: Pick<Rights, 'open' | 'relay'>): () => Rights {
  let rights: Rights = { trusted: new Set([own]), ...choices }
  bus.on('trust.changed', ({ trusted }) => {
    rights = { trusted: new Set([own, ...trusted]), ...choices }
  })
  return () => rights
}

function replyForNode(bus: Bus<BusEvent>, { id, name, publicKey }: Identity): void {
  bus.on('node.show', ({ requestId }) =>
    bus.publish({ type: 'node.shown', requestId, id, name, key: publicKey, version, protocols: [PROTOCOL_VERSION] }),
  )
}
