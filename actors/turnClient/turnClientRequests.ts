import { randomUUID } from 'node:crypto'
import { fromCallback } from 'xstate'
import { z } from 'zod'
import { DOMAIN_RELAY, type Relay } from '../../machines/turnClient/relays.ts'
import type {
  FromAuthorize,
  FromDelegate,
  FromSearch,
  PortCommand,
  PortMap,
} from '../../machines/turnClient/turnClientContext.ts'
import type { Bus } from '../../protocol/bus.ts'
import { KEYLESS_RELAY_KNOWN_MS } from '../../protocol/defaults/turnClient.ts'
import { AppError, toFailure } from '../../protocol/errors.ts'
import type { Failure } from '../../protocol/ids.ts'
import type { BusEvent } from '../../protocol/index.ts'
import type { Peer } from '../../protocol/ipTable.ts'
import { isPunched } from '../../protocol/net/endpoint.ts'
import { mapping } from '../../protocol/turnClient.ts'
import type { Dialer } from '../net/dialer.ts'
import { listPeers } from '../net/listPeers.ts'
import { createPeerClient } from '../net/peerClient.ts'
import type { Resolve } from '../net/resolve.ts'
import { request } from '../request.ts'
import { type Identified, identifyRelay } from './keylessRelay.ts'

interface RequestDependencies {
  resolve: Resolve
  dialer: Dialer
}

/** Finds the relays that are willing, and those that the owner named. Never rejects. */
export type FindRelays = (names: readonly string[], signal: AbortSignal) => Promise<Omit<FromSearch, 'type'>>

/** Offers the IP table's peers that lend ports, and what listens where the owner said. */
export function createFindRelays({ bus, resolve, dialer }: RequestDependencies & { bus: Bus<BusEvent> }): FindRelays {
  /** The relays without a key, by the name that the owner gave, and when they were identified. */
  const keyless = new Map<string, { relay: Identified; at: number }>()

  async function find(name: string, signal: AbortSignal): Promise<Identified> {
    const { id, endpoints } = await resolve(name, signal)
    if (id) return { id, endpoints }
    const known = keyless.get(name)
    if (known && performance.now() - known.at < KEYLESS_RELAY_KNOWN_MS) return known.relay
    const relay = await identifyRelay(dialer, endpoints, signal)
    if (relay.keyless) keyless.set(name, { relay, at: performance.now() })
    return relay
  }

  return async (names, signal) => {
    const peers = await listPeers(bus, signal).catch(() => [])
    const relays = peers.flatMap(relayOf)
    const domainRelay = nearestOf(peers.filter((peer) => peer.showsDomains).flatMap(relayOf))
    const unresolved: Record<string, Failure> = {}
    for (const name of new Set(names)) {
      try {
        if (name === DOMAIN_RELAY && !domainRelay)
          throw new AppError('no_relay', { why: 'none that shows domains is known' })
        const found = name === DOMAIN_RELAY && domainRelay ? domainRelay : await find(name, signal)
        const at = relays.findIndex((one) => one.id === found.id)
        const known = relays[at] ?? { ...found, latencyNs: null, names: [], isForTrusted: false }
        relays[at < 0 ? relays.length : at] = { ...known, names: [...known.names, name] }
      } catch (error) {
        unresolved[name] = toFailure(error)
      }
    }
    return { relays, unresolved }
  }
}

/** Whom the owner must trust comes last. */
function nearestOf(relays: readonly Relay[]): Relay | undefined {
  const cost = ({ isForTrusted, latencyNs }: Relay) => (isForTrusted ? 1e18 : 0) + (latencyNs ?? 1e15)
  return relays.toSorted((one, other) => cost(one) - cost(other))[0]
}

/** A node that is itself reached through others lends no ports that anybody reaches. */
function relayOf({ id, endpoints, relays, latencyNs }: Peer): Relay[] {
  const isPublic = endpoints.length > 0 && !endpoints.some((at) => at.kind === 'relayed' || isPunched(at))
  return id && relays !== 'nobody' && isPublic
    ? [{ id, endpoints, latencyNs, names: [], isForTrusted: relays === 'trusted' }]
    : []
}

/** Creates the actor that looks for a port among those of the containers that the peer has borrowed here. */
export function createAuthorize(bus: Bus<BusEvent>) {
  return fromCallback<{ type: 'none' }, { command: PortMap; signal: AbortSignal }, FromAuthorize>(
    ({ input: { command, signal }, sendBack }) => {
      const { requestId } = command
      const abort = new AbortController()
      containerOf(bus, command, AbortSignal.any([signal, abort.signal])).then(
        (container) => sendBack({ type: 'authorize.ended', requestId, command, container }),
        (error) => sendBack({ type: 'authorize.ended', requestId, failure: toFailure(error) }),
      )
      return () => abort.abort()
    },
  )
}

async function containerOf(bus: Bus<BusEvent>, command: PortMap, signal: AbortSignal) {
  const { caller, port, protocol, via, on } = command
  // The relay, and the node that is dialled for it, are the owner's choice.
  if (via !== undefined || on !== undefined) throw new AppError('not_owner')
  const fact = await request(bus, { type: 'container.list', requestId: randomUUID(), caller }, { signal })
  const containers = fact.type === 'container.listed' ? fact.containers : []
  const own = containers.find(
    ({ borrower, ports }) =>
      borrower === caller && ports.some(({ ExternalPort, Type }) => ExternalPort === port && Type === protocol),
  )
  if (!own) throw new AppError('not_owner')
  return own.id
}

/** Creates the actor that sends a command of the owner to the node that it names. */
export function createDelegate({ resolve, dialer }: RequestDependencies) {
  const peers = createPeerClient(dialer)
  const send = async ({ on = '', ...command }: PortCommand, signal: AbortSignal) => {
    const { caller: _, ...sent } = command
    const { fact } = await peers.request(await resolve(on, signal), sent, { signal })
    const answer = answered.safeParse(fact)
    if (!answer.success) throw new AppError('protocol_error', { where: on, why: 'its answer is not in the known form' })
    return 'mappings' in answer.data ? answer.data.mappings : [answer.data.mapping]
  }
  return fromCallback<{ type: 'none' }, { command: PortCommand; signal: AbortSignal }, FromDelegate>(
    ({ input: { command, signal }, sendBack }) => {
      const { requestId } = command
      const abort = new AbortController()
      send(command, AbortSignal.any([signal, abort.signal])).then(
        (mappings) => sendBack({ type: 'delegate.ended', requestId, mappings }),
        (error) => sendBack({ type: 'delegate.ended', requestId, failure: toFailure(error) }),
      )
      return () => abort.abort()
    },
  )
}

/** What another node answers, which may be hostile. */
const answered = z.union([z.object({ mapping }), z.object({ mappings: z.array(mapping).max(1_024) })])
