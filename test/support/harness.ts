import type { Bus } from '../../protocol/bus.ts'
import type { BusEvent } from '../../protocol/index.ts'

/** Resolves with the next event of `type` that `matches`; rejects after `ms` with the events that arrived instead. */
export function nextEvent<T extends BusEvent['type']>(
  bus: Bus<BusEvent>,
  type: T,
  matches: (event: Extract<BusEvent, { type: T }>) => boolean = () => true,
  ms = 10_000,
): Promise<Extract<BusEvent, { type: T }>> {
  return new Promise((resolve, reject) => {
    const seen: string[] = []
    const untap = bus.tap((event) => {
      seen.push(event.type)
      if (event.type !== type || !matches(event as Extract<BusEvent, { type: T }>)) return
      clearTimeout(timer)
      untap()
      resolve(event as Extract<BusEvent, { type: T }>)
    })
    const timer = setTimeout(() => {
      untap()
      reject(new Error(`no ${type} within ${ms} ms; received ${seen.join(', ') || 'nothing'}`))
    }, ms)
  })
}

/** Returns the list of events on the bus from now on, which grows. */
export function record(bus: Bus<BusEvent>): BusEvent[] {
  const events: BusEvent[] = []
  bus.tap((event) => events.push(event))
  return events
}

/**
 * Lets pending promise callbacks run: the result of an actor's promise arrives only between steps of a simulated
 * clock.
 */
export function nextTick(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
