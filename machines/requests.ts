/**
 * The requests that a concern has under way, as data: which of them, in which phase, and how many wait for the answer.
 * Every machine keeps its own list in its context and changes it with these functions, so that a repeated request joins
 * the one under way, and `request.abandoned` gives up only what nobody waits for any more.
 */
export interface Tracked<Phase extends string = string> {
  readonly requestId: string
  readonly phase: Phase
  /** How many sent this request and have not gone. */
  readonly waiters: number
}

/** In the order in which they came. */
export type Requests<R extends Tracked> = readonly R[]

/** A request as it is begun; its first waiter is whoever sent it. */
export type NewRequest<R extends Tracked> = R extends Tracked ? Omit<R, 'waiters'> : never

/** Which requests are meant: the one with this id, or those that the function is true for. */
type Match<R extends Tracked> = string | ((request: R) => boolean)

/** The list with a request that was not under way. */
export function begin<R extends Tracked>(requests: Requests<R>, request: NewRequest<R>): Requests<R> {
  return [...requests, { ...request, waiters: 1 } as unknown as R]
}

/** The list where one more waits for the answer of a request under way. */
export function join<R extends Tracked>(requests: Requests<R>, match: Match<R>): Requests<R> {
  return change(requests, match, (one) => ({ ...one, waiters: one.waiters + 1 }))
}

/** The list where one of those who wait has gone. The request stays in it: what is to be undone is up to its concern. */
export function leave<R extends Tracked>(requests: Requests<R>, match: Match<R>): Requests<R> {
  return change(requests, match, (one) => ({ ...one, waiters: Math.max(0, one.waiters - 1) }))
}

/** The list with a request in another phase, and with what that phase needs to know. */
export function enter<R extends Tracked>(
  requests: Requests<R>,
  match: Match<R>,
  phase: R['phase'],
  data: object = {},
): Requests<R> {
  return change(requests, match, (one) => ({ ...one, ...data, phase }))
}

/** The list without a request that has its answer, or needs none. */
export function end<R extends Tracked>(requests: Requests<R>, match: Match<R>): Requests<R> {
  const isMeant = matcher(match)
  return requests.filter((one) => !isMeant(one))
}

export function find<R extends Tracked>(requests: Requests<R>, match: Match<R>): R | undefined {
  return requests.find(matcher(match))
}

/** The requests that are in `phase`. */
export function inPhase<R extends Tracked, P extends R['phase']>(
  requests: Requests<R>,
  phase: P,
): (R & { phase: P })[] {
  return requests.filter((one): one is R & { phase: P } => one.phase === phase)
}

/** The id of the child at work for a request. A request may be called as anything; no other child is called so. */
export function childId(requestId: string): string {
  return `request ${requestId}`
}

/** A context with a list of requests, as the guards below read it. */
interface WithRequests {
  context: { requests: Requests<Tracked> }
}

/** The guards of every concern. */
export const requestGuards = {
  /** The request was sent before and has no answer yet. */
  isUnderWay: ({ context }: WithRequests, { requestId }: { requestId: string }) =>
    find(context.requests, requestId) !== undefined,
  /** Nobody waits for the request once the one who left has gone. */
  isLastWaiter: ({ context }: WithRequests, { requestId }: { requestId: string }) =>
    find(context.requests, requestId)?.waiters === 1,
  /** The same for a request whose work has not begun. */
  isLastWaiterOfQueued: ({ context }: WithRequests, { requestId }: { requestId: string }) => {
    const request = find(context.requests, requestId)
    return request?.phase === 'queued' && request.waiters === 1
  },
}

/** The first transition on a command: a repeated request waits for the answer under way. `join` is the machine's own. */
export const joinIfRepeated = {
  guard: { type: 'isUnderWay', params: ({ event }: { event: { requestId: string } }) => event },
  actions: { type: 'join', params: ({ event }: { event: { requestId: string } }) => event },
} as const

function matcher<R extends Tracked>(match: Match<R>): (request: R) => boolean {
  return typeof match === 'function' ? match : ({ requestId }) => requestId === match
}

function change<R extends Tracked>(requests: Requests<R>, match: Match<R>, changed: (one: R) => R): Requests<R> {
  const isMeant = matcher(match)
  return requests.map((one) => (isMeant(one) ? changed(one) : one))
}
