import type { ContainerManagerCommand } from '../../protocol/containerManager.ts'
import type { Caller, Failure } from '../../protocol/ids.ts'
import type { Requests } from '../requests.ts'
import type { Containers, ManagerRequest, RemovedContainer } from './containers.ts'
import type { ContainerEmits, LinkEmits } from './containerTypes.ts'

export interface ContainerManagerInput {
  maxContainers: number
  /** The name of the image folder that is built in advance, and used if a request names none. */
  defaultImage: string
  /** Whether to connect to the engine and build at once. Otherwise both wait for the first command. */
  background: boolean
}

/** The context of the container manager's chart. */
export interface Context extends ContainerManagerInput {
  /** Why no engine is connected; null while one is, and until its first answer. */
  failure: Failure | null
  /** Attempts to connect since an engine was connected. */
  attempts: number
  requests: Requests<ManagerRequest>
  containers: Containers
  /** The number of the next container, so that each child has a unique id. */
  nextId: number
  /** The container names whose absence from the engine's next list means that they no longer exist. */
  expected: string[]
  removed: readonly RemovedContainer[]
}

export type CommandOf<T extends ContainerManagerCommand['type']> = Extract<ContainerManagerCommand, { type: T }>
export type EmitOf<T extends ContainerEmits['type']> = Extract<ContainerEmits, { type: T }>

export interface RequestId {
  requestId: string
}

/** The container that a command names: an id or id prefix, and the caller that gave it. */
export interface Reference {
  caller: Caller
  id: string
}

export type Create = CommandOf<'container.create'>
export type LinkChange = Extract<LinkEmits, { type: 'link.changed' }>

/** Returns a filter for queued commands with the same type, caller and request id. */
export function queuedAs({ type, caller, requestId }: ContainerManagerCommand): (one: ManagerRequest) => boolean {
  return (one) =>
    one.phase === 'queued' &&
    one.command.type === type &&
    one.command.caller === caller &&
    one.command.requestId === requestId
}

export function inThe(phase: ManagerRequest['phase'], { requestId }: RequestId): (one: ManagerRequest) => boolean {
  return (one) => one.phase === phase && one.requestId === requestId
}
