import type { AnyActorRef } from 'xstate'
import type { ContainerReply, ContainerSummary, Port } from '../../protocol/containerManager.ts'
import type { Caller, ContainerId, Failure } from '../../protocol/ids.ts'
import type { Secret } from '../../protocol/secret.ts'
import type { ContainerImage } from '../image.ts'

/** What a borrower asked for. */
export interface ContainerRequest {
  requestId: string
  caller: Caller
  /** The key line as it came; '' asks for a password. */
  key: string
  ports: number
  udpPorts: number
  gpu: boolean
  /** Name of the image folder. */
  image: string
}

/** What only this container has. The host key's private half goes into the container and is kept nowhere else. */
export interface Credentials {
  /** The container's and its volume's name; the container's has `.pending` after it until the container is complete. */
  containerName: string
  /** The borrower's key line as it is authorised; '' for a password. */
  publicKey: string
  hostKey: { private: Secret; public: string }
}

/** All that a container is created from, chosen before the engine is asked for it. */
export interface ContainerSpec {
  request: ContainerRequest
  credentials: Credentials
  image: ContainerImage
  ports: Port[]
}

/** A container that the engine has. The reply is without a password: no one but the borrower has that. */
export interface CreatedContainer {
  id: ContainerId
  /** Milliseconds since 1970. */
  createdAt: number
  reply: ContainerReply
}

/** A container as a node finds it when it comes to an engine. */
export interface AdoptedContainer extends CreatedContainer {
  containerName: string
  caller: Caller
  requestId: string
  /** False where a node died in the middle of making it. */
  complete: boolean
  running: boolean
}

/** A created container as its lender shows it. The borrower gets its own request id, without what the listener put before it. */
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

/** What the container manager tells a container. */
export type ContainerAccepts =
  /** The same request again: whoever sent it wants the reply. */
  | { type: 'ask' }
  /** Nobody waits for the answer any more. */
  | { type: 'abandon' }
  | { type: 'remove' }
  | { type: 'image.line'; line: string }
  | { type: 'image.ready'; image: ContainerImage }
  | { type: 'image.failed'; failure: Failure }
  /** The engine has it, partly created. */
  | { type: 'engine.created' }
  | { type: 'engine.running' }
  | { type: 'engine.stopped' }
  | { type: 'engine.gone' }

/** What a container tells the container manager; `key` is its id there. */
export type ContainerEmits = { key: string } & (
  | { type: 'child.named'; containerName: string }
  /** `again` where the engine no longer had the image. */
  | { type: 'child.imageRequested'; again: boolean }
  | { type: 'child.progress'; step: 'image' | 'create' | 'start' | 'ssh'; line: string }
  /** `external` where the engine or another hand did it. */
  | { type: 'child.stateChanged'; summary: ContainerSummary; external: boolean }
  | { type: 'child.created'; reply: ContainerReply }
  /** `kept` where the container is complete and only its reply failed. */
  | { type: 'child.createFailed'; failure: Failure; kept: boolean }
  | { type: 'child.removeFailed'; failure: Failure }
  /** No longer exists. `id` where the engine had given one. */
  | { type: 'child.gone'; id: ContainerId | null; external: boolean }
)

/** What the connection to the engine tells the container manager. */
export type LinkEmits =
  /** The engine answers, and these containers of ours are on it. */
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
