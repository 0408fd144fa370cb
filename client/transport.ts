/** A fact as it came over a connection. Its shape is the sender's word. */
export interface ReceivedFact {
  type: string
  [key: string]: unknown
}

/** A command as it is sent: `requestId` is chosen by the node where none is given. */
export interface SentCommand {
  type: string
  requestId?: string
  [key: string]: unknown
}

/**
 * How a client reaches a node: over the control socket, over mutual TLS, in the same process. Facts are read one at a
 * time, so that a slow reader holds the sender back. Both methods end what they have begun when `signal` aborts or
 * the iterator is closed, and throw an `AppError` where the answer does not come to its proper end.
 */
export interface Transport {
  /** How messages name the other side. */
  readonly where: string
  /** Sends a command and gives the facts that echo it, the finishing one last, a failed one included. */
  request(command: SentCommand, signal: AbortSignal): AsyncIterable<ReceivedFact>
  /** Everything that happens in the node from now on. Throws `no_node` where a transport has no such stream. */
  events(signal: AbortSignal): AsyncIterable<ReceivedFact>
  /**
   * The protocol versions of the node's greeting. Absent where both sides are one program; undefined where the other
   * side has not answered anything yet.
   */
  versions?(signal: AbortSignal): Promise<readonly number[] | undefined>
}
