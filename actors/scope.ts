import { setMaxListeners } from 'node:events'

/** An AbortSignal for one operation; aborts with its parent. */
export interface Scope {
  signal: AbortSignal
  /** Aborts the signal, and removes the listener on the parent signal. */
  end(): void
}

/**
 * Opens a scope that also ends with its concern (xstate does not stop the children of a crashed actor), and after `ms`
 * milliseconds if given. `AbortSignal.any` is not used, because it would stay registered on the concern's signal until
 * the concern ends.
 */
export function openScope(concern: AbortSignal, ms?: number): Scope {
  const scope = new AbortController()
  // All concurrent work of the operation listens to the signal.
  setMaxListeners(0, scope.signal)
  const abort = () => scope.abort()
  const late = () => scope.abort(new DOMException('The operation timed out', 'TimeoutError'))
  const timer = ms === undefined ? undefined : setTimeout(late, ms)
  concern.addEventListener('abort', abort, { once: true })
  if (concern.aborted) abort()
  return {
    signal: scope.signal,
    end() {
      clearTimeout(timer)
      concern.removeEventListener('abort', abort)
      abort()
    },
  }
}
