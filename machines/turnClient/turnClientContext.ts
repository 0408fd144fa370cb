import type { ActorRefFrom } from 'xstate'
import { AppError } from '../../protocol/errors.ts'
import type { Caller, ContainerId, Failure, NodeId } from '../../protocol/ids.ts'
import type { Endpoint } from '../../protocol/net/endpoint.ts'
import type { Mapping, TurnClientAccepts, TurnClientCommand } from '../../protocol/turnClient.ts'
import type { Requests, Tracked } from '../requests.ts'
import type { PunchedPathEmits } from './punchedPath.ts'
import {
  DOMAIN_RELAY,
  type HeldRelays,
  isWorking,
  leadingRelay,
  type Relay,
  type RelayId,
  relayNamed,
  workingCount,
} from './relays.ts'
import type { SessionEmits, sessionMachine } from './session.ts'
import type { TunnelSpec } from './tunnel.ts'

/** A port that is to be reached from outside. `remotePort` is the last port outside, 0 before the first. */
export interface WantedPort {
  port: number
  protocol: 'tcp' | 'udp'
  remotePort: number
  /** The relay that must lend it, as the owner named it. */
  via?: string
  /** The name under which the relay shows it. */
  domain?: string
  /** The peer that requested it, for its container. */
  by?: NodeId
  container?: ContainerId
}

export interface TurnClientInput {
  signal: AbortSignal
  /** The owner's mappings, as the file keeps them. */
  wanted: readonly WantedPort[]
  /** The port on which this node listens; 0 if it listens nowhere. */
  port: number
  /** Whether the owner said that nobody can dial this node. */
  isBehindNat: boolean
}

/** What a session reports, with the relay at which it is. */
export type FromSession = SessionEmits & { relay: RelayId }

/** `unresolved` has the relays that the owner named and nobody knows. */
export type FromSearch = { type: 'relays.found'; relays: Relay[]; unresolved: Readonly<Record<string, Failure>> }

export type FromConfirm =
  | { type: 'mapping.confirmed'; name: string; address: Endpoint; at: number }
  | { type: 'mapping.unconfirmed'; name: string; failure: Failure }

export type FromStore = { type: 'save.failed'; failure: Failure }

/** Whether the port belongs to a container of the peer that wants to map it. */
export type FromAuthorize = { type: 'authorize.ended'; requestId: string } & (
  | { command: PortMap; container: ContainerId }
  | { failure: Failure }
)

/** What another node answered to the owner's command. */
export type FromDelegate = { type: 'delegate.ended'; requestId: string } & (
  | { mappings: Mapping[] }
  | { failure: Failure }
)

export interface ConfirmInput {
  name: string
  protocol: 'tcp' | 'udp'
  relay: Relay
  remotePort: number
}

/** A command that another node may perform. */
export type PortCommand = Exclude<TurnClientCommand, { type: 'port.showNode' }>

export type PortMap = Extract<TurnClientCommand, { type: 'port.map' }>

/**
 * `mapping`: it waits for the tunnel `name`, and `isNew` says whether the mapping ends if that fails.
 * `authorizing`: the containers of the peer are looked up. `delegating`: another node does it.
 */
export type TurnClientRequest =
  | (Tracked<'mapping'> & { name: string; isNew: boolean })
  | Tracked<'authorizing'>
  | (Tracked<'delegating'> & { command: PortCommand })

export interface Context extends Omit<TurnClientInput, 'wanted'> {
  wanted: Readonly<Record<string, WantedPort>>
  mappings: Readonly<Record<string, Mapping>>
  relays: HeldRelays
  /** What the last search offered. */
  offered: readonly Relay[]
  sessions: Readonly<Record<RelayId, ActorRefFrom<typeof sessionMachine>>>
  /** The relay that lends the ports for which the owner named none. */
  leading: RelayId | undefined
  /** The relay at which each tunnel is. */
  served: Readonly<Record<string, RelayId>>
  requests: Requests<TurnClientRequest>
  /** The punched path to this node at the leading relay. */
  punched: { relay: NodeId; endpoint?: Endpoint; why?: Failure } | undefined
}

export type Events =
  | TurnClientAccepts
  | FromSession
  | PunchedPathEmits
  | FromSearch
  | FromConfirm
  | FromStore
  | FromAuthorize
  | FromDelegate

/** The name of the tunnel to this node itself. */
export const NODE_TUNNEL = 'node'

/** The id of the child that makes this node known at a relay's DHT. */
export const PUNCHED_PATH = 'punched path'

/** The name of a tunnel, which says to which port of this machine it leads. */
export function tunnelName({ protocol, port }: Pick<WantedPort, 'protocol' | 'port'>): string {
  return `${protocol}/${port}`
}

export function contextOf({ wanted, ...input }: TurnClientInput): Context {
  const node: WantedPort = { port: input.port, protocol: 'tcp', remotePort: 0 }
  const named = [
    ...(input.isBehindNat && input.port > 0 ? [[NODE_TUNNEL, node] as const] : []),
    ...wanted.map((one) => [tunnelName(one), one] as const),
  ]
  return {
    ...input,
    wanted: Object.fromEntries(named),
    mappings: Object.fromEntries(named.map(([name, one]) => [name, connecting(one)])),
    relays: {},
    offered: [],
    sessions: {},
    leading: undefined,
    served: {},
    requests: [],
    punched: undefined,
  }
}

/** Returns what the tunnel of a port asks of the relay. */
export function tunnelOf({ protocol, remotePort, domain }: WantedPort): Omit<TunnelSpec, 'name'> {
  return { protocol, remotePort, ...(domain !== undefined && { domain }) }
}

/** Returns the relay through which the mapping must go after this command, as `via` names it; undefined for any. */
export function viaOf({ wanted }: Pick<Context, 'wanted'>, { via, domain, ...command }: PortMap): string | undefined {
  return via ?? wanted[tunnelName(command)]?.via ?? (domain === undefined ? undefined : DOMAIN_RELAY)
}

/** Returns the mapping of a port before it can be reached. */
export function connecting({ remotePort: _, ...wanted }: WantedPort): Mapping {
  return { ...wanted, state: 'connecting', since: 0 }
}

/** Returns the relay at which a tunnel belongs now; undefined if none works. */
export function relayFor({ relays, leading }: Pick<Context, 'relays' | 'leading'>, { via }: WantedPort) {
  if (via === undefined) return leadingRelay(relays, leading)
  const held = relayNamed(relays, via)
  return held?.state === 'active' ? held.relay.id : undefined
}

/** Returns why no relay will serve a port before the next search; undefined while one may. */
export function unservedReason(
  { relays }: Pick<Context, 'relays'>,
  { via }: WantedPort,
  unresolved: FromSearch['unresolved'] = {},
): Failure | undefined {
  if (via !== undefined && Object.hasOwn(unresolved, via)) return unresolved[via]
  const held = via === undefined ? undefined : relayNamed(relays, via)
  // A relay that is not held yet is being searched for.
  if (via !== undefined && (!held || isWorking(held))) return undefined
  if (via === undefined && workingCount(relays) > 0) return undefined
  const reasons = (held ? [held] : Object.values(relays)).map(({ relay, why }) => `${relay.id}: ${why}`)
  return new AppError('no_relay', { why: reasons.join('; ') || 'none is known' }).toJSON()
}

/** Returns where others reach this node through a relay, the best first. */
export function nodeEndpoints({ punched, mappings }: Pick<Context, 'punched' | 'mappings'>): Endpoint[] {
  const { state, address } = mappings[NODE_TUNNEL] ?? {}
  const relayed = state === 'open' && address ? [{ ...address, kind: 'relayed' as const }] : []
  return [...(punched?.endpoint ? [punched.endpoint] : []), ...relayed]
}

/** Whether the caller may see and end the mapping. */
export function isFor(caller: Caller, { by }: Mapping): boolean {
  return caller === 'owner' || caller === by
}
