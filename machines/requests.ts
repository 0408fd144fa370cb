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

/** The arguments that the guards below read. */
interface WithRequests {
  context: { requests: Requests<Tracked> }
}

/** Guards that every concern uses. */
export const requestGuards = {
  /** Whether the request was sent before and has no answer yet. */
  isUnderWay: ({ context }: WithRequests, { requestId }: { requestId: string }) =>
    find(context.requests, requestId) !== undefined,
  /** Whether nobody waits for the request after this waiter leaves. */
  isLastWaiter: ({ context }: WithRequests, { requestId }: { requestId: string }) =>
    find(context.requests, requestId)?.waiters === 1,
  /** The same, but only for a request whose work has not started. */
  isLastWaiterOfQueued: ({ context }: WithRequests, { requestId }: { requestId: string }) => {
    const request = find(context.requests, requestId)
    return request?.phase === 'queued' && request.waiters === 1
  },
}

/**
 * The first transition on a command: a repeated request joins the pending one. The machine implements the action
 * `join`.
 */
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
