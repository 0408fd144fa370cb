import type { AnyActorRef, InspectionEvent } from 'xstate'
import type { Bus, Undo } from '../protocol/bus.ts'
import { ACTOR_LIST, EVENT_MAX_CHARS, TRANSITIONS_MAX } from '../protocol/defaults/registry.ts'
import type { BusEvent } from '../protocol/index.ts'
import type { ActorTransition, ActorView } from '../protocol/node.ts'
import { type ActorRefView, actorPath, concernOf, type SnapshotView, stateText } from './registry/actorPath.ts'
import { contextView } from './registry/contextView.ts'

/** A change of one machine's state, for those who watch the node. */
export interface StateChange extends ActorTransition {
  concern: string
  /** The actor's path below the concern; undefined for the concern's own machine. */
  actor: string | undefined
}

interface ConcernActor {
  readonly actor: AnyActorRef | undefined
}

export interface ListOptions {
  /** One actor's path, or text that its path, machine or state contains, in any case. Empty: all. */
  filter?: string
  /** Whether to show contexts and all kept transitions, not the latest alone. */
  details?: boolean
}

export interface Registry {
  /** Hand this to the concerns' machines as `inspect`. */
  inspect(event: InspectionEvent): void
  /** Every change of a machine's state from now on. */
  watch(listener: (change: StateChange) => void): Undo
  /** Adds a concern. `actor` is its present life: undefined while a crashed one waits for its restart. */
  add(concern: ConcernActor): void
  /** Every living actor, parents before their children, and how many did not fit into the list. */
  list(options?: ListOptions): { actors: ActorView[]; omitted: number }
}

/** What is remembered of a machine: its state, and its latest transitions, oldest first. */
interface Memory {
  value: unknown
  text: string
  readonly transitions: ActorTransition[]
}

/**
 * Every living actor of the node, children included, and the one reading of xstate's inspection.
 *
 * The living are found when somebody asks, from the concerns' present lives downwards, so that the registry holds no
 * actor and no context: what has stopped is garbage as soon as its parent lets go of it. Of the inspection only
 * transitions are kept, as a few short texts in a WeakMap: always, so that the first look already says how an actor came
 * to its state. When nobody looks, an event that leaves a state as it was costs one comparison (0.1 µs), and one that
 * changes it a few short texts (0.2 µs); see `npm run bench registry`.
 */
export function createRegistry(): Registry {
  const concerns: ConcernActor[] = []
  const memories = new WeakMap<object, Memory>()
  const listeners = new Set<(change: StateChange) => void>()

  function remember(actor: ActorRefView, value: unknown, to: string, event: string): void {
    const memory = memories.get(actor)
    const from = memory?.text
    const transition: ActorTransition = {
      at: Date.now(),
      ...(from !== undefined && { from }),
      to,
      event: event.slice(0, EVENT_MAX_CHARS),
    }
    if (memory) {
      memory.value = value
      memory.text = to
      if (memory.transitions.push(transition) > TRANSITIONS_MAX) memory.transitions.shift()
    } else memories.set(actor, { value, text: to, transitions: [transition] })
    if (listeners.size === 0) return
    const concern = concernOf(actor)
    const path = actor._parent ? actorPath(actor).slice(concern.length + 1) : undefined
    for (const listener of listeners) listener({ concern, actor: path, ...transition })
  }

  function view(actor: ActorRefView, budget: { left: number }, details: boolean): ActorView {
    const kept = memories.get(actor)?.transitions ?? []
    const transitions = details ? [...kept] : kept.slice(-1)
    const shown = {
      path: actorPath(actor),
      concern: concernOf(actor),
      machine: machineOf(actor),
      state: stateText(actor.getSnapshot()),
    }
    if (!details || budget.left <= 0) return { ...shown, transitions }
    const context = contextView(readableContext(actor.getSnapshot()))
    budget.left -= JSON.stringify(context).length
    return { ...shown, transitions, context }
  }

  return {
    inspect(event) {
      if (event.type !== '@xstate.snapshot') return
      const { value, status } = event.snapshot as SnapshotView
      // Promises and callbacks have no states.
      if (value === undefined) return
      const actor = event.actorRef as unknown as ActorRefView
      const memory = memories.get(actor)
      if (memory && status === 'active' && isSameValue(memory.value, value)) return
      const text = stateText({ status, value })
      if (memory?.text === text) return
      remember(actor, status === 'active' ? value : undefined, text, event.event.type)
    },
    watch(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    add: (concern) => concerns.push(concern),
    list({ filter = '', details = true } = {}) {
      const living = concerns.flatMap(({ actor }) => (actor ? [...withChildren(actor as never)] : []))
      const exact = living.filter((actor) => actorPath(actor) === filter)
      const found = exact.length > 0 ? exact : living.filter((actor) => matches(actor, filter.toLowerCase()))
      const budget = { left: ACTOR_LIST.maxContextChars }
      const actors = found.slice(0, ACTOR_LIST.maxActors).map((actor) => view(actor, budget, details))
      return { actors, omitted: found.length - actors.length }
    },
  }
}

/** Answers `actor.list`. */
export function replyWithActors(bus: Bus<BusEvent>, registry: Registry): void {
  bus.on('actor.list', ({ requestId, filter, details }) =>
    bus.publish({ type: 'actor.listed', requestId, ...registry.list({ filter, details }) }),
  )
}

function* withChildren(actor: ActorRefView): Generator<ActorRefView> {
  const { status, children } = actor.getSnapshot()
  if (status !== 'active') return
  yield actor
  for (const child of Object.values(children ?? {})) if (child) yield* withChildren(child)
}

function matches(actor: ActorRefView, filter: string): boolean {
  return [actorPath(actor), machineOf(actor), stateText(actor.getSnapshot())].some((text) =>
    text.toLowerCase().includes(filter),
  )
}

/** The id of its machine; a promise or a callback has the name that its parent's machine gives it. */
function machineOf({ logic, src, id }: ActorRefView): string {
  if (typeof logic?.id === 'string') return logic.id
  return typeof src === 'string' ? src : id
}

/** A machine whose context is large or hard to read names a view of it, as `view` in the meta of its root. */
function readableContext({ machine, context, input }: SnapshotView): unknown {
  // Promises and callbacks have an input and no context.
  if (!machine) return { input }
  const { view } = machine.root.meta ?? {}
  if (!view) return context
  try {
    return view(context)
  } catch (error) {
    return { viewFailed: error }
  }
}

/** xstate makes the value of nested states anew for each event. Allocates nothing, and takes a third of what texts would. */
function isSameValue(one: unknown, other: unknown): boolean {
  if (one === other) return true
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) return false
  for (const key in other)
    if (!isSameValue((one as Record<string, unknown>)[key], (other as Record<string, unknown>)[key])) return false
  for (const key in one) if (!(key in other)) return false
  return true
}
