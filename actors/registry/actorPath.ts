/** What the registry reads of a snapshot, whatever made it. Only a machine's has `machine`, `value` and `context`. */
export interface SnapshotView {
  status: string
  machine?: { root: { meta?: { view?: (context: unknown) => unknown } } }
  value?: unknown
  context?: unknown
  children?: Record<string, ActorRefView | undefined>
  input?: unknown
}

/** What the registry reads of an actor, beyond what xstate's types for inspection say. */
export interface ActorRefView {
  sessionId: string
  id: string
  logic?: { id?: unknown }
  /** The name under which the parent's machine has the logic. */
  src?: unknown
  _parent?: ActorRefView | undefined
  getSnapshot(): SnapshotView
}

/** An actor under its concern: `parent/child`, and `containerManager/container 7/ssh` for a child of a child. */
export function actorPath(actor: ActorRefView): string {
  return actor._parent ? `${actorPath(actor._parent)}/${actor.id}` : concernOf(actor)
}

/** The name of the root's machine, which is the concern's; an actor made without one has only a number. */
export function concernOf(actor: ActorRefView): string {
  let root = actor
  while (root._parent) root = root._parent
  const name = root.logic?.id
  return typeof name === 'string' ? name : root.id
}

export function isActorRef(value: object): boolean {
  const { sessionId, getSnapshot } = value as Partial<ActorRefView>
  return typeof sessionId === 'string' && typeof getSnapshot === 'function'
}

/** A state as text: `a.b` for one inside another, `a|b` for parallel ones, the status of what has no states or has ended. */
export function stateText({ status, value }: Pick<SnapshotView, 'status' | 'value'>): string {
  return (status === 'active' && valueText(value)) || status
}

function valueText(value: unknown): string {
  if (typeof value !== 'object' || value === null) return String(value ?? '')
  return Object.entries(value)
    .map(([key, inner]) => {
      const text = valueText(inner)
      return text === '' ? key : `${key}.${text}`
    })
    .join('|')
}
