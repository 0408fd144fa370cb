import { type AnyEventObject, assign, enqueueActions } from 'xstate'

/**
 * A pending request of a concern: its id, its phase, and the number of callers that wait for the answer. Every machine
 * keeps a list of them in its context and changes the list with these functions. A repeated request joins the pending
 * one, and `request.abandoned` cancels a request only if no other caller waits for it.
 */
export interface Tracked<Phase extends string = string> {
  readonly requestId: string
  readonly phase: Phase
  /** The number of callers that have sent this request and have not abandoned it. */
  readonly waiters: number
}

/** Pending requests in the order in which they arrived. */
export type Requests<R extends Tracked> = readonly R[]

/** A new request. Its first waiter is its sender. */
export type NewRequest<R extends Tracked> = R extends Tracked ? Omit<R, 'waiters'> : never

/** Selects requests: the one with this id, or those for which the function returns true. */
type Match<R extends Tracked> = string | ((request: R) => boolean)

/** Returns the list with a new request. */
export function begin<R extends Tracked>(requests: Requests<R>, request: NewRequest<R>): Requests<R> {
  return [...requests, { ...request, waiters: 1 } as unknown as R]
}

/** Returns the list with one more waiter for a pending request. */
export function join<R extends Tracked>(requests: Requests<R>, match: Match<R>): Requests<R> {
  return change(requests, match, (one) => ({ ...one, waiters: one.waiters + 1 }))
}

/**
 * Returns the list with one waiter fewer. The request stays in the list, because its concern decides what to revert.
 */
export function leave<R extends Tracked>(requests: Requests<R>, match: Match<R>): Requests<R> {
  return change(requests, match, (one) => ({ ...one, waiters: Math.max(0, one.waiters - 1) }))
}

/** Returns the list with a request in another phase, and with the data of that phase. */
export function enter<R extends Tracked>(
  requests: Requests<R>,
  match: Match<R>,
  phase: R['phase'],
  data: object = {},
): Requests<R> {
  return change(requests, match, (one) => ({ ...one, ...data, phase }))
}

/** Returns the list without a request that was answered or cancelled. */
export function end<R extends Tracked>(requests: Requests<R>, match: Match<R>): Requests<R> {
  const isMeant = matcher(match)
  return requests.filter((one) => !isMeant(one))
}

export function find<R extends Tracked>(requests: Requests<R>, match: Match<R>): R | undefined {
  return requests.find(matcher(match))
}

/** Returns the requests that are in `phase`. */
export function inPhase<R extends Tracked, P extends R['phase']>(
  requests: Requests<R>,
  phase: P,
): (R & { phase: P })[] {
  return requests.filter((one): one is R & { phase: P } => one.phase === phase)
}

/**
 * Returns the id of the child for a request. The prefix distinguishes it from other children, because a request id may
 * be any text.
 */
export function childId(requestId: string): string {
  return `request ${requestId}`
}

interface RequestId {
  requestId: string
}

/** The context of a machine that tracks requests. */
interface WithRequests {
  requests: Requests<Tracked>
}

type RequestOf<C extends WithRequests> = C['requests'][number]

/** Returns the guards for the `setup` of a concern with this context. */
export function requestGuards<C extends WithRequests>() {
  return {
    /** Whether the request was sent before and has no answer yet. */
    isUnderWay: ({ context }: { context: C }, { requestId }: RequestId) =>
      find(context.requests, requestId) !== undefined,
    /** Whether the request is in one of these phases, and nobody waits for it after this waiter leaves. */
    isLastWaiter: (
      { context }: { context: C },
      { requestId, phases }: RequestId & { phases: readonly RequestOf<C>['phase'][] },
    ) => {
      const request = find(context.requests, requestId)
      return request?.waiters === 1 && phases.includes(request.phase)
    },
  }
}

/**
 * Returns the actions for the `setup` of a concern with this context and these events. Each returns the
 * whole context, because the compiler does not accept `requests` alone as a part of a context that it does not know.
 */
export function requestActions<C extends WithRequests, E extends AnyEventObject>() {
  const change = <P extends RequestId>(changed: (requests: C['requests'], request: P) => Requests<Tracked>) =>
    assign<C, E, P, E, never>(({ context }, request) => ({
      ...context,
      requests: changed(context.requests, request),
    }))
  return {
    begin: change((requests, request: NewRequest<RequestOf<C>>) => begin(requests, request)),
    join: change((requests, { requestId }: RequestId) => join(requests, requestId)),
    leave: change((requests, { requestId }: RequestId) => leave(requests, requestId)),
    enter: change((requests, { requestId, phase }: RequestId & { phase: RequestOf<C>['phase'] }) =>
      enter(requests, requestId, phase),
    ),
    /** Also stops the request's child, if it has one. */
    end: enqueueActions<C, E, RequestId, E, never, never, never, never, never>(({ enqueue }, { requestId }) => {
      enqueue.stopChild(childId(requestId))
      enqueue.assign(({ context }) => ({ ...context, requests: end(context.requests, requestId) }))
    }),
  }
}

interface OnRequest {
  event: RequestId
}

/** The action that begins the request in this phase. */
export const beginAs = <P extends string>(phase: P) =>
  ({ type: 'begin', params: ({ event: { requestId } }: OnRequest) => ({ requestId, phase }) }) as const

/** The first transition on a command: a repeated request joins the pending one. */
export const joinIfRepeated = {
  guard: { type: 'isUnderWay', params: ({ event }: OnRequest) => event },
  actions: { type: 'join', params: ({ event }: OnRequest) => event },
} as const

/** The guard of `request.abandoned` for the last waiter of a request in one of these phases. */
export const isLastWaiterIn = <P extends string>(...phases: readonly P[]) =>
  ({ type: 'isLastWaiter', params: ({ event: { requestId } }: OnRequest) => ({ requestId, phases }) }) as const

/** The last transition on `request.abandoned`: this waiter leaves. */
export const otherwiseLeave = { actions: { type: 'leave', params: ({ event }: OnRequest) => event } } as const

/**
 * The transitions on `request.abandoned`: the last waiter of a request in one of these phases ends it, and any other
 * waiter only leaves it.
 */
export const endIfAbandoned = <P extends string>(...phases: readonly P[]) =>
  [
    { guard: isLastWaiterIn(...phases), actions: { type: 'end', params: ({ event }: OnRequest) => event } },
    otherwiseLeave,
  ] as const

function matcher<R extends Tracked>(match: Match<R>): (request: R) => boolean {
  return typeof match === 'function' ? match : ({ requestId }) => requestId === match
}

function change<R extends Tracked>(requests: Requests<R>, match: Match<R>, changed: (one: R) => R): Requests<R> {
  const isMeant = matcher(match)
  return requests.map((one) => (isMeant(one) ? changed(one) : one))
}
