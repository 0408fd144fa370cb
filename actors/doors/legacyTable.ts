import multipart from '@fastify/multipart'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Bus } from '../../protocol/bus.ts'
import { BODY_MAX_BYTES, TABLE_RATE } from '../../protocol/defaults.ts'
import { Fault, toFault } from '../../protocol/errors.ts'
import type { BusEvent } from '../../protocol/index.ts'
import { acceptTable } from '../ipTable.ts'
import { createRateLimit } from './rateLimit.ts'
import type { Visitor } from './visitor.ts'

export interface TableRouteOptions {
  bus: Bus<BusEvent>
  visitorOf: (request: FastifyRequest) => Visitor
}

const JSON_TYPE = 'application/json; charset=utf-8'

/**
 * `POST /IpTable` as P2PRC has it: a multipart part `json` (Go sends a file, a form's field will do) with a table, and
 * this node's table in answer. In a scope of its own, since no other route reads multipart.
 */
export async function addTableRoute(app: FastifyInstance, { bus, visitorOf }: TableRouteOptions): Promise<void> {
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
      throw inOurWords(error)
    })
    scope.post('/IpTable', async (request, reply) => {
      const { address } = visitorOf(request)
      // A table costs a thousand times what a ping does.
      if (!isWithinRate(address, performance.now())) throw new Fault('too_many', { from: address })
      const text = await readPart(request)
      const answer = await acceptTable(bus, text, address || 'this machine').catch((error) => {
        // A bad answer of a peer is 502; what was uploaded here is the uploader's fault.
        throw toFault(error).code === 'garbled' ? new Fault('bad_request', { why: 'That is no table' }, error) : error
      })
      return reply.type(JSON_TYPE).send(answer)
    })
  })
}

/** The text of the one part `json`. */
async function readPart(request: FastifyRequest): Promise<string> {
  let text: string | undefined
  for await (const part of request.parts()) {
    if (part.fieldname !== 'json') {
      if (part.type === 'file') part.file.resume()
      throw new Fault('bad_request', { why: 'The part with the table must be called "json"' })
    }
    if (part.type === 'file') text = (await part.toBuffer()).toString()
    else if (part.valueTruncated) throw new Fault('too_large', { max: BODY_MAX_BYTES })
    else text = String(part.value)
  }
  if (text === undefined) throw new Fault('bad_request', { why: 'There is no part "json" with a table' })
  return text
}

function inOurWords(error: Error & { code?: string }): Fault {
  if (error instanceof Fault) return error
  if (error.code === 'FST_REQ_FILE_TOO_LARGE') return new Fault('too_large', { max: BODY_MAX_BYTES })
  if (error.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE' || error.code === 'FST_INVALID_MULTIPART_CONTENT_TYPE')
    return new Fault('bad_media_type', { wanted: 'multipart/form-data' })
  // Fastify's own errors, and the parser's, which has no codes: all say what is wrong with the request.
  if (error.code === undefined || error.code.startsWith('FST_')) {
    return new Fault('bad_request', { why: `The multipart body cannot be read: ${error.message}` }, error)
  }
  return toFault(error)
}
