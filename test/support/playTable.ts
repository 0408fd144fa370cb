import {
  type AnyActorRef,
  type AnyEventObject,
  type AnyMachineSnapshot,
  type AnyStateMachine,
  type AnyStateNode,
  createActor,
  type EventFrom,
  fromCallback,
  getInitialMicrosteps,
  getMicrosteps,
  type InputFrom,
  initialTransition,
  transition,
} from 'xstate'
import { type Actions, describeStep, emitsOf, pathOf } from './describeStep.ts'

/** An event of xstate itself: an invoked actor is done or failed, or a delay has passed. */
type OwnEvent = { type: `xstate.${string}` }

/** What the table of one machine is played with. */
export interface Samples {
  machine: AnyStateMachine
  input?: unknown
  /** One event or more for each that the machine accepts, under the name that the table shows. */
  events: Record<string, AnyEventObject>
  /** Whether what it emits goes to the actor that runs it, and not to the bus. */
  isPrivate?: boolean
  /** A state, or a variant of one that guards tell apart: the input, and the names of the events that lead there. */
  situations: Record<string, readonly string[] | { input: unknown; after: readonly string[] }>
}

export function samplesOf<M extends AnyStateMachine, E extends Record<string, EventFrom<M> | OwnEvent>>(
  machine: M,
  samples: {
    input?: InputFrom<M>
    events: E
    isPrivate?: boolean
    situations: Record<
      string,
      readonly (keyof E & string)[] | { input: InputFrom<M>; after: readonly (keyof E & string)[] }
    >
  },
): Samples {
  return { machine, ...samples }
}

export const done = (actorId: string, output?: unknown) => ({
  type: `xstate.done.actor.${actorId}` as const,
  output,
  actorId,
})

export const failed = (actorId: string, error: Error) => ({
  type: `xstate.error.actor.${actorId}` as const,
  error,
  actorId,
})

export const passed = (delay: string, state: string) => ({ type: `xstate.after.${delay}.${state}` as const })

/** An actor that the table shows by this name. */
export const actorNamed = (id: string): AnyActorRef =>
  createActor(
    fromCallback(() => {}),
    { id },
  )

/** A played table: its text, what was not played, and every fact that was emitted. */
export interface PlayedTable {
  text: string
  missing: string[]
  emitted: AnyEventObject[]
}

/** The cells of one situation, by the name of the event. */
interface Row {
  situation: string
  state: string
  cells: Map<string, string>
}

/** The cell of an event that the state does not handle. */
const IGNORED = '–'

/** The same where xstate itself sends the event, which cannot come while nothing waits for it. */
const NOT_SENT = ''

/** Plays every event in every situation. Nothing is executed: a step of xstate is a pure function. */
export function playTable(name: string, { machine, input, events, situations }: Samples): PlayedTable {
  const played = new Set<unknown>()
  const emitted: AnyEventObject[] = []

  function step(from: AnyMachineSnapshot | null, [next, actions]: [AnyMachineSnapshot, Actions]): string {
    emitted.push(...emitsOf(actions))
    return describeStep(from, next, actions)
  }

  function cellOf(from: AnyMachineSnapshot, event: AnyEventObject): string {
    const enabled = machine.getTransitionData(from, event) ?? []
    if (enabled.length === 0) return event.type.startsWith('xstate.') ? NOT_SENT : IGNORED
    for (const one of enabled) played.add(one)
    passThrough(getMicrosteps(machine, from, event), played)
    return step(from, transition(machine, from, event))
  }

  const rows = Object.entries(situations).map(([situation, script]): Row => {
    const { input: own, after } = 'after' in script ? script : { input, after: script }
    const start = initialTransition(machine, own)
    passThrough(getInitialMicrosteps(machine, own), played)
    const from = after.reduce((at, key) => transition(machine, at, events[key] as AnyEventObject)[0], start[0])
    for (const node of from._nodes) played.add(node)
    const cells = new Map<string, string>(after.length > 0 ? [] : [['(start)', step(null, start)]])
    if (from.status !== 'active') return { situation, state: `${pathOf(from.value)} (final)`, cells }
    for (const [key, event] of Object.entries(events)) cells.set(key, cellOf(from, event))
    return { situation, state: pathOf(from.value), cells }
  })
  const texts = rows.map((row, index) => textOfRow(row, rows.slice(0, index)))
  return { text: [name, ...texts].join('\n'), missing: missingOf(machine.root, played), emitted }
}

/** Shows a variant of a state by the cells in which it differs from the most similar variant above. */
function textOfRow(row: Row, above: readonly Row[]): string {
  const sameState = above.filter(({ state, cells }) => state === row.state && cells.size > 0)
  const differences = (other: Row) => new Map([...row.cells].filter(([event, cell]) => other.cells.get(event) !== cell))
  const [like] = sameState.sort((one, other) => differences(one).size - differences(other).size)
  const shown = like ? differences(like) : row.cells
  const byCell = new Map<string, string[]>()
  for (const [event, cell] of shown) byCell.set(cell, [...(byCell.get(cell) ?? []), event])
  const ignored = [...(byCell.get(IGNORED) ?? []), ...((like && byCell.get(NOT_SENT)) ?? [])]
  byCell.delete(IGNORED)
  byCell.delete(NOT_SENT)
  const lines = [...byCell].map(([cell, list]) => wrapped(`${list.join(', ')} > ${cell}`))
  if (ignored.length > 0) lines.push(wrapped(`${IGNORED} ${ignored.join(', ')}`))
  const title = row.state ? `${row.situation}: ${row.state}` : row.situation
  const likeness = like ? `, as in "${like.situation}"${lines.length > 0 ? ' except' : ''}` : ''
  return [`  ${title}${likeness}`, ...lines].join('\n')
}

/** Wraps text, so that a person can compare it. */
function wrapped(text: string): string {
  return text.replace(/(.{1,100})(?: |$)/g, '\n      $1').replace(/^\n {6}/, '    ')
}

/** Notes the transitions without an event between the small steps of one. */
function passThrough(steps: [AnyMachineSnapshot, unknown][], played: Set<unknown>): void {
  for (const [index, [snapshot]] of steps.entries()) {
    const next = steps[index + 1]?.[0]
    if (!next) return
    for (const { always = [] } of snapshot._nodes as AnyStateNode[])
      played.add(always.find(({ target }) => target?.every((node) => (next._nodes as AnyStateNode[]).includes(node))))
  }
}

/** Returns the states that no situation is in, and the transitions (one for each guard) that no event has taken. */
function missingOf(node: AnyStateNode, played: ReadonlySet<unknown>): string[] {
  const path = node.path.join('.') || '(root)'
  const transitions = [...node.transitions.entries(), ['always', node.always ?? []] as const]
  const unplayed = transitions.flatMap(([event, list]) =>
    list.flatMap((one, index) => (played.has(one) ? [] : [`${path}: ${event}, transition ${index + 1}`])),
  )
  const children: AnyStateNode[] = Object.values(node.states)
  const isPassing = (node.always ?? []).some(({ guard }) => !guard)
  const unreached = children.length > 0 || isPassing || played.has(node) ? [] : [`${path}: the state`]
  return [...unreached, ...unplayed, ...children.flatMap((child) => missingOf(child, played))]
}
