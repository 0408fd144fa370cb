import type { Bus, Undo } from '../../protocol/bus.ts'
import { type BusEvent, commands } from '../../protocol/index.ts'
import type { Registry } from '../registry.ts'

/** A reader of the node's events: an HTTP response, the command line in the same process, or a test. */
export interface EventReader {
  /**
   * Receives `{ at, type, … }`, with `at` in milliseconds since 1970. Returns false if it is too slow, which drops it.
   */
  write(event: object): boolean
  /** Called after the last line. */
  end(): void
}

export interface EventStream {
  /** Sends every event on the bus and every state change of a machine to `reader`, from now on. */
  open(reader: EventReader): Undo
}

interface EventSources {
  bus: Bus<BusEvent>
  registry: Pick<Registry, 'watch'>
}

/**
 * Creates the stream of events for the node's owner: the events of the bus, in which secrets are serialised as a mask,
 * and `state.changed` for machines, but no pages of long answers, which say nothing new and are large. A reader that is
 * too slow receives `stream.dropped` as its last line.
 */
export function createEventStream({ bus, registry }: EventSources): EventStream {
  const readers = new Set<EventReader>()
  // State changes are watched only while there is a reader, because they cost time.
  let unwatch: Undo = () => {}

  function emit(event: object): void {
    if (readers.size === 0) return
    const line = { at: Date.now(), ...event }
    for (const reader of readers) if (!reader.write(line)) drop(reader)
  }

  function remove(reader: EventReader): void {
    if (readers.delete(reader) && readers.size === 0) unwatch()
  }

  function drop(reader: EventReader): void {
    remove(reader)
    const message = 'The reader was too slow; events were lost from here on'
    reader.write({ at: Date.now(), type: 'stream.dropped', message })
    reader.end()
  }

  bus.tap((event) => {
    if (!isPaging(event)) emit(event)
  })

  return {
    open(reader) {
      if (readers.size === 0) unwatch = registry.watch((change) => emit({ type: 'state.changed', ...change }))
      readers.add(reader)
      return () => remove(reader)
    },
  }
}

const pages = new Set([...commands.values()].map(({ page }) => page))

function isPaging({ type }: BusEvent): boolean {
  return pages.has(type) || type === 'request.continued'
}
