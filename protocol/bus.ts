import mitt from 'mitt'
import { checkEvent } from '#checks'

/**
 * The bus on which the concerns of one node meet. What it promises:
 *
 * 1. Order: every listener sees events in the order in which they were published.
 * 2. No re-entrance: an event published while another is being delivered waits until that one has reached everybody.
 * 3. Isolation: a listener that throws affects neither the publisher nor the other listeners; `onError` gets the error.
 * 4. Undo: `on` and `tap` return a function that removes the listener at once. It may be called more than once.
 * 5. Taps first: a tap sees every event before the listeners of that event do.
 * 6. No history: a listener that is added during a delivery receives the next event, not the current one.
 * 7. Close: after `close` nothing is delivered, not even the events that are still queued.
 * 8. Schemas: in development (`--conditions=development`) `publish` reports an event that does not fit its schema to
 *    `onError`, and delivers the event nevertheless. Otherwise nothing is checked.
 *
 * The bus has no wildcards except `tap`, no retry and no asynchronous delivery. It is simple on purpose: listeners must
 * return quickly, and work belongs in an actor.
 */
export interface Bus<E extends { type: string }> {
  publish(event: E): void
  on<T extends E['type']>(type: T, listener: (event: Extract<E, { type: T }>) => void): Undo
  tap(listener: (event: E) => void): Undo
  close(): void
}

/** Reverts the call that returned it. May be called more than once. */
export type Undo = () => void

export interface BusOptions {
  /**
   * Receives the error of a listener that threw or of an event that does not fit its schema, with the event's type.
   * By default the error is thrown where nobody can catch it, as the DOM's `reportError` does.
   */
  onError?: (error: unknown, type: string) => void
  /**
   * Throws for an event that does not fit its schema. By default the slices' schemas are used, and only in development.
   */
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
