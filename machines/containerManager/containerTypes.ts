import type { AnyActorRef } from 'xstate'
import type { ContainerReply, ContainerSummary, Port } from '../../protocol/containerManager.ts'
import type { Caller, ContainerId, Failure } from '../../protocol/ids.ts'
import type { Secret } from '../../protocol/secret.ts'
import type { ContainerImage } from '../image.ts'

/** The container that a borrower requested. */
export interface ContainerRequest {
  requestId: string
  caller: Caller
  /** The key line as it was received; '' requests a password. */
  key: string
  ports: number
  udpPorts: number
  gpu: boolean
  /** The name of the image folder. */
  image: string
}

/**
 * The secrets and names of one container. The private host key is written into the container and stored nowhere else.
 */
export interface Credentials {
  /** The name of the container and its volume. The container's name has the suffix `.pending` until it is complete. */
  containerName: string
  /** The borrower's key line as it is authorized; '' for a password. */
  publicKey: string
  hostKey: { private: Secret; public: string }
  /** The size of the borrower's RSA key, if it is smaller than others are accepted. */
  weakKeyBits?: number
}

/** Everything that a container is created from, decided before the engine is called. */
export interface ContainerSpec {
  request: ContainerRequest
  credentials: Credentials
  image: ContainerImage
  ports: Port[]
}

/** A container that exists in the engine. The reply has no password, which only the borrower keeps. */
export interface CreatedContainer {
  id: ContainerId
  /** Milliseconds since 1970. */
  createdAt: number
  reply: ContainerReply
}

/** A container that a node finds when it connects to an engine. */
export interface AdoptedContainer extends CreatedContainer {
  containerName: string
  caller: Caller
  requestId: string
  /** False if a node died while it created the container. */
  complete: boolean
  running: boolean
}

/**
 * Returns a created container as its lender shows it. The request id is the borrower's own, without the listener's
 * prefix.
 */
export function summaryOf(
  { id, createdAt, reply }: CreatedContainer,
  { caller, requestId }: { caller: Caller; requestId: string },
  state: ContainerSummary['state'],
): ContainerSummary {
  const own = requestId.startsWith(`${caller} `) ? requestId.slice(caller.length + 1) : requestId
  const { TagName: image, Ports, GPU } = reply
  return { id, borrower: caller, requestId: own, state, image, createdAt, ports: Ports.Port, gpu: GPU === 'true' }
}

export type ContainerInput = { key: string; parent: AnyActorRef } & (
  | { request: ContainerRequest }
  | { adopted: AdoptedContainer }
)

/** The events that a container accepts from the container manager. */
export type ContainerAccepts =
  /** The same request arrived again, so the reply is emitted again. */
  | { type: 'request' }
  /** Nobody waits for the reply any more. */
  | { type: 'abandon' }
  | { type: 'remove' }
  | { type: 'image.line'; line: string }
  | { type: 'image.ready'; image: ContainerImage }
  | { type: 'image.failed'; failure: Failure }
  /** The container exists in the engine, partly created. */
  | { type: 'engine.created' }
  | { type: 'engine.running' }
  | { type: 'engine.stopped' }
  | { type: 'engine.gone' }

/** The events that a container emits to the container manager; `key` is its id there. */
export type ContainerEmits = { key: string } & (
  | { type: 'child.named'; containerName: string; weakKeyBits: number | undefined }
  /** `again` if the engine no longer had the image. */
  | { type: 'child.imageRequested'; again: boolean }
  | { type: 'child.progress'; step: 'image' | 'create' | 'start' | 'ssh'; line: string }
  /** `external` if the engine or another program caused the change. */
  | { type: 'child.stateChanged'; summary: ContainerSummary; external: boolean }
  | { type: 'child.created'; reply: ContainerReply }
  /** `kept` if the container is complete and only its reply failed. */
  | { type: 'child.createFailed'; failure: Failure; kept: boolean }
  | { type: 'child.removeFailed'; failure: Failure }
  /** The container no longer exists. `id` is null if the engine had not assigned one. */
  | { type: 'child.gone'; id: ContainerId | null; external: boolean }
)

/** The events that the connection to the engine emits to the container manager. */
export type LinkEmits =
  /** The engine answers, and has these containers of this node. */
  | { type: 'link.ready'; version: string; found: AdoptedContainer[] }
  | { type: 'link.lost'; failure: Failure }
  /** A partly created container has appeared. */
  | { type: 'link.created'; found: AdoptedContainer }
  | { type: 'link.changed'; containerName: string; change: 'running' | 'stopped' | 'gone' }

export type LogsEmits =
  | { type: 'logs.line'; requestId: string; stream: 'stdout' | 'stderr'; line: string }
  | { type: 'logs.ended'; requestId: string }
  | { type: 'logs.failed'; requestId: string; failure: Failure }

export interface LogsInput {
  requestId: string
  id: ContainerId
  follow: boolean
  tail: number
}
