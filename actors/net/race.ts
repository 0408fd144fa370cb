import { setMaxListeners } from 'node:events'
import { DIAL } from '../../protocol/defaults/net.ts'
import { AppError, toAppError } from '../../protocol/errors.ts'
import { isIPv6 } from '../../protocol/net/address.ts'
import { type Endpoint, formatEndpoint } from '../../protocol/net/endpoint.ts'

/** One endpoint that did not answer, and why. */
export interface FailedAttempt {
  endpoint: Endpoint
  error: AppError
}

/**
 * The error of a peer none of whose endpoints answered. With one endpoint it has the code and message of that
 * endpoint's error.
 */
export class DialError extends AppError {
  readonly attempts: readonly FailedAttempt[]

  /** `where` names the peer; `untried` counts endpoints beyond those that are tried. */
  constructor(where: string, attempts: readonly FailedAttempt[], untried = 0) {
    const [first] = attempts
    const only = attempts.length === 1 && untried === 0 ? first?.error : undefined
    const reasons = attempts.map(({ endpoint, error }) => `${formatEndpoint(endpoint)}: ${error.what}`)
    if (untried > 0) reasons.push(`${untried} more endpoints were not tried`)
    const why = first ? reasons.join('; ') : 'it has no endpoint at which it could be dialled'
    super(only?.code ?? 'unreachable', { where, why }, only)
    this.attempts = attempts
    if (only) this.message = only.message
    if (only) this.what = only.what
  }
}

export interface RaceOptions<T> {
  /** The name of the peer in errors. */
  where: string
  signal?: AbortSignal | undefined
  /** Closes a connection that was established after another one had won. */
  discard: (late: T) => void
}

/**
 * Races the endpoints in this order (RFC 8305, section 5): the next attempt starts when one fails or after
 * `DIAL.staggerMs`, and the first one that succeeds ends the others through their signal. Rejects with `DialError`,
 * with `abandoned`, or with `timed_out` where `signal` is a timeout's. `failed` has the endpoints that were tried before or
 * beside the one that has answered.
 */
export function race<T>(
  endpoints: readonly Endpoint[],
  attempt: (endpoint: Endpoint, signal: AbortSignal) => Promise<T>,
  { where, signal, discard }: RaceOptions<T>,
): Promise<{ endpoint: Endpoint; result: T; failed: FailedAttempt[] }> {
  return new Promise((resolve, reject) => {
    const attempts = new AbortController()
    setMaxListeners(0, attempts.signal)
    const waiting = endpoints.slice(0, DIAL.maxEndpoints)
    const failed: FailedAttempt[] = []
    /** When the attempts began that are under way. */
    const running = new Map<Endpoint, number>()
    const startedAt = performance.now()
    let isOver = false
    let timer: NodeJS.Timeout | undefined

    const end = () => {
      isOver = true
      clearTimeout(timer)
      signal?.removeEventListener('abort', abort)
      attempts.abort()
    }
    const abort = () => {
      end()
      reject(abortError(where, signal as AbortSignal, Math.round(performance.now() - startedAt)))
    }
    const startNext = () => {
      clearTimeout(timer)
      const endpoint = waiting.shift()
      if (!endpoint) {
        if (running.size > 0) return
        end()
        return reject(new DialError(where, failed, Math.max(0, endpoints.length - DIAL.maxEndpoints)))
      }
      running.set(endpoint, performance.now())
      const [next] = waiting
      const isLead = endpoint.kind === 'punched' && next?.kind === 'relayed'
      if (next) timer = setTimeout(startNext, isLead ? DIAL.punchedLeadMs : DIAL.staggerMs)
      attempt(endpoint, attempts.signal).then(
        (result) => {
          if (isOver) return discard(result)
          end()
          running.delete(endpoint)
          resolve({ endpoint, result, failed: [...failed, ...[...running].map(unanswered)] })
        },
        (error) => {
          running.delete(endpoint)
          if (isOver) return
          failed.push({ endpoint, error: toAppError(error) })
          startNext()
        },
      )
    }

    if (signal?.aborted) return abort()
    signal?.addEventListener('abort', abort)
    startNext()
  })
}

/** An attempt that was given up because another one had answered. */
function unanswered([endpoint, startedAt]: [Endpoint, number]): FailedAttempt {
  const ms = Math.round(performance.now() - startedAt)
  return { endpoint, error: new AppError('timed_out', { where: formatEndpoint(endpoint), ms }) }
}

/** Converts the reason of an aborted signal: its deadline passed, or nobody waits any more. */
export function abortError(where: string, signal: AbortSignal, ms: number): AppError {
  const isDeadline = signal.reason instanceof DOMException && signal.reason.name === 'TimeoutError'
  return isDeadline
    ? new AppError('timed_out', { where, ms }, signal.reason)
    : new AppError('abandoned', {}, signal.reason)
}

/**
 * Orders endpoints for a race: address families alternate, so that a broken family costs one attempt and not many (RFC
 * 8305, section 4). The family of the first endpoint leads: a caller with a history puts the endpoint that answered
 * first.
 */
export function alternateFamilies(endpoints: readonly Endpoint[]): Endpoint[] {
  const isSix = ({ host }: Endpoint) => isIPv6(host)
  const leads = endpoints[0] !== undefined && isSix(endpoints[0])
  const same = endpoints.filter((endpoint) => isSix(endpoint) === leads)
  const other = endpoints.filter((endpoint) => isSix(endpoint) !== leads)
  const pairs = same.flatMap((endpoint, index) => [endpoint, ...other.slice(index, index + 1)])
  return [...pairs, ...other.slice(same.length)]
}

/** Orders endpoints without a history: IPv6 leads. */
export function preferIPv6(endpoints: readonly Endpoint[]): Endpoint[] {
  return [...endpoints].sort((one, other) => Number(isIPv6(other.host)) - Number(isIPv6(one.host)))
}
