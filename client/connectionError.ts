import { AppError } from '../protocol/errors.ts'
import { withoutControlCharacters } from './text.ts'

/** An error of the connection, with the message of the catalogue. `code` is Node's, such as ECONNREFUSED. */
export function connectionError(error: unknown, where: string): AppError {
  if (error instanceof AppError) return error
  const { code = '', message } = error as { code?: string; message: string }
  if (/^(HPE_|ERR_SSL|ERR_TLS|EPROTO)/.test(code)) return protocolError(where, 'it speaks something else', error)
  if (code === 'ETIMEDOUT') return new AppError('unreachable', { where, why: 'nothing answers there' }, error)
  if (/^(ECONNRESET|EPIPE|ERR_STREAM_PREMATURE_CLOSE)$/.test(code))
    return new AppError('connection_lost', { where }, error)
  return new AppError('unreachable', { where, why: reasons[code] ?? withoutControlCharacters(message) }, error)
}

/** An error of a connection that has begun to answer: whatever broke it, the answer is lost. */
export function brokenAnswer(error: unknown, where: string): AppError {
  const known = connectionError(error, where)
  return known.code === 'unreachable' ? new AppError('connection_lost', { where }, error) : known
}

const reasons: Record<string, string> = {
  ECONNREFUSED: 'nothing listens there',
  EHOSTUNREACH: 'there is no way to that machine',
  ENETUNREACH: 'there is no way to that network',
  ENOTFOUND: 'there is no such name',
  EAI_AGAIN: 'the name cannot be looked up now',
  EACCES: 'this user may not connect to it',
  ENOENT: 'nothing listens there',
}

/** What answers at `where` is not what it should be. */
export function protocolError(where: string, why: string, cause?: unknown): AppError {
  return new AppError('protocol_error', { where, why }, cause)
}
