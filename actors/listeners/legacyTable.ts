import { Readable } from 'node:stream'
import type { ReadableStream as WebStream } from 'node:stream/web'
import multipart from '@fastify/multipart'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Bus } from '../../protocol/bus.ts'
import { BODY_MAX_BYTES, TABLE_RATE } from '../../protocol/defaults/listeners.ts'
import { AppError, toAppError } from '../../protocol/errors.ts'
import type { BusEvent } from '../../protocol/index.ts'
import { checked, tableQuery } from '../../protocol/wire/http.ts'
import { acceptTable, publicTable } from '../ipTable/publicExchange.ts'
import type { Principal } from './principal.ts'
import { createRateLimit } from './rateLimit.ts'

export interface TableRouteOptions {
  bus: Bus<BusEvent>
  principalOf: (request: FastifyRequest) => Principal
}

const JSON_TYPE = 'application/json; charset=utf-8'

/**
 * Adds P2PRC's `POST /IpTable`. The request has a table in a multipart part named `json` (Go sends a file, but a form
 * field is accepted too), and the response is this node's table. The route has its own scope, because no other route
 * reads multipart bodies.
 */
export async function addTableRoute(app: FastifyInstance, { bus, principalOf }: TableRouteOptions): Promise<void> {
  const isWithinRate = createRateLimit(TABLE_RATE)
  await app.register(async (scope) => {
    scope.removeAllContentTypeParsers()
    await scope.register(multipart, {
      limits: {
        parts: 1,
        files: 1,
        fields: 1,
        fieldNameSize: 64,
        headerPairs: 16,
        fileSize: BODY_MAX_BYTES,
        fieldSize: BODY_MAX_BYTES,
      },
    })
    scope.setErrorHandler((error: Error & { code?: string }) => {
      throw asAppError(error)
    })
    scope.post('/IpTable', async (request, reply) => {
      const { address } = principalOf(request)
      // A table costs a thousand times as much as a ping.
      if (!isWithinRate(address, performance.now())) throw new AppError('too_many', { from: address })
      const text = await readPart(request)
      const from = address || 'this machine'
      const received = await acceptTable(bus, text, from).catch((error) => {
        // `protocol_error` (502) is for an invalid answer of a peer, but this table is the client's.
        throw toAppError(error).code === 'protocol_error'
          ? new AppError('bad_request', { why: 'The upload is not a table' }, error)
          : error
      })
      const { maxBytes } = checked(tableQuery, request.query)
      const gone = new AbortController()
      reply.raw.on('close', () => gone.abort())
      const table = publicTable(bus, { received, from, ...(maxBytes && { maxBytes }), signal: gone.signal })
      return reply.type(JSON_TYPE).send(Readable.fromWeb(table as WebStream))
    })
  })
}

/** Returns the text of the only part, `json`. */
async function readPart(request: FastifyRequest): Promise<string> {
  let text: string | undefined
  for await (const part of request.parts()) {
    if (part.fieldname !== 'json') {
      if (part.type === 'file') part.file.resume()
      throw new AppError('bad_request', { why: 'The part with the table must be called "json"' })
    }
    if (part.type === 'file') text = (await part.toBuffer()).toString()
    else if (part.valueTruncated) throw new AppError('too_large', { max: BODY_MAX_BYTES })
    else text = String(part.value)
  }
  if (text === undefined) throw new AppError('bad_request', { why: 'There is no part "json" with a table' })
  return text
}

function asAppError(error: Error & { code?: string }): AppError {
  if (error instanceof AppError) return error
  if (error.code === 'FST_REQ_FILE_TOO_LARGE') return new AppError('too_large', { max: BODY_MAX_BYTES })
  if (error.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE' || error.code === 'FST_INVALID_MULTIPART_CONTENT_TYPE')
    return new AppError('bad_media_type', { wanted: 'multipart/form-data' })
  // Fastify's errors, and those of the parser, which have no codes, describe what is wrong with the request.
  if (error.code === undefined || error.code.startsWith('FST_')) {
    return new AppError('bad_request', { why: `The multipart body cannot be read: ${error.message}` }, error)
  }
  return toAppError(error)
}
