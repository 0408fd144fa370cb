import type { ActorRefFrom } from 'xstate'
import {
  type ContainerManagerCommand,
  type ContainerManagerEmits,
  type ContainerSummary,
  containerManagerCommands,
} from '../../protocol/containerManager.ts'
import { REMOVED_MAX } from '../../protocol/defaults/containerManager.ts'
import { AppError } from '../../protocol/errors.ts'
import type { Caller, ContainerId, Failure } from '../../protocol/ids.ts'
import type { containerMachine } from '../container.ts'
import type { Requests, Tracked } from '../requests.ts'
import { type AdoptedContainer, type ContainerEmits, summaryOf } from './containerTypes.ts'

/** The container manager's record of one container. */
export interface ContainerEntry {
  ref: ActorRefFrom<typeof containerMachine>
  caller: Caller
  requestId: string
  /** The name of the image folder; '' for a container that was created before this start of the node. */
  image: string
  containerName: string
  summary: ContainerSummary | null
  /** Whether it is being rolled back and its failure has been reported. Nobody can see it any more. */
  failed: boolean
}

export type Containers = Readonly<Record<string, ContainerEntry>>

/** A container that was removed here. It is remembered so that removing it again is not an error. */
export interface RemovedContainer {
  id: ContainerId
  caller: Caller
}

/**
 * A request of the container manager. `queued`: it arrived before the engine's first answer. `creating` and
 * `removing`: that container's child answers it. `reading`: a child reads the log for it.
 */
export type ManagerRequest =
  | (Tracked<'queued'> & { command: ContainerManagerCommand })
  | (Tracked<'creating' | 'removing'> & { container: string })
  | Tracked<'reading'>

/** The part of the container manager's context about containers. */
export interface ContainersState {
  containers: Containers
  removed: readonly RemovedContainer[]
}

/** Returns the fact that a command failed. */
export function failedFact(
  { type, requestId }: Pick<ContainerManagerCommand, 'type' | 'requestId'>,
  { code, message }: Failure,
): ContainerManagerEmits {
  const [, failed] = containerManagerCommands[type].terminalEvents
  return { type: failed, requestId, code, message }
}

/** Returns the containers with one of them changed. A container that no longer exists is not added. */
export function withChanges(containers: Containers, key: string, now: Partial<ContainerEntry>): Containers {
  const container = containers[key]
  return container ? { ...containers, [key]: { ...container, ...now } } : containers
}

/** Returns the record of a new container. */
export function newEntry(
  ref: ContainerEntry['ref'],
  from: Pick<ContainerEntry, 'caller' | 'requestId'> & Partial<ContainerEntry>,
): ContainerEntry {
  return { ref, containerName: '', image: '', summary: null, failed: false, ...from }
}

/**
 * Returns the record of an adopted container before its own machine has emitted anything, for a list requested by
 * then.
 */
export function adoptedEntry(found: AdoptedContainer) {
  const { caller, requestId, containerName, complete, running } = found
  const summary = complete ? summaryOf(found, found, running ? 'running' : 'stopped') : null
  return { caller, requestId, containerName, summary, failed: !complete }
}

/** Whether `to` may see a container: the owner sees all containers, a borrower its own. */
function visible({ caller }: { caller: Caller }, to: Caller): boolean {
  return to === 'owner' || caller === to
}

/** Returns the container that this request created or is creating. */
export function findByRequest(
  containers: Containers,
  caller: Caller,
  requestId: string,
): [string, ContainerEntry] | undefined {
  return Object.entries(containers).find(
    ([, container]) => !container.failed && container.caller === caller && container.requestId === requestId,
  )
}

export function summariesFor(containers: Containers, caller: Caller): ContainerSummary[] {
  return Object.values(containers).flatMap((container) =>
    container.summary && !container.failed && visible(container, caller) ? [container.summary] : [],
  )
}

/**
 * Returns the container or removed container that `reference`, an id or id prefix, denotes for `caller`, or else
 * `not_found` or `ambiguous`.
 */
export function lookUp(
  { containers, removed }: ContainersState,
  caller: Caller,
  reference: string,
): { id: ContainerId; key: string; container: ContainerEntry } | { id: ContainerId; container: null } | AppError {
  const here = Object.entries(containers).flatMap(([key, container]) =>
    container.summary?.id.startsWith(reference) && !container.failed && visible(container, caller)
      ? [{ key, container, id: container.summary.id }]
      : [],
  )
  const [found] = here
  if (found && here.length === 1) return found
  if (found) return ambiguous(reference, here)
  const gone = removed.filter((one) => one.id.startsWith(reference) && visible(one, caller))
  const [last] = gone
  if (last && gone.length === 1) return { id: last.id, container: null }
  if (last) return ambiguous(reference, gone)
  return new AppError('not_found', { kind: 'container', id: reference })
}

function ambiguous(id: string, matches: readonly { id: string }[]): AppError {
  return new AppError('ambiguous', {
    kind: 'container',
    id,
    matches: matches.map((one) => one.id.slice(0, 12)).join(', '),
  })
}

/** Returns the requests that this container answers, in order of arrival. */
export function requestsOf(
  requests: Requests<ManagerRequest>,
  phase: 'creating' | 'removing',
  container: string,
): ManagerRequest[] {
  return requests.filter((one) => one.phase === phase && one.container === container)
}

/**
 * Returns the facts to publish when a container no longer exists. A container without an id of the engine was never
 * published.
 */
export function factsOfGone(
  requests: Requests<ManagerRequest>,
  { key, id, external }: Extract<ContainerEmits, { type: 'child.gone' }>,
): ContainerManagerEmits[] {
  if (!id) return []
  // A repeated create request waited for its reply while it was being removed.
  const lost = new AppError('not_found', { kind: 'container', id })
  return [
    ...requestsOf(requests, 'creating', key).map(({ requestId }) =>
      failedFact({ type: 'container.create', requestId }, lost),
    ),
    ...requestsOf(requests, 'removing', key).map(({ requestId }) => ({
      type: 'container.removed' as const,
      requestId,
      id,
    })),
    ...(external ? [{ type: 'container.changed' as const, id, state: 'gone' as const }] : []),
  ]
}

/** Returns the containers without one that no longer exists. It is remembered as removed if its borrower knew of it. */
export function withoutGone(
  { containers, removed }: ContainersState,
  { key, id }: Extract<ContainerEmits, { type: 'child.gone' }>,
): ContainersState {
  const { [key]: gone, ...others } = containers
  if (!gone || !id || gone.failed) return { containers: others, removed }
  return { containers: others, removed: [{ id, caller: gone.caller }, ...removed].slice(0, REMOVED_MAX) }
}
