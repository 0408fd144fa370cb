import { assign, createActor, createMachine } from 'xstate'
import { createRegistry } from '../actors/registry.ts'
import { type Bench, interleave } from './measure.ts'

const EVENTS = 20_000

/** A machine of the usual kind: nested and parallel states, a context that changes. */
const machine = createMachine({
  id: 'bench',
  types: {} as { context: { count: number } },
  context: { count: 0 },
  initial: 'up',
  on: { count: { actions: assign({ count: ({ context }) => context.count + 1 }) } },
  states: {
    up: {
      type: 'parallel',
      states: {
        one: { initial: 'a', states: { a: { on: { flip: 'b' } }, b: { on: { flip: 'a' } } } },
        two: { initial: 'x', states: { x: {} } },
      },
    },
  },
})

/**
 * What the registry of actors costs while nobody looks, against xstate with an `inspect` that does nothing: an event that
 * leaves the state as it was, and one that changes it.
 */
export const bench: Bench = async () => [
  await figureOf('an event that changes no state, with the registry', 'count'),
  await figureOf('an event that changes the state, with the registry', 'flip'),
]

function figureOf(what: string, type: 'count' | 'flip') {
  return interleave({
    what,
    baseline: 'xstate with an empty inspect',
    unit: 'µs',
    goal: { sign: '≤', ratio: 1.5 },
    rounds: 21,
    ours: async () => perEventUs(type, createRegistry().inspect),
    theirs: async () => perEventUs(type, () => {}),
  })
}

/** Processor time, since this machine may do other things too. */
function perEventUs(type: string, inspect: ReturnType<typeof createRegistry>['inspect']): number {
  const actor = createActor(machine, { inspect }).start()
  const before = process.cpuUsage()
  for (let sent = 0; sent < EVENTS; sent += 1) actor.send({ type })
  const { user, system } = process.cpuUsage(before)
  actor.stop()
  return (user + system) / EVENTS
}
