import { NDJSON } from '../protocol/control.ts'
import { LINE_MAX_BYTES } from '../protocol/defaults/net.ts'
import { type AppError, isFailure } from '../protocol/errors.ts'
import { readJson } from '../protocol/json.ts'
import { brokenAnswer, protocolError } from './connectionError.ts'
import { receivedError } from './text.ts'
import type { ReceivedFact } from './transport.ts'

/** The head of an HTTP answer and its bytes as they come, in the shape that `fetch` gives them too. */
export interface HttpResponse {
  status: number
  contentType: string
  /** Ends where the answer ends; throws where the connection was cut off before. */
  body: AsyncIterable<Uint8Array>
}

/**
 * The facts of an answer of `/api/v1`, to its proper end. Throws the refusal or the error that the other side sent,
 * `protocol_error` for what no node sends, and `connection_lost` when it is cut off.
 */
export async function* readFacts(
  response: HttpResponse,
  where: string,
): AsyncGenerator<ReceivedFact, undefined, undefined> {
  if (response.status !== 200 || !response.contentType.startsWith(NDJSON)) throw await refusalIn(response, where)
  for await (const line of readLines(response.body, where)) if (line !== '') yield factIn(line, where)
}

/** Every whole line of a stream; throws `protocol_error` for one longer than `LINE_MAX_BYTES`. */
async function* readLines(body: AsyncIterable<Uint8Array>, where: string): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ''
  try {
    for await (const chunk of body) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
      rest = lines.pop() ?? ''
      yield* lines
      if (rest.length > LINE_MAX_BYTES) throw protocolError(where, 'one of its lines is too long')
    }
  } catch (error) {
    throw brokenAnswer(error, where)
  }
  if (rest !== '') yield rest
}

/** Why a request was refused before it began, as the answer says it. */
async function refusalIn({ status, body }: HttpResponse, where: string): Promise<AppError> {
  let text = ''
  for await (const line of readLines(body, where)) if (text.length < LINE_MAX_BYTES) text += line
  const { error } = parsed(text, where) as { error?: unknown }
  return isFailure(error) ? receivedError(error) : protocolError(where, `it answered with status ${status}`)
}

function factIn(line: string, where: string): ReceivedFact {
  if (line.length > LINE_MAX_BYTES) throw protocolError(where, 'one of its lines is too long')
  const fact = parsed(line, where) as { type?: unknown; error?: unknown }
  if (isFailure(fact.error)) throw receivedError(fact.error)
  if (typeof fact.type !== 'string') throw protocolError(where, 'one of its lines is not a fact')
  return fact as ReceivedFact
}

function parsed(text: string, where: string): object {
  try {
    const value = readJson(text)
    if (typeof value === 'object' && value !== null) return value
  } catch {
    // Thrown below: whatever is wrong with it, it is not what a node sends.
  }
  throw protocolError(where, 'it does not send what it should')
}
