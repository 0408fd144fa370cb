import type { Actor, AnyActorLogic, EmittedFrom, EventFrom } from 'xstate'
import type { Bus, Undo } from '../protocol/bus.ts'
import type { BusEvent } from '../protocol/index.ts'

/** The event types that logic `L` may accept from the bus: those it handles, less those it emits itself. */
export type AcceptedType<L extends AnyActorLogic> = Exclude<
  Extract<BusEvent, EventFrom<L>>['type'],
  (EmittedFrom<L> & { type: string })['type']
>

/**
 * The only join of an actor and the bus. Subscribes what the actor accepts, publishes all that it emits, and returns the
 * undo of both. The types refuse an event that the machine does not handle, one that the bus does not know, and a
 * concern that accepts its own event (which would loop). Call it before the actor starts: emits on entry are lost otherwise.
 */
export function bridge<L extends AnyActorLogic>(
  bus: Bus<BusEvent>,
  actor: [EmittedFrom<L>] extends [BusEvent] ? Actor<L> : never,
  accepts: readonly AcceptedType<L>[],
): Undo {
  const join = actor as unknown as {
    send(event: BusEvent): void
    on(type: '*', listener: (event: BusEvent) => void): { unsubscribe(): void }
  }
  const undos = accepts.map((type) => bus.on(type, (event) => join.send(event)))
  const emitted = join.on('*', (event) => bus.publish(event))
  return () => {
    for (const undo of undos) undo()
    emitted.unsubscribe()
  }
}
