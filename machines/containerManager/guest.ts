import type { AnyActorRef } from 'xstate'
import type { ContainerReply, LentContainer, Port } from '../../protocol/containerManager.ts'
import type { Caller, ContainerId, Failure } from '../../protocol/ids.ts'
import type { Secret } from '../../protocol/secret.ts'
import type { GuestImage } from '../image.ts'

/** What a borrower asked for. */
export interface Wish {
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

/** What only this guest has. The host key's private half goes into the guest and is kept nowhere else. */
export interface Prepared {
  /** The container's and its volume's name; the container's has `.making` after it until the guest is whole. */
  slug: string
  /** The borrower's key line as it is authorised; '' for a password. */
  publicKey: string
  hostKey: { private: Secret; public: string }
}

/** All that a guest is made from, chosen before the engine is asked for it. */
export interface Plan {
  wish: Wish
  prepared: Prepared
  image: GuestImage
  ports: Port[]
}

/** A guest that the engine has. The reply is without a password: no one but the borrower has that. */
export interface Made {
  id: ContainerId
  /** Milliseconds since 1970. */
  createdAt: number
  reply: ContainerReply
}

/** A guest as a node finds it when it comes to an engine. */
export interface Found extends Made {
  slug: string
  caller: Caller
  requestId: string
  /** False where a node died in the middle of making it. */
  whole: boolean
  running: boolean
}

/** A made guest as its lender shows it. The borrower gets its own request id, without what the door put before it. */
export function lentOf(
  { id, createdAt, reply }: Made,
  { caller, requestId }: { caller: Caller; requestId: string },
  state: LentContainer['state'],
): LentContainer {
  const own = requestId.startsWith(`${caller} `) ? requestId.slice(caller.length + 1) : requestId
  const { TagName: image, Ports, GPU } = reply
  return { id, borrower: caller, requestId: own, state, image, createdAt, ports: Ports.Port, gpu: GPU === 'true' }
}

export type GuestInput = { key: string; parent: AnyActorRef } & ({ wish: Wish } | { found: Found })

/** What the container manager tells a guest. */
export type GuestHears =
  /** The same request again: it wants its answer. */
  | { type: 'ask' }
  /** Nobody waits for the answer any more. */
  | { type: 'abandon' }
  | { type: 'remove' }
  | { type: 'image.line'; line: string }
  | { type: 'image.ready'; image: GuestImage }
  | { type: 'image.failed'; failure: Failure }
  /** The engine has it, half made. */
  | { type: 'engine.made' }
  | { type: 'engine.running' }
  | { type: 'engine.stopped' }
  | { type: 'engine.gone' }

/** What a guest tells the container manager; `key` is its id there. */
export type GuestSays = { key: string } & (
  | { type: 'guest.planned'; slug: string }
  /** `again` where the engine no longer had the image. */
  | { type: 'guest.needsImage'; again: boolean }
  | { type: 'guest.progress'; step: 'image' | 'create' | 'start' | 'ssh'; line: string }
  /** `unasked` where the engine or another hand did it. */
  | { type: 'guest.changed'; lent: LentContainer; unasked: boolean }
  | { type: 'guest.made'; reply: ContainerReply }
  /** `kept` where the guest is whole and only its answer failed. */
  | { type: 'guest.makeFailed'; failure: Failure; kept: boolean }
  | { type: 'guest.removeFailed'; failure: Failure }
  /** It is no more. `id` where the engine had given one. */
  | { type: 'guest.gone'; id: ContainerId | null; unasked: boolean }
)

/** What the connection to the engine tells the container manager. */
export type LinkSays =
  /** The engine answers, and these guests of ours are on it. */
  | { type: 'link.ready'; version: string; found: Found[] }
  | { type: 'link.lost'; failure: Failure }
  /** A half-made guest has appeared. */
  | { type: 'link.made'; found: Found }
  | { type: 'link.changed'; slug: string; change: 'running' | 'stopped' | 'gone' }

export type LogsSay =
  | { type: 'logs.line'; requestId: string; stream: 'stdout' | 'stderr'; line: string }
  | { type: 'logs.ended'; requestId: string }
  | { type: 'logs.failed'; requestId: string; failure: Failure }

export interface LogsInput {
  requestId: string
  id: ContainerId
  follow: boolean
  tail: number
}
