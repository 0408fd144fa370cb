import { setMaxListeners } from 'node:events'

/** An AbortSignal for one operation; aborts with its parent. */
export interface Scope {
  signal: AbortSignal
  /** Aborts it, and leaves nothing behind on the signal that it followed. */
  end(): void
}

/**
 * A child's own signal, which also ends with the concern's life (xstate does not stop the children of a crash), and after
 * `ms` where given. Not `AbortSignal.any`, which would hang on the concern's signal for as long as that lives.
 */
export function openScope(concern: AbortSignal, ms?: number): Scope {
  const scope = new AbortController()
  // Everything that the undertaking does at one time listens to it.
  setMaxListeners(0, scope.signal)
  const abort = () => scope.abort()
  const timer = ms === undefined ? undefined : setTimeout(abort, ms)
  concern.addEventListener('abort', abort, { once: true })
  return {
    signal: scope.signal,
    end() {
      clearTimeout(timer)
      concern.removeEventListener('abort', abort)
      abort()
    },
  }
}
