import type { NodeId } from '../../../protocol/ids.ts'

/** A stream of a client that is relayed blindly to the one of another client. */
export interface RelayedStream {
  /** Counts up in one life of the process. */
  serial: number
  client: NodeId
  /** The address from which it comes, as `host:port`. */
  from: string
  /** Bytes in both directions so far. */
  bytes: number
}

/** What the process is told at its start. The seed of the node key goes through the pipe, so that no list of processes shows it. */
export interface DhtStart {
  type: 'start'
  /** The public IPv4 address of this machine, as peers see it. */
  host: string
  /** The address to bind. */
  bind: string
  /** The first UDP port that is tried. */
  port: number
  /** Base64 of the 32 bytes. */
  seed: string
}

/** From the node to the process that runs the DHT. */
export type ToDht =
  | DhtStart
  /** The answer to `authorize` and `take`. */
  | { type: 'answer'; serial: number; granted: boolean }
  /** Ends the streams of a client. */
  | { type: 'close'; client: NodeId }

/** From the process to the node. */
export type FromDht =
  | { type: 'ready'; port: number }
  /** hyperdht does not load. */
  | { type: 'missing'; why: string }
  | { type: 'failed'; why: string }
  /** Whether a client may be relayed. */
  | { type: 'authorize'; serial: number; client: NodeId }
  /** A client has opened a stream: whether it may have one more. It is counted until `released`. */
  | { type: 'take'; serial: number; client: NodeId; from: string }
  | { type: 'released'; serial: number }
  /** The bytes of streams that have transferred any since the last message. */
  | { type: 'transferred'; streams: readonly Pick<RelayedStream, 'serial' | 'bytes'>[] }
