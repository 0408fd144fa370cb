import type { Actor, AnyStateMachine } from 'xstate'
import type { Bus, Undo } from '../protocol/bus.ts'
import { type BusEvent, type Concern, commands, factsByConcern } from '../protocol/index.ts'

/** Every event type that may travel on the bus. */
const busTypes = [
  ...commands.keys(),
  ...Object.values(factsByConcern).flatMap((facts) => Object.keys(facts)),
] as BusEvent['type'][]

/**
 * What a concern accepts from the bus: every event type of the bus that its machine handles, wildcards such as
 * `container.*` included, without the facts that the concern emits itself, which would loop.
 */
export function acceptedTypes(concern: Concern, machine: AnyStateMachine): BusEvent['type'][] {
  const own = new Set(Object.keys(factsByConcern[concern]))
  return busTypes.filter((type) => !own.has(type) && machine.events.some((handled) => matches(handled, type)))
}

/** Whether an event descriptor of xstate means this type. */
export function matches(descriptor: string, type: string): boolean {
  if (descriptor === '*' || descriptor === type) return true
  return descriptor.endsWith('.*') && type.startsWith(descriptor.slice(0, -1))
}

/**
 * The only join of an actor and the bus. Subscribes what the actor accepts, publishes all that it emits, and returns the
 * undo of both. Call it before the actor starts: emits on entry are lost otherwise.
 */
export function bridge(bus: Bus<BusEvent>, actor: Actor<AnyStateMachine>, accepts: readonly BusEvent['type'][]): Undo {
  const undos = accepts.map((type) => bus.on(type, (event) => actor.send(event)))
  const emitted = actor.on('*', (event) => bus.publish(event))
  return () => {
    for (const undo of undos) undo()
    emitted.unsubscribe()
  }
}
