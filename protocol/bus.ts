import mitt from 'mitt'
import { checkEvent } from '#checks'

/**
 * The bus on which the concerns of one node meet. What it promises:
 *
 * 1. Order: every listener sees events in the order in which they were published.
 * 2. No re-entrance: an event published while another is being delivered waits until that one has reached everybody.
 * 3. Isolation: a listener that throws hurts neither the publisher nor the other listeners; `onError` is told.
 * 4. Undo: `on` and `tap` return their own undo, which may be called twice and takes effect at once.
 * 5. Taps first: a tap sees every event, before the listeners of that event do.
 * 6. No history: a listener added during delivery hears the next event, not the present one.
 * 7. End: after `close` nothing is delivered, what is still queued included.
 * 8. Shape: in development (`--conditions=development`) `onError` is told of an event that does not fit its schema, at
 *    `publish`. The event reaches everybody all the same, as it does otherwise, where nothing is checked.
 *
 * It has no wildcards beyond `tap`, no retry and no async delivery: it is dumb on purpose. Whoever listens must return
 * quickly; work belongs in an actor.
 */
export interface Bus<E extends { type: string }> {
  publish(event: E): void
  on<T extends E['type']>(type: T, listener: (event: Extract<E, { type: T }>) => void): Undo
  tap(listener: (event: E) => void): Undo
  close(): void
}

/** Takes back what returned it. May be called more than once. */
export type Undo = () => void

export interface BusOptions {
  /**
   * Told of a listener that threw and of an event that does not fit, with the event's type. Default: the error is thrown
   * where nobody can catch it, as the DOM's `reportError` does.
   */
  onError?: (error: unknown, type: string) => void
  /** Throws for an event that does not fit. Default: the check against the slices' schemas, in development alone. */
  check?: (event: { type: string }) => void
}

const TAP = '*tap*'

export function createBus<E extends { type: string }>({
  onError = reportError,
  check = checkEvent,
}: BusOptions = {}): Bus<E> {
  const emitter = mitt<Record<string, E>>()
  const queue: E[] = []
  let delivery = 0
  let draining = false
  let closed = false

  function publish(event: E): void {
    if (closed) return
    try {
      check(event)
    } catch (error) {
      onError(error, event.type)
    }
    queue.push(event)
    if (draining) return
    draining = true
    for (let next = queue.shift(); next; next = queue.shift()) {
      delivery += 1
      emitter.emit(TAP, next)
      emitter.emit(next.type, next)
    }
    draining = false
  }

  function listen(channel: string, listener: (event: E) => void): Undo {
    let active = true
    const since = delivery
    const guarded = (event: E) => {
      if (!active || closed || delivery === since) return
      try {
        listener(event)
      } catch (error) {
        onError(error, event.type)
      }
    }
    emitter.on(channel, guarded)
    return () => {
      active = false
      emitter.off(channel, guarded)
    }
  }

  return {
    publish,
    on: (type, listener) => listen(type, listener as (event: E) => void),
    tap: (listener) => listen(TAP, listener),
    close() {
      closed = true
      queue.length = 0
      emitter.all.clear()
    },
  }
}

function reportError(error: unknown): void {
  queueMicrotask(() => {
    throw error
  })
}
