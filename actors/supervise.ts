import { setMaxListeners } from 'node:events'
import {
  type Actor,
  type AnyActorLogic,
  createActor,
  type EmittedFrom,
  type InputFrom,
  type InspectionEvent,
} from 'xstate'
import type { Bus, Undo } from '../protocol/bus.ts'
import { RESTART } from '../protocol/defaults.ts'
import type { BusEvent, Concern } from '../protocol/index.ts'
import { bridge, type Hearable } from './bridge.ts'

/** The timers that restarts need; xstate's `SimulatedClock` is one too. */
export interface Clock {
  now(): number
  setTimeout(run: () => void, ms: number): unknown
  clearTimeout(timer: unknown): void
}

export const realClock: Clock = {
  now: () => performance.now(),
  setTimeout: (run, ms) => setTimeout(run, ms),
  clearTimeout: (timer) => clearTimeout(timer as NodeJS.Timeout),
}

/** A concern as its actor file hands it over: un-started logic, its input, and what it hears from the bus. */
export interface ConcernParts<L extends AnyActorLogic> {
  name: Concern
  logic: L
  /** Made anew for each life. `signal` aborts when that life ends, by a crash as well as by `stop`. */
  input: (signal: AbortSignal) => InputFrom<L>
  hears: readonly Hearable<L>[]
}

export interface Supervised<L extends AnyActorLogic> {
  /** The present life; undefined while a crashed one waits for its restart, and after `stop`. */
  readonly actor: Actor<L> | undefined
  start(): void
  /** Ends it for good. May be called more than once. */
  stop(): void
}

interface Surroundings {
  bus: Bus<BusEvent>
  clock?: Clock
  inspect?: (event: InspectionEvent) => void
}

/**
 * Keeps one concern alive. xstate does not stop the children of an actor whose action threw, so each life has an
 * `AbortSignal` that every resource of it must heed; a crash aborts it, says `node.concernCrashed` and starts a new
 * life after a wait that doubles up to `RESTART.longestMs`. What was said to it meanwhile reaches the new life.
 */
export function supervise<L extends AnyActorLogic>(
  { name, logic, input, hears }: ConcernParts<L>,
  { bus, clock = realClock, inspect }: Surroundings,
): Supervised<L> {
  let actor: Actor<L> | undefined
  let endLife: Undo = () => {}
  let timer: unknown
  let waitMs: number = RESTART.firstMs
  let ended = false
  /** What the concern would have heard while it waited for its restart. */
  const missed: BusEvent[] = []

  function live(): void {
    const bornAt = clock.now()
    const abort = new AbortController()
    // Everything that is under way in this life listens to it; Node would warn of the eleventh, in the middle of a screen.
    setMaxListeners(0, abort.signal)
    const life = createActor(logic, {
      input: input(abort.signal),
      clock,
      ...(inspect && { inspect: guarded(inspect) }),
    } as unknown as Parameters<typeof createActor<L>>[1] & { input: InputFrom<L> })
    const unbridge = bridge<L>(bus, life as [EmittedFrom<L>] extends [BusEvent] ? Actor<L> : never, hears)
    endLife = () => {
      unbridge()
      abort.abort()
    }
    life.subscribe({ error: (error) => crash(error, clock.now() - bornAt) })
    actor = life
    life.start()
    for (const event of missed.splice(0)) (life as unknown as { send(event: BusEvent): void }).send(event)
  }

  function listenMeanwhile(): Undo {
    const undos = hears.map((type) => bus.on(type, (event) => missed.push(event)))
    return () => {
      for (const undo of undos) undo()
    }
  }

  function crash(error: unknown, livedMs: number): void {
    endLife()
    actor = undefined
    if (ended) return
    if (livedMs >= RESTART.healthyMs) waitMs = RESTART.firstMs
    const retryMs = waitMs
    waitMs = Math.min(waitMs * 2, RESTART.longestMs)
    endLife = listenMeanwhile()
    timer = clock.setTimeout(() => {
      endLife()
      live()
      bus.publish({ type: 'node.concernRestarted', concern: name })
    }, retryMs)
    const message = error instanceof Error ? error.message : String(error)
    bus.publish({ type: 'node.concernCrashed', concern: name, message, retryMs })
  }

  return {
    get actor() {
      return actor
    },
    start: live,
    stop() {
      ended = true
      clock.clearTimeout(timer)
      endLife()
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
