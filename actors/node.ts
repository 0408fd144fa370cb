import { version } from '../package.json'
import { type Bus, createBus } from '../protocol/bus.ts'
import { PORT, PROTOCOL_VERSION } from '../protocol/defaults/node.ts'
import { toFailure } from '../protocol/errors.ts'
import type { Answer, BusEvent, Command } from '../protocol/index.ts'
import type { Rights } from '../protocol/rights.ts'
import { openConcerns } from './concerns.ts'
import { createImageList } from './containerManager/imageFolders.ts'
import { openGossipListener } from './gossip.ts'
import { type Home, lockHome } from './home.ts'
import { type Identity, loadIdentity } from './identity.ts'
import { discover, hostsOf, type ListenAddresses } from './ipTable/listening.ts'
import { fetchPublicAddress } from './ipTable/publicAddress.ts'
import { listenControl } from './listeners/controlSocket.ts'
import { createEventStream } from './listeners/eventStream.ts'
import { createHttpServer } from './listeners/httpServer.ts'
import { openListener } from './listeners/tcp.ts'
import { once } from './once.ts'
import { createRegistry, replyWithActors } from './registry.ts'
import { type RequestOptions, request } from './request.ts'

export interface NodeOptions {
  home: Home
  /** Null: a system for a single command, which listens nowhere and prepares nothing ahead. */
  listen: { host?: string; port: number } | null
  /** Everybody may borrow, as in Go P2PRC. */
  open: boolean
  /** Where to ask for the public address, in ip-api.com's form. */
  ipService?: string
  /** Sees every event from the first on. */
  tap?: (event: BusEvent) => void
  /** Told of a listener on the bus that threw, and in development of an event that does not fit. Default: a warning. */
  onError?: (error: unknown, type: string) => void
}

export interface Node {
  identity: Identity
  bus: Bus<BusEvent>
  /** Where it listens, as `host:port`. */
  addresses: string[]
  request(command: Command, options?: RequestOptions): Promise<Answer>
  /** Ends it; containers live on. May be called more than once. */
  stop(): Promise<void>
}

/** How long a node that starts waits for a command that works on the home without one. */
const START_LOCK_WAIT_MS = 800

/**
 * The composition root: takes the home, constructs everything, joins it on one bus, starts it, and stops it in reverse.
 * Throws `home_locked`, `home_unusable`, `bad_identity`, `newer_file`, `port_busy` or `listen_failed`, with nothing left running.
 */
export async function createNode({
  home,
  listen,
  open,
  ipService,
  tap,
  onError = (error, type) => process.emitWarning(`on the bus, with ${type}: ${String(error)}`),
}: NodeOptions): Promise<Node> {
  const undo: (() => unknown)[] = []
  const stop = once(async () => {
    for (const take of undo.reverse()) await take()
  })
  try {
    undo.push(await lockHome(home, { waitMs: listen ? START_LOCK_WAIT_MS : 0 }))
    const identity = await loadIdentity(home.paths, home.config.MachineName)
    const bus = createBus<BusEvent>({ onError })
    undo.push(() => bus.close())
    if (tap) bus.tap(tap)
    const registry = createRegistry()
    replyWithActors(bus, registry)
    const events = createEventStream({ bus, registry })
    const rights = followRights(bus, open)
    replyForNode(bus, identity)
    const addresses: string[] = []

    const httpServer = await createHttpServer({ bus, rights, events, images: createImageList(home.paths.images) })
    undo.push(() => httpServer.close())
    const place: ListenAddresses = { port: listen?.port ?? PORT, hosts: [] }
    const gossipListener = openGossipListener()
    const { concerns, quarantined, settled } = await openConcerns({
      home,
      bus,
      identity,
      place,
      gossipListener,
      background: listen !== null,
    })
    undo.push(settled)
    if (listen) {
      // First the port, so that a busy one stops a node before it has touched anything; nobody is heard until the
      // concerns have started, which happens in the same turn.
      const listener = await openListener({
        identity,
        handle: httpServer.handle,
        upgrade: gossipListener.upgrade,
        ...listen,
      })
      undo.push(() => listener.close())
      place.port = listener.port
      place.hosts = hostsOf(listener.addresses)
      if (ipService) requestPublicAddress(ipService, bus)
      addresses.push(...listener.addresses)
    }
    // All of them before the first starts, so that each hears what the others say when they start.
    const supervised = concerns.map((join) => join({ bus, inspect: registry.inspect }))
    for (const concern of supervised) {
      registry.add(concern)
      undo.push(() => concern.stop())
      concern.start()
    }
    for (const [path, quarantinePath] of quarantined)
      bus.publish({ type: 'node.fileQuarantined', path, quarantinePath })
    if (listen) {
      const control = await listenControl({ path: home.paths.socket, handle: httpServer.handle })
      undo.push(() => control.close())
      undo.push(discover(place, identity.id, bus))
      bus.publish({ type: 'node.started', id: identity.id, addresses })
      undo.push(() => bus.publish({ type: 'node.stopping' }))
    }
    return { identity, bus, addresses, request: (command, options) => request(bus, command, options), stop }
  } catch (error) {
    await stop()
    throw error
  }
}

function requestPublicAddress(service: string, bus: Bus<BusEvent>): void {
  fetchPublicAddress(service).then(
    (address) => bus.publish({ type: 'node.addressFound', address }),
    (error) => bus.publish({ type: 'node.addressFailed', ...toFailure(error) }),
  )
}

/** What the listeners ask `isAuthorized` with: the owner's trust as it is now. */
function followRights(bus: Bus<BusEvent>, open: boolean): () => Rights {
  let rights: Rights = { trusted: new Set(), open }
  bus.on('trust.changed', ({ trusted }) => {
    rights = { trusted: new Set(trusted), open }
  })
  return () => rights
}

function replyForNode(bus: Bus<BusEvent>, { id, name, publicKey }: Identity): void {
  bus.on('node.show', ({ requestId }) =>
    bus.publish({ type: 'node.shown', requestId, id, name, key: publicKey, version, protocols: [PROTOCOL_VERSION] }),
  )
}
