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
 * The parts of a concern, as its actor file creates them: a machine and the machine's input. The events that the
 * concern accepts from the bus follow from the machine. The type rejects a machine that emits events unknown to the
 * bus.
 */
export interface ConcernParts<M extends AnyStateMachine = AnyStateMachine> {
  name: Concern
  logic: [EmittedFrom<M>] extends [BusEvent] ? M : never
  /**
   * Creates the input of each new instance of the machine. `signal` aborts when that instance ends, by a crash or by
   * `stop`. `retained` has the latest fact of each type in `retains`, if there was one.
   */
  input: (signal: AbortSignal, retained: RetainedFacts) => InputFrom<M>
  /**
   * Facts that describe a state rather than an event. The latest of each type is retained, as an MQTT broker retains a
   * message, so that each instance starts with what the other concerns have already published.
   */
  retains?: readonly Fact['type'][]
}

/** The latest fact of each retained type. */
export type RetainedFacts = { readonly [T in Fact['type']]?: Extract<Fact, { type: T }> }

export interface Supervised {
  /** The current instance; undefined between a crash and the restart, and after `stop`. */
  readonly actor: Actor<AnyStateMachine> | undefined
  start(): void
  /** Stops the concern permanently. May be called more than once. */
  stop(): void
}

interface SuperviseOptions {
  bus: Bus<BusEvent>
  clock?: Clock
  inspect?: (event: InspectionEvent) => void
}

/**
 * Restarts a concern when it crashes. xstate does not stop the children of an actor whose action threw, so each
 * instance has an `AbortSignal` that all of its resources must obey. A crash aborts the signal, publishes
 * `node.concernCrashed`, and starts a new instance after a delay that doubles up to `RESTART.maxBackoffMs`. Events that
 * arrive in the meantime are queued for the new instance.
 */
export function supervise(
  { name, logic, input, retains = [] }: ConcernParts,
  { bus, clock = realClock, inspect }: SuperviseOptions,
): Supervised {
  const accepts = acceptedTypes(name, logic)
  let actor: Actor<AnyStateMachine> | undefined
  let endInstance: Undo = () => {}
  let timer: unknown
  let waitMs: number = RESTART.initialBackoffMs
  let ended = false
  /** The events that arrived between a crash and the restart. */
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
    // All work of this instance listens to the signal. Node.js would print a warning about the eleventh listener.
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
    if (uptimeMs >= RESTART.healthyMs) waitMs = RESTART.initialBackoffMs
    const retryMs = waitMs
    waitMs = Math.min(waitMs * 2, RESTART.maxBackoffMs)
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

/** Catches the errors of an inspector, which xstate would otherwise throw at the sender of the event. */
function guarded(inspect: (event: InspectionEvent) => void): (event: InspectionEvent) => void {
  return (event) => {
    try {
      inspect(event)
    } catch {
      // An inspector must never affect the actor that it inspects.
    }
  }
}
