import { setMaxListeners } from 'node:events'
import {
  type Actor,
  type AnyStateMachine,
  createActor,
  type EmittedFrom,
  type InputFrom,
  type InspectionEvent,
} from 'xstate'
import type { Bus, Undo } from '../protocol/bus.ts'
import { RESTART } from '../protocol/defaults/node.ts'
import type { BusEvent, Concern, Fact } from '../protocol/index.ts'
import { acceptedTypes, bridge } from './bridge.ts'
import { type Clock, realClock } from './clock.ts'

/**
 * A concern as its actor file hands it over: its un-started machine and the machine's input. What it accepts from the bus
 * follows from the machine. Its type refuses a machine that emits what the bus does not know.
 */
export interface ConcernParts<M extends AnyStateMachine = AnyStateMachine> {
  name: Concern
  logic: [EmittedFrom<M>] extends [BusEvent] ? M : never
  /**
   * Made anew for each life. `signal` aborts when that life ends, by a crash as well as by `stop`. `retained` has the
   * latest fact of each type in `retains`, where there was one.
   */
  input: (signal: AbortSignal, retained: RetainedFacts) => InputFrom<M>
  /**
   * Facts that say how something is, rather than what has happened. The latest of each is kept from before the first
   * life, as a broker keeps a retained message, so that a life begins with what the other concerns have said already.
   */
  retains?: readonly Fact['type'][]
}

/** The latest fact of each retained type. */
export type RetainedFacts = { readonly [T in Fact['type']]?: Extract<Fact, { type: T }> }

export interface Supervised {
  /** The present life; undefined while a crashed one waits for its restart, and after `stop`. */
  readonly actor: Actor<AnyStateMachine> | undefined
  start(): void
  /** Ends it for good. May be called more than once. */
  stop(): void
}

interface SuperviseOptions {
  bus: Bus<BusEvent>
  clock?: Clock
  inspect?: (event: InspectionEvent) => void
}

/**
 * Keeps one concern alive. xstate does not stop the children of an actor whose action threw, so each life has an
 * `AbortSignal` that every resource of it must heed; a crash aborts it, says `node.concernCrashed` and starts a new
 * life after a wait that doubles up to `RESTART.longestMs`. What was said to it meanwhile reaches the new life.
 */
export function supervise(
  { name, logic, input, retains = [] }: ConcernParts,
  { bus, clock = realClock, inspect }: SuperviseOptions,
): Supervised {
  const accepts = acceptedTypes(name, logic)
  let actor: Actor<AnyStateMachine> | undefined
  let endInstance: Undo = () => {}
  let timer: unknown
  let waitMs: number = RESTART.firstMs
  let ended = false
  /** What the concern would have accepted while it waited for its restart. */
  const queued: BusEvent[] = []
  let retained: RetainedFacts = {}
  const undoRetaining = retains.map((type) =>
    bus.on(type, (fact) => {
      retained = { ...retained, [type]: fact }
    }),
  )

  function startInstance(): void {
    const startedAt = clock.now()
    const abort = new AbortController()
    // Everything that is under way in this life listens to it; Node would warn of the eleventh, in the middle of a screen.
    setMaxListeners(0, abort.signal)
    const instance = createActor(logic, {
      input: input(abort.signal, retained),
      clock,
      ...(inspect && { inspect: guarded(inspect) }),
    })
    const unbridge = bridge(bus, instance, accepts)
    endInstance = () => {
      unbridge()
      abort.abort()
    }
    instance.subscribe({ error: (error) => crash(error, clock.now() - startedAt) })
    actor = instance
    instance.start()
    for (const event of queued.splice(0)) instance.send(event)
  }

  function queueMeanwhile(): Undo {
    const undos = accepts.map((type) => bus.on(type, (event) => queued.push(event)))
    return () => {
      for (const undo of undos) undo()
    }
  }

  function crash(error: unknown, uptimeMs: number): void {
    endInstance()
    actor = undefined
    if (ended) return
    if (uptimeMs >= RESTART.healthyMs) waitMs = RESTART.firstMs
    const retryMs = waitMs
    waitMs = Math.min(waitMs * 2, RESTART.longestMs)
    endInstance = queueMeanwhile()
    timer = clock.setTimeout(() => {
      endInstance()
      startInstance()
      bus.publish({ type: 'node.concernRestarted', concern: name })
    }, retryMs)
    const message = error instanceof Error ? error.message : String(error)
    bus.publish({ type: 'node.concernCrashed', concern: name, message, retryMs })
  }

  return {
    get actor() {
      return actor
    },
    start: startInstance,
    stop() {
      ended = true
      for (const undo of undoRetaining) undo()
      clock.clearTimeout(timer)
      endInstance()
      actor?.stop()
      actor = undefined
    },
  }
}

/** An inspector that throws would surface at whoever sent the event, so it may not. */
function guarded(inspect: (event: InspectionEvent) => void): (event: InspectionEvent) => void {
  return (event) => {
    try {
      inspect(event)
    } catch {
      // Watching must never change what is watched.
    }
  }
}
