import { assign, emit, enqueueActions, fromCallback, fromPromise, setup } from 'xstate'
import { DIAL_BACK_INTERVAL_MS, DIAL_BACK_PAUSE_MS, ROUTER } from '../../protocol/defaults/reachability.ts'
import { AppError } from '../../protocol/errors.ts'
import type { Failure, NodeId } from '../../protocol/ids.ts'
import type { SelfAddressesChanged } from '../../protocol/ipTable.ts'
import { isIPv4 } from '../../protocol/net/address.ts'
import { type Endpoint, placeOf } from '../../protocol/net/endpoint.ts'
import { isShared } from '../../protocol/net/ranges.ts'
import type {
  DialledEndpoint,
  Reach,
  ReachabilityAccepts,
  ReachabilityCommand,
  ReachabilityEmits,
} from '../../protocol/reachability.ts'
import { type Requests, requestActions, requestGuards, type Tracked } from '../requests.ts'
import { addAnswers, type DialBackAnswer, endpointsOf, nextToAsk, outsideState } from './dialBackAnswers.ts'

export interface ReachabilityInput {
  /** The port on which this node listens; 0 if it listens nowhere. */
  port: number
  signal: AbortSignal
}

/** The peers to ask, and the port at which they are to dial this node back. */
export interface DialBackRequest {
  ids: readonly NodeId[]
  port: number
  signal: AbortSignal
}

/** What they answered, at `at` milliseconds since 1970. A peer that could not be asked has answered nothing. */
export interface DialBackReply {
  answers: readonly DialBackAnswer[]
  at: number
}

export type DialBack = Extract<ReachabilityCommand, { type: 'reach.dialBack' }>

/** How a dial back ended. `refused`: it was not made. */
export type FromDialBack = { type: 'dialBack.ended'; requestId: string } & (
  | { endpoint: Endpoint; failure?: Failure }
  | { refused: Failure }
)

export interface DialBackInput {
  command: DialBack
  signal: AbortSignal
}

/** The port to map. With the first attempt the port outside is the same, and later another one. */
export interface RouterInput {
  port: number
  attempt: number
  signal: AbortSignal
}

/** The router says that it maps the port, also after each renewal; or it does not, or no longer. */
export type FromRouter =
  | { type: 'router.mapped'; externalPort: number; by: 'NAT-PMP' | 'UPnP'; at: number }
  | ({ type: 'router.refused'; at: number } & Failure)

/** The network of this node has changed, so that what failed before may work. */
interface NetworkChanged {
  type: 'network.changed'
}

export interface Context extends ReachabilityInput {
  /** The links by their id, and who is at the other end. */
  links: ReadonlyMap<string, NodeId>
  /** The hosts of this node as the table named them last. */
  hosts: readonly string[]
  /** Who was asked since the last change or interval. */
  asked: readonly NodeId[]
  answers: readonly DialBackAnswer[]
  /** What the peers found, without the mapped endpoint. */
  endpoints: readonly DialledEndpoint[]
  mapping: Reach['mapping']
  /** How often another port was tried. */
  attempt: number
  externalPort: number
  /** The endpoint that the router maps, while it is confirmed. */
  mapped: DialledEndpoint | null
  /** The peers that this node is dialling back. */
  requests: Requests<Tracked<'diallingBack'>>
}

type Events = ReachabilityAccepts | FromDialBack | FromRouter | NetworkChanged

export function reachOf({ endpoints: direct, mapped, mapping }: Context): Reach {
  // A port that the router maps to itself is dialled like the node's own.
  const own = direct.filter(({ endpoint }) => !mapped || placeOf(endpoint) !== placeOf(mapped.endpoint))
  const endpoints = mapped ? [...own, mapped] : own
  return { state: outsideState(endpoints), endpoints, mapping }
}

export function peerToAsk({ port, links, asked, answers }: Context): NodeId | undefined {
  return port === 0 ? undefined : nextToAsk([...new Set(links.values())], asked, answers)
}

export const reachabilitySetup = setup({
  types: {
    context: {} as Context,
    input: {} as ReachabilityInput,
    events: {} as Events,
    emitted: {} as ReachabilityEmits,
  },
  actors: {
    /** Asks peers one after the other to dial this node back, until one has reached it. Never rejects. */
    requestDialBack: fromPromise<DialBackReply, DialBackRequest>(() => Promise.reject(new Error('not provided'))),
    /** Dials a peer back that asked for it. */
    dialBack: fromCallback<FromDialBack, DialBackInput>(() => {
      throw new Error('not provided')
    }),
    /** Keeps a port mapped by the router, and removes the mapping at its end. */
    router: fromCallback<FromRouter, RouterInput>(() => {
      throw new Error('not provided')
    }),
  },
  delays: { interval: DIAL_BACK_INTERVAL_MS, pause: DIAL_BACK_PAUSE_MS },
  guards: {
    ...requestGuards<Context>(),
    /** Whether the peer that was asked last did not answer, or found this node cut off from outside. */
    isUrgent: ({ context: { asked, answers } }) => {
      const last = answers.filter(({ by }) => by === asked.at(-1))
      return last.length === 0 || last.some(({ endpoint, failure }) => failure && !isShared(endpoint.host))
    },
    isSomeoneToAsk: ({ context }) => peerToAsk(context) !== undefined,
    /** Whether peers outside see this node at an IPv4 address and do not reach it there. A router maps no other. */
    isMappingNeeded: ({ context: { endpoints } }) => {
      const outside = outsideIPv4(endpoints)
      return outside.length > 0 && outside.every(({ state }) => state === 'unreachable')
    },
    /** Whether they reach it there, and not through the mapping. */
    isMappingUnneeded: ({ context: { endpoints, externalPort, attempt } }) =>
      attempt > 0 &&
      outsideIPv4(endpoints).some(({ endpoint, state }) => endpoint.port !== externalPort && state === 'reachable'),
    isReached: (_, reply: DialBackReply) => reachedBy(reply).length > 0,
    isAttemptLeft: ({ context }) => context.attempt + 1 < ROUTER.attempts,
  },
  actions: requestActions<Context, Events>(),
}).extend({
  actions: {
    /** Changes what is known of this node, and tells others if that changes how it is reached. */
    change: enqueueActions(({ context, enqueue }, patch: Partial<Context>) => {
      enqueue.assign(patch)
      const reach = reachOf({ ...context, ...patch })
      if (JSON.stringify(reach) !== JSON.stringify(reachOf(context))) enqueue.emit({ type: 'reach.changed', ...reach })
    }),
    markAsked: assign({
      asked: ({ context }) => [...context.asked, peerToAsk(context)].filter((id) => id !== undefined),
    }),
    askAnew: assign({ asked: [] }),
    setSelf: enqueueActions(({ context, enqueue }, { endpoints, port }: SelfAddressesChanged) => {
      const hosts = endpoints.map(({ host }) => host)
      enqueue.assign({ hosts, port })
      // What becomes known or is forgotten because of the answers is no change of the network.
      const isMoved = port !== context.port || hosts.some((host) => !context.hosts.includes(host))
      if (!isMoved) return
      enqueue.assign({ asked: [] })
      enqueue.raise({ type: 'network.changed' })
    }),
    reply: emit(({ event }) => {
      const { requestId, ...ended } = event as FromDialBack
      if ('refused' in ended) return { type: 'reach.dialBackFailed' as const, requestId, ...ended.refused }
      const { endpoint, failure } = ended
      return { type: 'reach.dialledBack' as const, requestId, endpoint, ...(failure && { failure }) }
    }),
  },
})

export function withAnswers(context: Context, { answers: added, at }: DialBackReply): Partial<Context> {
  const answers = addAnswers(context.answers, context.asked.at(-1) as NodeId, added)
  return { answers, endpoints: endpointsOf(answers, context.endpoints, at) }
}

/** Returns the change when peers outside have reached this node through the router. */
export function confirmed({ mapping, mapped }: Context, { answers, at }: DialBackReply): Partial<Context> {
  const reached = reachedBy({ answers, at })
  const [{ endpoint }] = reached as [DialBackAnswer]
  const { by } = mapping
  const found: DialledEndpoint = {
    endpoint: { ...endpoint, kind: 'mapped' },
    state: 'reachable',
    since: mapped?.since ?? at,
    by: reached.map((answer) => answer.by),
  }
  return { mapped: found, mapping: { state: 'confirmed', since: found.since, ...(by && { by }) } }
}

export function unconfirmed({ externalPort }: Context, at: number): Partial<Context> {
  const why = new AppError('mapping_unconfirmed', { port: externalPort }).toJSON()
  // What peers reached meanwhile was perhaps the mapping.
  return { mapped: null, asked: [], mapping: { state: 'refused', since: at, why } }
}

function reachedBy({ answers }: DialBackReply): DialBackAnswer[] {
  return outsideIPv4(answers).filter(({ failure }) => !failure)
}

/** Those at a public IPv4 address. */
function outsideIPv4<T extends { endpoint: Endpoint }>(list: readonly T[]): T[] {
  return list.filter(({ endpoint: { host } }) => isIPv4(host) && !isShared(host))
}
