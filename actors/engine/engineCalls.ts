import { Agent, type ClientRequest, type IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { setTimeout as pause } from 'node:timers/promises'
import { inspect } from 'node:util'
import { AppError } from '../../protocol/errors.ts'
import { lineSplitter } from '../lines.ts'

/** Longest interval between two polls of a container or volume that is being removed. */
const REMOVAL_POLL_MS = 50
const REMOVAL_POLLS = 200

/** A keep-alive agent. It makes the client notice a connection that breaks within a response, for which it would wait forever. */
export class EngineAgent extends Agent {
  constructor() {
    super({ keepAlive: true, keepAliveMsecs: 30_000 })
  }

  /** Node calls this method for every request, but does not document it. */
  addRequest(request: ClientRequest, options: object): void {
    request.once('response', (response: IncomingMessage) =>
      response.once('close', () => {
        if (!response.complete) request.emit('error', connectionLost('it closed the connection within a response'))
      }),
    )
    const { addRequest } = Agent.prototype as unknown as EngineAgent
    addRequest.call(this, request, options)
  }

  /** The client formats the options of each request for a debug log; formatting all sockets of the agent would take milliseconds. */
  [inspect.custom](): string {
    return 'EngineAgent'
  }
}

/** An error of the client. It has a status code if the engine refused, and none if the engine could not be reached. */
export interface ResponseError extends Error {
  statusCode?: number
  json?: { message?: string }
}

/** Runs an engine call and converts its errors to an `AppError`. `classify` may return a narrower one for the engine's message. */
export async function call<T>(
  work: () => Promise<T>,
  classify: (why: string) => AppError | false = () => false,
): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof AppError) throw error
    const { statusCode, json, message } = error as ResponseError
    if (statusCode === undefined) throw engineMissing(error as ResponseError)
    const why = (json?.message ?? message).trim()
    throw classify(why) || new AppError('engine_failed', { why }, error)
  }
}

/** An error as that of a socket which the engine has closed. */
export function connectionLost(message: string): Error {
  return Object.assign(new Error(message), { code: 'ECONNRESET' })
}

/** What to do differs: the engine may be absent, closed to this user, or have been there a moment ago. */
function engineMissing(error: NodeJS.ErrnoException): AppError {
  const { code = '', message } = error
  const kind = code === 'EACCES' ? 'forbidden' : /^(ECONNRESET|EPIPE)$/.test(code) ? 'lost' : 'absent'
  return new AppError('engine_missing', { why: message, kind }, error)
}

export async function exists(operation: () => Promise<unknown>): Promise<boolean> {
  try {
    await operation()
    return true
  } catch (error) {
    if ((error as ResponseError).statusCode === 404) return false
    throw error
  }
}

/** Repeats a removal while the engine answers 409: another removal is in progress, or a volume's container still exists. */
export function retryRemoval(remove: () => Promise<unknown>): Promise<void> {
  return call(async () => {
    for (let polls = 1; ; polls += 1) {
      try {
        await exists(remove)
        return
      } catch (error) {
        if ((error as ResponseError).statusCode !== 409 || polls === REMOVAL_POLLS) throw error
      }
      await pause(REMOVAL_POLL_MS)
    }
  })
}

/** Passes on the lines of a build or pull. Rejects with the error among them, because the status was already 200. */
export async function followBuild(stream: NodeJS.ReadableStream, onLine: (line: string) => void, signal: AbortSignal) {
  let responseError: ResponseError | undefined
  await readJson<BuildLine>(stream as Readable, signal, ({ stream: text, status, id, error }) => {
    if (error) responseError = Object.assign(new Error(error), { statusCode: 500 })
    const line = (text ?? (status && (id ? `${id}: ${status}` : status)) ?? error ?? '').trimEnd()
    for (const part of line.split(/[\r\n]+/)) if (part.trim()) onLine(part)
  })
  if (signal.aborted) throw signal.reason
  if (responseError) throw responseError
}

interface BuildLine {
  stream?: string
  status?: string
  id?: string
  error?: string
}

export async function readJson<T>(stream: Readable, signal: AbortSignal, onValue: (value: T) => void): Promise<void> {
  const splitter = lineSplitter((line) => line && onValue(JSON.parse(line) as T), Number.POSITIVE_INFINITY)
  stream.on('data', (chunk: Buffer) => {
    try {
      splitter.write(chunk)
    } catch (error) {
      // An exception here would end the process.
      stream.destroy(error as Error)
    }
  })
  await untilClosed(stream, signal)
  splitter.end()
}

/** Resolves when a stream has ended or `signal` has aborted; rejects if the connection breaks. */
export async function untilClosed(stream: Readable, signal: AbortSignal): Promise<void> {
  try {
    await finished(stream, { signal })
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    stream.destroy()
  }
}
