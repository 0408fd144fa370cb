import type { AnyActorRef, AnyEventObject, AnyMachineSnapshot } from 'xstate'
import type { Requests, Tracked } from '../../machines/requests.ts'

/** The actions of a step, as xstate returns them. */
export type Actions = readonly { type: string; params?: unknown }[]

interface Sent {
  event: AnyEventObject
  to?: AnyActorRef
  targetId?: string
}

/** Returns the facts that a step emits. */
export function emitsOf(actions: Actions): AnyEventObject[] {
  return actions.filter(({ type }) => type === 'xstate.emit').map(({ params }) => (params as Sent).event)
}

/** Describes one step: the next state, the children, the events that left the machine, and what it remembers. */
export function describeStep(from: AnyMachineSnapshot | null, next: AnyMachineSnapshot, actions: Actions): string {
  const parts: string[] = []
  const [before, now] = [childrenOf(from), childrenOf(next)]
  if (from && pathOf(next.value) !== pathOf(from.value)) parts.push(pathOf(next.value))
  for (const child of before.filter((one) => !now.includes(one))) parts.push(`stops ${nameOf(child)}`)
  for (const child of now.filter((one) => !before.includes(one))) parts.push(`starts ${nameOf(child)}`)
  for (const { type, params } of actions) {
    const { event, to, targetId } = (params ?? {}) as Partial<Sent>
    if (type === 'xstate.emit') parts.push(`emits ${textOf(event)}`)
    if (type === 'xstate.sendTo') parts.push(`tells ${to?.id ?? targetId} ${textOf(event)}`)
  }
  return [...parts, ...(from ? changesOf(from.context, next.context) : [])].join('; ') || 'nothing'
}

/** Returns the requests, where they have changed, and the names of what else has. */
function changesOf(before: AnyMachineSnapshot['context'], now: AnyMachineSnapshot['context']): string[] {
  const changed = Object.keys(now).filter((key) => key !== 'requests' && now[key] !== before[key])
  return [
    ...(requestsOf(before.requests) === requestsOf(now.requests) ? [] : [`requests [${requestsOf(now.requests)}]`]),
    ...(changed.length > 0 ? [`sets ${changed.join(' ')}`] : []),
  ]
}

function childrenOf(snapshot: AnyMachineSnapshot | null): AnyActorRef[] {
  return Object.values((snapshot?.children ?? {}) as Record<string, AnyActorRef | undefined>).flatMap(
    (one) => one ?? [],
  )
}

/** Names a child by what it runs, and by its id where the machine gives it one. */
function nameOf({ id, src }: AnyActorRef): string {
  if (typeof src !== 'string' || src === id) return id
  return /^\d+\./.test(id) ? src : `${src} (${id})`
}

/** Returns the type of an event and what tells its variants apart. */
function textOf(event: unknown): string {
  if (typeof event !== 'object' || event === null) return ''
  const {
    type,
    requestId,
    code,
    state,
    summary,
    failure,
    fact,
    event: inner,
    fields,
    message,
  } = event as AnyEventObject
  const flags = Object.entries(event).filter(([, value]) => value === true)
  const also = [requestId, message?.kind, code, state ?? summary?.state, failure?.code, textOf(fact), textOf(inner)]
  const names = [...(fields ? Object.keys(fields) : []), ...flags.map(([key]) => key)]
  return [type, ...also, ...names].filter((part) => typeof part === 'string' && part !== '').join(' ')
}

function requestsOf(requests: Requests<Tracked> | undefined): string {
  const text = ({ requestId, phase, waiters }: Tracked) => `${requestId} ${phase}${waiters === 1 ? '' : ` ×${waiters}`}`
  return (requests ?? []).map(text).join(', ')
}

/** Returns the path of a state; those of parallel ones are joined. */
export function pathOf(value: AnyMachineSnapshot['value']): string {
  if (typeof value === 'string') return value
  const paths = Object.entries(value).map(([key, below]) => (below ? `${key}.${pathOf(below)}` : key))
  return paths.join(' | ')
}
