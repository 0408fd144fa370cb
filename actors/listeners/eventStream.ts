import type { ActorRefLike, InspectionEvent } from 'xstate'
import type { Bus, Undo } from '../../protocol/bus.ts'
import type { BusEvent } from '../../protocol/index.ts'

/** Whoever watches the node: an HTTP answer, the command line in the same process, a test. */
export interface EventReader {
  /** Gets `{ at, type, … }`, `at` in milliseconds since 1970. False means that it cannot keep up and is dropped. */
  write(event: object): boolean
  /** Told after the last line. */
  end(): void
}

export interface EventStream {
  /** Hand this to the concerns' machines as `inspect`. */
  inspect(event: InspectionEvent): void
  /** Every event on the bus and every change of a machine's state from now on. */
  open(reader: EventReader): Undo
}

/**
 * What happens in the node, for its owner to watch: events of the bus as they are (secrets serialise masked), and
 * `state.changed` for machines. A reader that cannot keep up gets `stream.dropped` as its last line.
 */
export function createEventStream({ bus }: { bus: Bus<BusEvent> }): EventStream {
  const readers = new Set<EventReader>()
  const concerns = new Map<string, string>()
  const states = new WeakMap<object, string>()

  function emit(event: object): void {
    if (readers.size === 0) return
    const line = { at: Date.now(), ...event }
    for (const reader of readers) if (!reader.write(line)) drop(reader)
  }

  function drop(reader: EventReader): void {
    readers.delete(reader)
    const message = 'The reader was too slow; events were lost from here on'
    reader.write({ at: Date.now(), type: 'stream.dropped', message })
    reader.end()
  }

  bus.tap(emit)

  return {
    inspect(event) {
      const actorRef = event.actorRef as ActorRefLike & WatchedActor
      if (event.type === '@xstate.actor' && actorRef.sessionId === event.rootId)
        concerns.set(event.rootId, idOf(actorRef))
      if (event.type !== '@xstate.snapshot') return
      const { value, status } = event.snapshot as { value?: unknown; status: string }
      // Promises and callbacks have no states.
      if (value === undefined) return
      const to = status === 'active' ? pathOf(value) : status
      const from = states.get(actorRef)
      if (from === to) return
      states.set(actorRef, to)
      const concern = concerns.get(event.rootId) ?? event.rootId
      const actor = actorRef.sessionId === event.rootId ? undefined : actorRef.id
      emit({ type: 'state.changed', concern, actor, from, to, event: event.event.type })
      if (status !== 'active' && !actor) concerns.delete(event.rootId)
    },
    open(reader) {
      readers.add(reader)
      return () => readers.delete(reader)
    },
  }
}

/** What xstate's inspection gives, of which its types know the first alone. */
interface WatchedActor {
  sessionId: string
  id: string
  logic?: { id?: unknown }
}

/** The name of the machine, which is the concern's; an actor made without an id has only a number. */
function idOf(actorRef: WatchedActor): string {
  const name = actorRef.logic?.id
  return typeof name === 'string' ? name : actorRef.id
}

/** `a.b` for a state inside another, `a|b` for parallel ones. */
function pathOf(value: unknown): string {
  if (typeof value !== 'object' || value === null) return String(value)
  return Object.entries(value)
    .map(([key, inner]) => {
      const path = pathOf(inner)
      return path === '' ? key : `${key}.${path}`
    })
    .join('|')
}
