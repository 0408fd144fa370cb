import type { AnyActorRef } from 'xstate'
import type { Port } from '../../protocol/containerManager.ts'
import type { Caller, Failure } from '../../protocol/ids.ts'
import type { ContainerImage } from '../image.ts'
import type {
  ContainerEmits,
  ContainerInput,
  ContainerRequest,
  CreatedContainer,
  Credentials,
} from './containerTypes.ts'

/** The context of one container's chart, and its initial value. */

export interface ContainerContext {
  key: string
  parent: AnyActorRef
  caller: Caller
  requestId: string
  origin: 'requested' | 'partial' | 'running' | 'stopped'
  containerName: string
  request: ContainerRequest | null
  credentials: Credentials | null
  image: ContainerImage | null
  ports: Port[]
  created: CreatedContainer | null
  portAttempts: number
  imageAttempts: number
  /** Whether the engine or another program removed it. */
  external: boolean
  /**
   * Why the container is being rolled back; null for one that was found partly created, and after the failure was
   * reported.
   */
  failure: Failure | null
}

export type ContainerEventBody = ContainerEmits extends infer Variant
  ? Variant extends ContainerEmits
    ? Omit<Variant, 'key'>
    : never
  : never

function requestKey({ caller, requestId }: { caller: Caller; requestId: string }) {
  return { caller, requestId }
}

/** Returns the initial context: empty for a requested container, and from the engine's data for an adopted one. */
export function initialContext(input: ContainerInput): ContainerContext {
  const attempts = { portAttempts: 0, imageAttempts: 0 }
  const fresh = { credentials: null, image: null, ports: [], ...attempts, external: false, failure: null }
  const { key, parent } = input
  if ('request' in input) {
    const { request } = input
    return {
      key,
      parent,
      ...fresh,
      origin: 'requested',
      ...requestKey(request),
      containerName: '',
      request,
      created: null,
    }
  }
  const { containerName, complete, running } = input.adopted
  const origin = complete ? (running ? 'running' : 'stopped') : 'partial'
  return {
    key,
    parent,
    ...fresh,
    origin,
    ...requestKey(input.adopted),
    containerName,
    request: null,
    created: input.adopted,
  }
}
