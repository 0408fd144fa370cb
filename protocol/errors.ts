import { catalogue, type ErrorKind } from './errorKinds.ts'
import type { Failure } from './ids.ts'

export { exitCodes } from './errorKinds.ts'

export type ErrorCode = keyof typeof catalogue

/** The catalogue as data, for the documentation and its test. */
export const errorKinds: Readonly<Record<ErrorCode, ErrorKind>> = catalogue

/**
 * An error from the catalogue. `message` is what happened and why, then what to do, ready to show. A detail `todo` says
 * what to do in place of the catalogue.
 */
export class AppError extends Error implements Failure {
  readonly code: ErrorCode
  /** What happened and why, without what to do about it. */
  what: string

  constructor(code: ErrorCode, details: Record<string, string | number> = {}, cause?: unknown) {
    const { what, todo: usual, todoFor = {} } = errorKinds[code]
    const kind = String(details.kind ?? '')
    const todo = String(details.todo ?? (Object.hasOwn(todoFor, kind) ? todoFor[kind] : usual))
    const text = fill(what, details).replace(/[.:\s]+$/, '')
    super(todo ? `${text}. ${fill(todo, details)}` : text, cause === undefined ? undefined : { cause })
    this.name = 'AppError'
    this.code = code
    this.what = text
  }

  get status(): number {
    return catalogue[this.code].status
  }

  get exit(): number {
    return catalogue[this.code].exit
  }

  toJSON(): Failure {
    return { code: this.code, message: this.message }
  }
}

/** Any thrown value as a failure to publish or send; what is not from the catalogue becomes `internal`. */
export function toFailure(error: unknown): Failure {
  return toAppError(error).toJSON()
}

/** Any thrown value as an `AppError`. Failures that came over the wire with a code of ours keep code and message. */
export function toAppError(error: unknown): AppError {
  if (error instanceof AppError) return error
  if (isFailure(error)) return fromFailure(error)
  return new AppError('internal', { why: error instanceof Error ? error.message : String(error) }, error)
}

/** A failure that another node or process reported, with its own words. An unknown code becomes `internal`. */
export function fromFailure({ code, message }: Failure): AppError {
  const error = new AppError(isKnown(code) ? code : 'internal', { why: message })
  error.message = message
  error.what = message
  return error
}

/** Whether a fact or body says that something failed. */
export function isFailure(value: unknown): value is Failure {
  const candidate = value as Failure | null
  return typeof candidate === 'object' && typeof candidate?.code === 'string' && typeof candidate.message === 'string'
}

/** Exit code for a failure's code; 1 for a code that this version does not know. */
export function exitCodeOf(code: string): number {
  return isKnown(code) ? catalogue[code].exit : 1
}

/** HTTP status for a failure's code; 500 for a code that this version does not know. */
export function statusOf(code: string): number {
  return isKnown(code) ? catalogue[code].status : 500
}

/** What a peer sends may be called `constructor`. */
function isKnown(code: string): code is ErrorCode {
  return Object.hasOwn(catalogue, code)
}

function fill(text: string, details: Record<string, string | number>): string {
  return text.replace(/\{(\w+)\}/g, (_, name: string) => String(details[name] ?? '?'))
}
