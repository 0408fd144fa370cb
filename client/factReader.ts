import type { IncomingMessage } from 'node:http'
import { StringDecoder } from 'node:string_decoder'
import { NDJSON } from '../protocol/control.ts'
import { LINE_MAX_BYTES } from '../protocol/defaults/net.ts'
import { isFailure } from '../protocol/errors.ts'
import { readJson } from '../protocol/json.ts'
import { connectionError, protocolError } from './connectionError.ts'
import { receivedError } from './receivedText.ts'

/** A fact as it came over a connection. Its shape is the sender's word. */
export interface ReceivedFact {
  type: string
  [key: string]: unknown
}

/**
 * Reads an answer of `/api/v1` to its proper end and hands over each fact. Throws the refusal or error that the other
 * side sent, `protocol_error` for what no node sends, `connection_lost` when it is cut off. `onAlive`: something came.
 */
export async function readFacts(
  response: IncomingMessage,
  where: string,
  take: (fact: ReceivedFact) => void,
  onAlive: () => void,
): Promise<void> {
  const isStream = response.statusCode === 200 && response.headers['content-type']?.startsWith(NDJSON)
  let refusal = ''
  const onLine = (line: string) => {
    if (isStream) {
      if (line !== '') take(factIn(line, where))
    } else if (refusal.length < LINE_MAX_BYTES) refusal += line
  }
  try {
    await readLines(response, where, onLine, onAlive)
  } catch (error) {
    // Without a code it is not the connection's: whoever hears the facts threw it.
    throw (error as NodeJS.ErrnoException).code ? connectionError(error as NodeJS.ErrnoException, where) : error
  }
  if (isStream) return
  const { error } = parsed(refusal, where) as { error?: unknown }
  throw isFailure(error) ? receivedError(error) : protocolError(where, `it answered with status ${response.statusCode}`)
}

/** Every whole line of a stream; throws `protocol_error` for one longer than `LINE_MAX_BYTES`, or when the sum is cut off. */
async function readLines(
  source: IncomingMessage,
  where: string,
  onLine: (line: string) => void,
  onAlive: () => void,
): Promise<void> {
  const decoder = new StringDecoder('utf8')
  let rest = ''
  for await (const chunk of source as AsyncIterable<Buffer>) {
    onAlive()
    const lines = (rest + decoder.write(chunk)).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) onLine(line)
    if (rest.length > LINE_MAX_BYTES) throw protocolError(where, 'one of its lines is too long')
  }
  if (rest !== '') onLine(rest)
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
    // Said below: whatever is wrong with it, it is not what a node sends.
  }
  throw protocolError(where, 'it does not send what it should')
}
