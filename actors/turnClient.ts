import { randomBytes } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { fromCallback } from 'xstate'
import type { Relay } from '../machines/turnClient/relays.ts'
import { sessionMachine } from '../machines/turnClient/session.ts'
import {
  type FromSearch,
  type FromStore,
  NODE_TUNNEL,
  type WantedPort,
} from '../machines/turnClient/turnClientContext.ts'
import { turnClientMachine } from '../machines/turnClient.ts'
import type { Bus } from '../protocol/bus.ts'
import { AppError, toFailure } from '../protocol/errors.ts'
import type { MappingsFile } from '../protocol/files/mappings.ts'
import type { NodeId } from '../protocol/ids.ts'
import type { BusEvent } from '../protocol/index.ts'
import type { Dialer } from './net/dialer.ts'
import { createKeyOf } from './net/punched/peerKeys.ts'
import type { Punched } from './net/punched.ts'
import type { Resolve } from './net/resolve.ts'
import type { Store } from './store.ts'
import type { ConcernParts } from './supervise.ts'
import { createConfirm } from './turnClient/confirm.ts'
import { type FrpTransport, unmultiplexed } from './turnClient/frpTransport.ts'
import { keylessTransport } from './turnClient/keylessRelay.ts'
import { createPunchedListener } from './turnClient/punchedListener.ts'
import { relayConnection } from './turnClient/relayConnection.ts'
import { createAuthorize, createDelegate, createFindRelays, type FindRelays } from './turnClient/turnClientRequests.ts'

export interface TurnClientDependencies {
  bus: Bus<BusEvent>
  store: Store<MappingsFile>
  resolve: Resolve
  dialer: Dialer
  /** Where this node listens; port 0 if nowhere. `host` is one of its own addresses. */
  listening: () => { host: string; port: number }
  /** Is told of each connection that is opened to a port of this machine for a user outside, before it passes a byte. */
  onTunnelled?: (socket: Socket) => void
  /** Whether the owner said that nobody can dial this node. */
  isBehindNat: boolean
  /** The token for stock `frps` that the owner names as a relay; none if absent. */
  viaToken?: string
  /** Opens streams through the routers of both ends. If absent, this node is not reached so. */
  punched?: Pick<Punched, 'listen'>
  /** Replaced in tests. */
  findRelays?: FindRelays
}

/** Creates the concern that keeps ports of this machine reachable through relays. */
export function createTurnClient({
  bus,
  store,
  resolve,
  dialer,
  listening,
  isBehindNat,
  viaToken = '',
  onTunnelled = () => {},
  punched = noPunching,
  findRelays = createFindRelays({ bus, resolve, dialer }),
}: TurnClientDependencies): ConcernParts<typeof turnClientMachine> {
  let concernSignal: AbortSignal = AbortSignal.abort()
  /** The relays by id, as the search found them last. */
  const known = new Map<string, Relay>()
  /** The hosts at which relays were reached last. */
  const hosts = new Map<string, string>()
  const goPorts = new Map<string, number>()
  const user = randomBytes(8).toString('hex')
  const { confirm, arrivals } = createConfirm((id) => hosts.get(id))

  const relay = relayConnection({
    token: (id) => (known.get(id)?.keyless === 'frps' ? viaToken : ''),
    user: (id) => (known.get(id)?.keyless ? user : undefined),
    transport(id) {
      const relay = known.get(id)
      if (!relay) throw new AppError('not_found', { kind: 'node', id })
      return relay.keyless ? keylessTransport({ dialer, relay, signal: concernSignal, goPorts }) : toNode(relay)
    },
    connectLocal(name) {
      arrivals.connected(name)
      const to = name === NODE_TUNNEL ? listening() : { host: 'localhost', port: portOf(name) }
      return connected(to, onTunnelled)
    },
    localUdpPort: portOf,
    isProbe: arrivals.isProbe,
  })

  /** A connection of its own for each user, over mutual TLS: the key of the relay is pinned. */
  async function toNode({ id, endpoints }: Relay): Promise<FrpTransport> {
    return unmultiplexed(async () => {
      const target = { id: id as NodeId, endpoints: known.get(id)?.endpoints ?? endpoints }
      const { stream, endpoint } = await dialer.dial(target, { purpose: 'relay', signal: concernSignal })
      hosts.set(id, endpoint.host)
      return stream
    })
  }

  const punchedPath = createPunchedListener({
    ...{ dialer, punched, keyOf: createKeyOf(bus), signal: () => concernSignal },
    targetOf(id) {
      const relay = known.get(id)
      if (!relay) throw new AppError('not_found', { kind: 'node', id })
      return { id: id as NodeId, endpoints: relay.endpoints }
    },
  })

  const search = fromCallback<{ type: 'none' }, { names: string[] }, FromSearch>(({ input: { names }, sendBack }) => {
    const abort = new AbortController()
    findRelays(names, AbortSignal.any([abort.signal, concernSignal])).then((found) => {
      for (const one of found.relays) known.set(one.id, one)
      sendBack({ type: 'relays.found', ...found })
    })
    return () => abort.abort()
  })

  const save = fromCallback<{ type: 'save'; wanted: WantedPort[] }, undefined, FromStore>(({ receive, sendBack }) => {
    receive(({ wanted }) => {
      store.write({ ...store.data, ports: wanted.map((one) => ({ ...one })) }).catch((error) => {
        sendBack({ type: 'save.failed', failure: toFailure(error) })
      })
    })
  })

  return {
    name: 'turnClient',
    logic: turnClientMachine.provide({
      actors: {
        session: sessionMachine.provide({ actors: { relay } }),
        punchedPath,
        search,
        confirm,
        store: save,
        authorize: createAuthorize(bus),
        delegate: createDelegate({ resolve, dialer }),
      },
    }),
    input: (signal, retained) => {
      concernSignal = signal
      const { state = 'unknown' } = retained['reach.changed'] ?? {}
      return {
        signal,
        wanted: store.data.ports,
        port: listening().port,
        isBehindNat: state === 'unknown' ? isBehindNat : state === 'unreachable',
      }
    },
    retains: ['reach.changed'],
  }
}

const noPunching: Pick<Punched, 'listen'> = {
  listen: async () => {
    throw new AppError('punching_missing', { why: 'this process does not use it' })
  },
}

/** The port of this machine to which a tunnel leads. */
function portOf(name: string): number {
  return Number(name.slice(name.indexOf('/') + 1))
}

function connected(to: { host: string; port: number }, onConnect: (socket: Socket) => void): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ ...to, allowHalfOpen: true, noDelay: true })
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.off('error', reject)
      onConnect(socket)
      resolve(socket)
    })
  })
}
