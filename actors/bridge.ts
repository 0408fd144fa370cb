import type { Actor, AnyStateMachine } from 'xstate'
import type { Bus, Undo } from '../protocol/bus.ts'
import { type BusEvent, type Concern, commands, factsByConcern } from '../protocol/index.ts'

/** Every event type that may travel on the bus. */
const busTypes = [
  ...commands.keys(),
  ...Object.values(factsByConcern).flatMap((facts) => Object.keys(facts)),
] as BusEvent['type'][]

/**
 * Returns the event types that a concern accepts from the bus: those that its machine handles, also by a wildcard such
 * as `container.*`. The facts that the concern emits itself are excluded, because they would loop.
 */
export function acceptedTypes(concern: Concern, machine: AnyStateMachine): BusEvent['type'][] {
  const own = new Set(Object.keys(factsByConcern[concern]))
  return busTypes.filter((type) => !own.has(type) && machine.events.some((handled) => matches(handled, type)))
}

/** Whether an event descriptor of xstate matches this type. */
export function matches(descriptor: string, type: string): boolean {
  if (descriptor === '*' || descriptor === type) return true
  return descriptor.endsWith('.*') && type.startsWith(descriptor.slice(0, -1))
}

/**
 * Connects an actor to the bus; nothing else does. Sends the accepted events to the actor, publishes every event that
 * it emits, and returns a function that reverts both. Call it before the actor starts, or events emitted on entry are
 * lost.
 */
export function bridge(bus: Bus<BusEvent>, actor: Actor<AnyStateMachine>, accepts: readonly BusEvent['type'][]): Undo {
  const undos = accepts.map((type) => bus.on(type, (event) => actor.send(event)))
  const emitted = actor.on('*', (event) => bus.publish(event))
  return () => {
    for (const undo of undos) undo()
    emitted.unsubscribe()
  }
}
