import { catalogue, type ErrorKind } from './errorKinds.ts'
import type { Failure } from './ids.ts'

export { exitCodes } from './errorKinds.ts'

export type ErrorCode = keyof typeof catalogue

/** The catalogue as data, for the documentation and the test of it. */
export const errorKinds: Readonly<Record<ErrorCode, ErrorKind>> = catalogue

/**
 * An error from the catalogue. `message` is the text for the user: what happened and why, then what to do. A detail
 * `todo` replaces the catalogue's text about what to do.
 */
export class AppError extends Error implements Failure {
  readonly code: ErrorCode
  /** What happened and why, without the advice on what to do. */
  what: string

  constructor(code: ErrorCode, details: Record<string, string | number> = {}, cause?: unknown) {
    const { what: usualWhat, whatFor = {}, todo: usual, todoFor = {} } = errorKinds[code]
    const kind = String(details.kind ?? '')
    const what = String(Object.hasOwn(whatFor, kind) ? whatFor[kind] : usualWhat)
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

/**
 * Converts any thrown value to a failure that can be published or sent. An error outside the catalogue becomes
 * `internal`.
 */
export function toFailure(error: unknown): Failure {
  return toAppError(error).toJSON()
}

/**
 * Converts any thrown value to an `AppError`. A failure that another node sent keeps its message, and its code if
 * known.
 */
export function toAppError(error: unknown): AppError {
  if (error instanceof AppError) return error
  if (isFailure(error)) return fromFailure(error)
  return new AppError('internal', { why: error instanceof Error ? error.message : String(error) }, error)
}

/**
 * Converts a failure that another node or process reported. It keeps its message; an unknown code becomes `internal`.
 */
export function fromFailure({ code, message }: Failure): AppError {
  const error = new AppError(isKnown(code) ? code : 'internal', { why: message })
  error.message = message
  error.what = message
  return error
}

/** Splits the message of a failure into what happened and what to do, which is empty where the catalogue says something else. */
export function splitFailure({ code, message }: Failure): { what: string; todo: string } {
  const [todo] = isKnown(code) ? catalogue[code].todo.split('{') : []
  const end = todo ? message.lastIndexOf(`. ${todo}`) : -1
  return end < 0 ? { what: message, todo: '' } : { what: message.slice(0, end), todo: message.slice(end + 2) }
}

/** Whether a fact or a body reports a failure. */
export function isFailure(value: unknown): value is Failure {
  const candidate = value as Failure | null
  return typeof candidate === 'object' && typeof candidate?.code === 'string' && typeof candidate.message === 'string'
}

/** The exit code for a failure's code; 1 for a code that this version does not know. */
export function exitCodeOf(code: string): number {
  return isKnown(code) ? catalogue[code].exit : 1
}

/** The HTTP status for a failure's code; 500 for a code that this version does not know. */
export function statusOf(code: string): number {
  return isKnown(code) ? catalogue[code].status : 500
}

/** Looks at own properties only, because a peer may send a code such as `constructor`. */
function isKnown(code: string): code is ErrorCode {
  return Object.hasOwn(catalogue, code)
}

function fill(text: string, details: Record<string, string | number>): string {
  return text.replace(/\{(\w+)\}/g, (_, name: string) => String(details[name] ?? '?'))
}
