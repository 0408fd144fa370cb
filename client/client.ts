import { PROTOCOL_VERSION } from '../protocol/defaults/node.ts'
import { AppError, isFailure, toAppError } from '../protocol/errors.ts'
import { answers } from './answers.ts'
import { protocolError } from './connectionError.ts'
import { receivedError, withoutControlCharacters } from './text.ts'
import type { ReceivedFact, SentCommand, Transport } from './transport.ts'
import type { AnswerOf, CommandInput, CommandType, FactOf, NodeEvent } from './types.ts'

export interface RequestOptions {
  /** Abort to hang up: the node undoes what nobody was told about, and reading throws `abandoned`. */
  signal?: AbortSignal | undefined
}

/**
 * A request that was sent. Iterating gives its facts as they come, the answer last; closing the iterator early hangs
 * up. The facts can be read once: `answer` alone reads and drops them. Both throw the same `AppError`: the node's own
 * failure (after its fact was given), or `unreachable`, `timed_out`, `protocol_error`, `connection_lost`,
 * `other_version`, `abandoned`. The facts have the shape that the node gave them, and their texts are free of control
 * characters. A node drops a reader that lets too much wait.
 */
export interface PendingRequest<T extends CommandType> extends AsyncIterable<FactOf<T>> {
  readonly answer: Promise<AnswerOf<T>>
}

/** A node, as a program asks it. */
export interface Client {
  /** Sends one command at once. Fields that have a default may be left out. */
  request<T extends CommandType>(command: CommandInput<T>, options?: RequestOptions): PendingRequest<T>
  /**
   * Everything that happens in the node from now on, for its owner. Ends when `signal` aborts or the node stops;
   * throws `connection_lost` where the node dies.
   */
  events(options?: RequestOptions): AsyncIterable<NodeEvent>
  /** Ends what is under way with `abandoned`, and refuses what comes later. May be called more than once. */
  close(): void
}

/** How long a node may take to say which protocol versions it speaks, once a request has failed. */
const GREETING_TIMEOUT_MS = 5_000

/** What a node that no longer speaks our protocol may answer with. */
const VERSION_SYMPTOMS: ReadonlySet<string> = new Set(['protocol_error', 'unknown_command', 'bad_request'])

/** A client over `transport`. Nothing is sent before the first request. */
export function connect({ transport }: { transport: Transport }): Client {
  const underWay = new Set<() => void>()
  let closed = false

  /** What the transport gives, until it ends, `outer` aborts, or the client is closed. */
  async function* read(
    open: (signal: AbortSignal) => AsyncIterable<ReceivedFact>,
    outer: AbortSignal | undefined,
  ): AsyncGenerator<ReceivedFact, undefined, undefined> {
    const scope = new AbortController()
    const abort = () => scope.abort()
    if (closed || outer?.aborted) abort()
    outer?.addEventListener('abort', abort)
    underWay.add(abort)
    try {
      if (!scope.signal.aborted) for await (const fact of open(scope.signal)) yield withoutControlCharacters(fact)
    } catch (error) {
      if (!scope.signal.aborted) throw toAppError(error)
    } finally {
      outer?.removeEventListener('abort', abort)
      underWay.delete(abort)
    }
    if (scope.signal.aborted) throw new AppError('abandoned')
  }

  /** The facts of one request; returns its answer. */
  async function* requestFacts(
    command: SentCommand,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<ReceivedFact, ReceivedFact, undefined> {
    try {
      let last: ReceivedFact | undefined
      for await (const fact of read((scope) => transport.request(command, scope), signal)) {
        last = fact
        yield fact
      }
      if (!last) throw protocolError(transport.where, 'it sent an empty answer')
      if (isFailure(last)) throw receivedError(last)
      const expected = (answers as Record<string, string>)[command.type]
      if (expected && last.type !== expected)
        throw protocolError(transport.where, `it ended with ${last.type.slice(0, 64)}`)
      return last
    } catch (error) {
      throw await explained(error as AppError, signal)
    }
  }

  /** A failure that comes from a node without a protocol version in common says just that. */
  async function explained(error: AppError, signal: AbortSignal | undefined): Promise<AppError> {
    if (!transport.versions || !VERSION_SYMPTOMS.has(error.code)) return error
    const deadline = AbortSignal.timeout(GREETING_TIMEOUT_MS)
    const limit = signal ? AbortSignal.any([signal, deadline]) : deadline
    const versions = await transport.versions(limit).catch(() => undefined)
    if (!versions || versions.includes(PROTOCOL_VERSION)) return error
    const details = { where: transport.where, theirs: versions.join(', ') || 'none', ours: PROTOCOL_VERSION }
    return new AppError('other_version', details, error)
  }

  return {
    request: <T extends CommandType>(command: CommandInput<T>, { signal }: RequestOptions = {}) =>
      pendingRequest(requestFacts(command as SentCommand, signal)) as unknown as PendingRequest<T>,
    async *events({ signal } = {}) {
      try {
        for await (const event of read((scope) => transport.events(scope), signal)) yield event as unknown as NodeEvent
      } catch (error) {
        if (!signal?.aborted) throw error
      }
    },
    close() {
      closed = true
      for (const abort of underWay) abort()
    },
  }
}

/** One reader, or none: then `answer` reads. The first fact is asked for at once, which sends the request. */
function pendingRequest(facts: AsyncGenerator<ReceivedFact, ReceivedFact, undefined>) {
  const first = facts.next()
  let taken = false
  let resolve: (answer: ReceivedFact) => void
  let reject: (error: unknown) => void
  const answer = new Promise<ReceivedFact>((...settle) => {
    ;[resolve, reject] = settle
  })
  // Whoever reads the facts receives a failure there.
  for (const promise of [first, answer]) promise.catch(() => {})

  async function* readOnce(): AsyncGenerator<ReceivedFact, undefined, undefined> {
    try {
      let next = await first
      for (; !next.done; next = await facts.next()) yield next.value
      resolve(next.value)
    } catch (error) {
      reject(error)
      throw error
    } finally {
      reject(new AppError('abandoned'))
      await facts.return(undefined as never)
    }
  }
  const take = () => {
    if (taken) throw new TypeError('The facts of a request can be read once')
    taken = true
    return readOnce()
  }
  const drain = async () => {
    for await (const _ of take());
  }
  return {
    [Symbol.asyncIterator]: take,
    get answer() {
      if (!taken) drain().catch(() => {})
      return answer
    },
  }
}
