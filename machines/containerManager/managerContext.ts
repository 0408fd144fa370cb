import type { ContainerManagerCommand } from '../../protocol/containerManager.ts'
import type { Caller, Failure } from '../../protocol/ids.ts'
import type { Requests } from '../requests.ts'
import type { Containers, ManagerRequest, RemovedContainer } from './containers.ts'
import type { ContainerEmits, LinkEmits } from './containerTypes.ts'

export interface ContainerManagerInput {
  maxContainers: number
  /** Name of the image folder that is built ahead of need, and used where none is named. */
  defaultImage: string
  /** Look after the engine at once and build ahead of need; else only when something is asked. */
  background: boolean
}

/** What the chart of the container manager remembers. */
export interface Context extends ContainerManagerInput {
  /** Why there is no engine; null while there is one, and until the first answer. */
  failure: Failure | null
  requests: Requests<ManagerRequest>
  containers: Containers
  /** Number of the next container, so that each child gets an id of its own. */
  nextId: number
  /** Names whose absence in the engine's next list means that they are gone. */
  expected: string[]
  removed: readonly RemovedContainer[]
}

export type CommandOf<T extends ContainerManagerCommand['type']> = Extract<ContainerManagerCommand, { type: T }>
export type EmitOf<T extends ContainerEmits['type']> = Extract<ContainerEmits, { type: T }>

export interface RequestId {
  requestId: string
}

/** Which container a command means: the id or the beginning of one, as its caller gave it. */
export interface Reference {
  caller: Caller
  id: string
}

export type Create = CommandOf<'container.create'>
export type LinkChange = Extract<LinkEmits, { type: 'link.changed' }>

/** A queued command is the same where type, caller and request id are. */
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
