import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import { SPEED } from '../../protocol/defaults/speedTester.ts'
import { AppError } from '../../protocol/errors.ts'
import { rangeOf } from '../../protocol/wire/speed.ts'
import { authorize } from '../listeners/principal.ts'
import { randomBlock } from './countFlow.ts'
import type { SpeedRouteOptions } from './speedRoutes.ts'

/** The longest head of the first part that is searched for the file name. */
const PART_HEAD_MAX_BYTES = 8 * 1024

/**
 * Adds P2PRC's speed test routes for the principals whom the owner lets measure: a download of 50 MB, and an upload
 * whose bytes are discarded.
 */
export async function addLegacySpeedRoutes(app: FastifyInstance, options: SpeedRouteOptions): Promise<void> {
  const { rights, principalOf, slots } = options

  app.get('/50', async (request, reply) => {
    const principal = principalOf(request)
    authorize(rights(), principal, 'measure')
    const range = rangeOf(request.headers.range)
    reply.header('accept-ranges', 'bytes').type('application/octet-stream')
    if (!range) return reply.code(416).header('content-range', `bytes */${SPEED.fileBytes}`).send('')
    const end = slots.acquire(principal)
    const { from, to } = range
    const stream = Readable.from(fileBytes(from, to), { objectMode: false })
    const limit = setTimeout(() => reply.raw.destroy(), SPEED.fileTimeoutMs)
    reply.raw.on('close', () => {
      clearTimeout(limit)
      end()
    })
    if (to - from + 1 < SPEED.fileBytes)
      reply.code(206).header('content-range', `bytes ${from}-${to}/${SPEED.fileBytes}`)
    return reply.header('content-length', to - from + 1).send(stream)
  })

  await app.register(async (scope) => {
    scope.removeAllContentTypeParsers()
    // P2PRC uploads with GET, whose body fastify does not parse, so the body is read here for every method.
    scope.addContentTypeParser('multipart/form-data', (_request, _body, done) => done(null))
    scope.route({
      method: ['GET', 'POST'],
      url: '/upload',
      handler: async (request, reply) => {
        const principal = principalOf(request)
        authorize(rights(), principal, 'measure')
        const type = request.headers['content-type'] ?? ''
        if (!/^multipart\/form-data\s*;/i.test(type)) {
          throw new AppError('bad_media_type', { wanted: 'multipart/form-data' })
        }
        const end = slots.acquire(principal)
        // The rest of an upload that is answered early is not read.
        reply.header('connection', 'close')
        try {
          const name = await discardUpload(request.raw)
          return reply.type('text/plain; charset=utf-8').send(`'${name}' uploaded!`)
        } finally {
          end()
        }
      },
    })
  })
}

/** Yields the same bytes for the same offset, so that range responses fit together. */
function* fileBytes(from: number, to: number): Generator<Buffer> {
  const block = randomBlock()
  for (let at = from; at <= to; ) {
    const inBlock = at % block.length
    const piece = block.subarray(inBlock, Math.min(inBlock + 64 * 1024, inBlock + to - at + 1))
    yield piece
    at += piece.length
  }
}

/** Discards an upload as it arrives and resolves with the file's name. Rejects with `bad_request` or `too_large`. */
async function discardUpload(request: IncomingMessage): Promise<string> {
  let head = Buffer.alloc(0)
  let bytes = 0
  const startedAt = performance.now()
  // Leaving the loop must not close the connection, because the response is still to be sent.
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (head.length < PART_HEAD_MAX_BYTES) head = Buffer.concat([head, chunk]).subarray(0, PART_HEAD_MAX_BYTES)
    if (bytes > SPEED.fileBytes + SPEED.slackBytes) throw new AppError('too_large', { max: SPEED.fileBytes })
    // A slow link has been measured by now; the listener would otherwise close it without a response.
    if (performance.now() - startedAt >= SPEED.uploadTimeoutMs) break
  }
  const [partHead = ''] = head.toString('latin1').split('\r\n\r\n', 1)
  const name = /^content-disposition: *form-data;(?=[^\r\n]*\bname="file")[^\r\n]*\bfilename="([^"\r\n]{1,255})"/im
  const [, found] = name.exec(partHead) ?? []
  if (found === undefined) throw new AppError('bad_request', { why: 'There is no part "file" with a file' })
  return found.replace(/[^\x20-\x7e]/g, '?')
}
