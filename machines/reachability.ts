import { assign, emit, enqueueActions, fromCallback, fromPromise, setup, spawnChild } from 'xstate'
import { DIAL_BACK_INTERVAL_MS } from '../protocol/defaults/reachability.ts'
import type { Failure, NodeId } from '../protocol/ids.ts'
import type { SelfAddressesChanged } from '../protocol/ipTable.ts'
import type { Endpoint } from '../protocol/net/endpoint.ts'
import type { Reach, ReachabilityAccepts, ReachabilityCommand, ReachabilityEmits } from '../protocol/reachability.ts'
import { addAnswers, type DialBackAnswer, nextToAsk, reachOf } from './reachability/dialBackAnswers.ts'
import {
  beginAs,
  childId,
  endIfAbandoned,
  joinIfRepeated,
  type Requests,
  requestActions,
  requestGuards,
  type Tracked,
} from './requests.ts'

export interface ReachabilityInput {
  /** The port on which this node listens; 0 if it listens nowhere. */
  port: number
  signal: AbortSignal
}

/** The peer to ask, and the port at which it is to dial this node back. */
export interface DialBackRequest {
  id: NodeId
  port: number
  signal: AbortSignal
}

/** What the peer answered, at `at` milliseconds since 1970: nothing if it could not be asked. */
export interface DialBackReply {
  answers: readonly DialBackAnswer[]
  at: number
}

type DialBack = Extract<ReachabilityCommand, { type: 'reach.dialBack' }>

/** How a dial back ended. `refused`: it was not made. */
export type FromDialBack = { type: 'dialBack.ended'; requestId: string } & (
  | { endpoint: Endpoint; failure?: Failure }
  | { refused: Failure }
)

export interface DialBackInput {
  command: DialBack
  signal: AbortSignal
}

interface Context extends ReachabilityInput {
  /** The links by their id, and who is at the other end. */
  links: ReadonlyMap<string, NodeId>
  /** The hosts of this node as the table named them last. */
  hosts: readonly string[]
  /** Who was asked since the last change or interval. */
  asked: readonly NodeId[]
  answers: readonly DialBackAnswer[]
  reach: Reach
  /** The peers that this node is dialling back. */
  requests: Requests<Tracked<'diallingBack'>>
}

const reachabilitySetup = setup({
  types: {
    context: {} as Context,
    input: {} as ReachabilityInput,
    events: {} as ReachabilityAccepts | FromDialBack,
    emitted: {} as ReachabilityEmits,
  },
  actors: {
    /** Asks a peer to dial this node back. Never rejects. */
    requestDialBack: fromPromise<DialBackReply, DialBackRequest>(() => Promise.reject(new Error('not provided'))),
    /** Dials a peer back that asked for it. */
    dialBack: fromCallback<FromDialBack, DialBackInput>(() => {
      throw new Error('not provided')
    }),
  },
  delays: { interval: DIAL_BACK_INTERVAL_MS },
  guards: { ...requestGuards<Context>(), isSomeoneToAsk: ({ context }) => peerToAsk(context) !== undefined },
  actions: requestActions<Context, ReachabilityAccepts | FromDialBack>(),
}).extend({
  actions: {
    markAsked: assign({
      asked: ({ context }) => [...context.asked, peerToAsk(context)].filter((id) => id !== undefined),
    }),
    addAnswers: enqueueActions(({ context, enqueue }, { answers: added, at }: DialBackReply) => {
      const answers = addAnswers(context.answers, context.asked.at(-1) as NodeId, added)
      const reach = reachOf(answers, context.reach, at)
      enqueue.assign({ answers, reach })
      if (JSON.stringify(reach) !== JSON.stringify(context.reach)) enqueue.emit({ type: 'reach.changed', ...reach })
    }),
    askAnew: assign({ asked: [] }),
    setSelf: enqueueActions(({ context, enqueue }, { endpoints, port }: SelfAddressesChanged) => {
      const hosts = endpoints.map(({ host }) => host)
      enqueue.assign({ hosts, port })
      // What becomes known or is forgotten because of the answers is no change of the network.
      const isMoved = port !== context.port || hosts.some((host) => !context.hosts.includes(host))
      if (isMoved) enqueue.assign({ asked: [] })
    }),
    reply: emit(({ event }) => {
      const { requestId, ...ended } = event as FromDialBack
      if ('refused' in ended) return { type: 'reach.dialBackFailed' as const, requestId, ...ended.refused }
      const { endpoint, failure } = ended
      return { type: 'reach.dialledBack' as const, requestId, endpoint, ...(failure && { failure }) }
    }),
  },
})

/** Finds out how others can reach this node: peers dial it back, and it dials them back. Nothing else is asked. */
export const reachabilityMachine = reachabilitySetup.createMachine({
  id: 'reachability',
  context: ({ input }) => ({
    ...input,
    links: new Map(),
    hosts: [],
    asked: [],
    answers: [],
    reach: { state: 'unknown', endpoints: [] },
    requests: [],
  }),
  entry: emit(({ context }) => ({ type: 'reach.changed', ...context.reach })),
  initial: 'waiting',
  states: {
    /** Enough peers have answered, or nobody is there to be asked. */
    waiting: {
      always: { guard: 'isSomeoneToAsk', target: 'asking' },
      after: { interval: { target: 'waiting', reenter: true, actions: 'askAnew' } },
    },
    asking: {
      entry: 'markAsked',
      invoke: {
        id: 'requestDialBack',
        src: 'requestDialBack',
        input: ({ context: { asked, port, signal } }) => ({ id: asked.at(-1) as NodeId, port, signal }),
        onDone: { target: 'waiting', actions: { type: 'addAnswers', params: ({ event }) => event.output } },
      },
    },
  },
  on: {
    'link.opened': {
      actions: assign({ links: ({ context, event }) => new Map(context.links).set(event.link, event.id) }),
    },
    'link.closed': {
      actions: assign({
        links: ({ context, event }) => new Map([...context.links].filter(([at]) => at !== event.link)),
      }),
    },
    'table.selfAddressesChanged': { actions: { type: 'setSelf', params: ({ event }) => event } },
    'reach.show': {
      actions: emit(({ context, event: { requestId } }) => ({ type: 'reach.shown', requestId, ...context.reach })),
    },
    'reach.dialBack': [
      joinIfRepeated,
      {
        actions: [
          beginAs('diallingBack'),
          spawnChild('dialBack', {
            id: ({ event }) => childId((event as DialBack).requestId),
            input: ({ context: { signal }, event }) => ({ command: event as DialBack, signal }),
          }),
        ],
      },
    ],
    'dialBack.ended': { actions: ['reply', { type: 'end', params: ({ event }) => event }] },
    'request.abandoned': endIfAbandoned('diallingBack'),
  },
  options: { maxIterations: 1_000 },
})

function peerToAsk({ port, links, asked, answers }: Context): NodeId | undefined {
  return port === 0 ? undefined : nextToAsk([...new Set(links.values())], asked, answers)
}
