import { Agent, type ClientRequest, type IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { setTimeout as pause } from 'node:timers/promises'
import { inspect } from 'node:util'
import { AppError } from '../../protocol/errors.ts'
import { lineSplitter } from '../lines.ts'

/** Longest pause between two polls for whether a container or volume in removal is gone. */
const REMOVAL_POLL_MS = 50
const REMOVAL_POLLS = 200

/** Keeps connections open, and makes the client notice one that is cut in the middle of an answer: it would wait for ever. */
export class EngineAgent extends Agent {
  constructor() {
    super({ keepAlive: true, keepAliveMsecs: 30_000 })
  }

  /** Node calls this for every request; it has no public name for it. */
  addRequest(request: ClientRequest, options: object): void {
    request.once('response', (response: IncomingMessage) =>
      response.once('close', () => {
        if (!response.complete) request.emit('error', new Error('it closed the connection in the middle of an answer'))
      }),
    )
    const { addRequest } = Agent.prototype as unknown as EngineAgent
    addRequest.call(this, request, options)
  }

  /** The client prints each request's options for a debugger that is not there; all sockets in it would cost milliseconds. */
  [inspect.custom](): string {
    return 'EngineAgent'
  }
}

/** How the client rejects: with a status where the engine refused, without where it could not be asked. */
export interface ResponseError extends Error {
  statusCode?: number
  json?: { message?: string }
}

/** Runs engine calls and turns what goes wrong into an `AppError`; `classify` may know a narrower one for a refusal's words. */
export async function call<T>(
  work: () => Promise<T>,
  classify: (why: string) => AppError | false = () => false,
): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof AppError) throw error
    const { statusCode, json, message } = error as ResponseError
    if (statusCode === undefined) throw new AppError('engine_missing', { why: message }, error)
    const why = (json?.message ?? message).trim()
    throw classify(why) || new AppError('engine_failed', { why }, error)
  }
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

/** A removal that another one has begun, or a volume whose container is still going, answers 409 until it is done. */
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

/** Passes on a build's or pull's lines, and rejects with the error that is among them: its status has long been 200. */
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
      // Thrown here it would end the process.
      stream.destroy(error as Error)
    }
  })
  await untilClosed(stream, signal)
  splitter.end()
}

/** Resolves when a stream has ended or `signal` ended it; rejects when the connection broke. */
export async function untilClosed(stream: Readable, signal: AbortSignal): Promise<void> {
  try {
    await finished(stream, { signal })
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    stream.destroy()
  }
}
