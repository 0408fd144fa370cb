import type { Bus, Undo } from '../../protocol/bus.ts'
import type { BusEvent } from '../../protocol/index.ts'
import type { Registry } from '../registry.ts'

/** Whoever watches the node: an HTTP answer, the command line in the same process, a test. */
export interface EventReader {
  /** Gets `{ at, type, … }`, `at` in milliseconds since 1970. False means that it cannot keep up and is dropped. */
  write(event: object): boolean
  /** Told after the last line. */
  end(): void
}

export interface EventStream {
  /** Every event on the bus and every change of a machine's state from now on. */
  open(reader: EventReader): Undo
}

interface EventSources {
  bus: Bus<BusEvent>
  registry: Pick<Registry, 'watch'>
}

/**
 * What happens in the node, for its owner to watch: events of the bus as they are (secrets serialise masked), and
 * `state.changed` for machines. A reader that cannot keep up gets `stream.dropped` as its last line.
 */
export function createEventStream({ bus, registry }: EventSources): EventStream {
  const readers = new Set<EventReader>()
  // Nobody pays for state changes that nobody reads.
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

  bus.tap(emit)

  return {
    open(reader) {
      if (readers.size === 0) unwatch = registry.watch((change) => emit({ type: 'state.changed', ...change }))
      readers.add(reader)
      return () => remove(reader)
    },
  }
}
