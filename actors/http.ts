import type { IncomingMessage, ServerResponse } from 'node:http'
import fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import type { Bus } from '../protocol/bus.ts'
import { COMMANDS_PATH, EVENTS_PATH } from '../protocol/control.ts'
import { BODY_MAX_BYTES, STRANGER_RATE } from '../protocol/defaults.ts'
import { Fault, toFault } from '../protocol/errors.ts'
import { PAGE_NOT_FOUND } from '../protocol/http.ts'
import type { BusEvent } from '../protocol/index.ts'
import { readJson } from '../protocol/json.ts'
import { authorize, type Rights } from '../protocol/rights.ts'
import type { ShownImage } from './containerManager/imageFolders.ts'
import { admitCommand, createCommandRoute } from './doors/commandRoute.ts'
import { type FactStream, openFactStream } from './doors/factStream.ts'
import { addLegacyRoutes } from './doors/legacyHttp.ts'
import { createRateLimit, type Rate } from './doors/rateLimit.ts'
import { admit, type Handle, refuseForeignPages, type Visitor } from './doors/visitor.ts'
import type { EventStream } from './events.ts'
import { addLegacySpeedRoutes } from './speedTester/legacySpeed.ts'
import { addSpeedRoutes, createSpeedTurns } from './speedTester/speedRoutes.ts'

export interface HttpFrontOptions {
  bus: Bus<BusEvent>
  rights: () => Rights
  /** Absent: there is no `GET /api/v1/events`. */
  events?: EventStream
  strangerRate?: Rate
  /** Absent: there is no `GET /ShowImages`. */
  images?: () => Promise<ShownImage[]>
}

export interface HttpFront {
  /** What every door does with a request. */
  handle: Handle
  /** Ends streams and commands under way with `stopping`. May be called more than once. */
  close(): Promise<void>
}

const JSON_TYPE = 'application/json; charset=utf-8'

/** The HTTP front behind all doors. Construct it before the concerns start, so that it hears the first specifications. */
export async function createHttpFront(options: HttpFrontOptions): Promise<HttpFront> {
  const { bus, rights, events, strangerRate = STRANGER_RATE, images } = options
  const visitors = new WeakMap<IncomingMessage, Visitor>()
  const isWithinRate = createRateLimit(strangerRate)
  const closing = new AbortController()
  const commandRoute = createCommandRoute(bus)
  const watching = new Set<FactStream>()
  const visitorOf = ({ raw }: { raw: IncomingMessage }) => visitors.get(raw) ?? { caller: 'stranger', address: '' }

  const app = createApp()
  app.addHook('onRequest', async (request) => refuseForeignPages(request.raw))
  app.post(COMMANDS_PATH, async (request, reply) => {
    const admitted = admitCommand(request.body, visitorOf(request), rights())
    reply.hijack()
    await commandRoute.answer(admitted, reply.raw)
  })
  if (events) {
    app.get(EVENTS_PATH, async (request, reply) => {
      admit(rights(), visitorOf(request), 'administer')
      reply.hijack()
      const stream = openFactStream(reply.raw, () => {
        undo()
        watching.delete(stream)
      })
      watching.add(stream)
      const undo = events.open(stream)
    })
  }
  const serving = { rights, visitorOf, turns: createSpeedTurns() }
  await addSpeedRoutes(app, serving)
  await addLegacySpeedRoutes(app, serving)
  await addLegacyRoutes(app, { bus, rights, visitorOf, ...(images && { images }), signal: closing.signal })
  await app.ready()

  // The ping target of every P2PRC node: prepared ahead, and answered without asking anybody.
  let specifications: Buffer | undefined
  const unhear = bus.on('specs.changed', ({ specs }) => {
    specifications = Buffer.from(JSON.stringify(specs))
  })

  function handle(request: IncomingMessage, response: ServerResponse, visitor: Visitor): void {
    if (visitor.caller !== 'owner' && !isWithinRate(visitor.address, performance.now())) {
      sendFault(response, new Fault('too_many', { from: visitor.address }))
      return
    }
    const isPing = request.url === '/server_info' || request.url === '/server_specs'
    if (isPing && specifications && request.method === 'GET' && authorize(rights(), visitor.caller, 'see')) {
      response.writeHead(200, { 'content-type': JSON_TYPE, 'content-length': specifications.length })
      response.end(specifications)
      return
    }
    visitors.set(request, visitor)
    app.routing(request, response)
  }

  return {
    handle,
    async close() {
      unhear()
      commandRoute.close()
      closing.abort()
      for (const stream of watching) stream.end()
      watching.clear()
      await app.close()
    },
  }
}

function createApp(): FastifyInstance {
  const app = fastify({
    bodyLimit: BODY_MAX_BYTES,
    exposeHeadRoutes: false,
    frameworkErrors: (error, _request, reply) => void answerError(error, reply),
  })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'string' }, async (_request: unknown, body: string) =>
    readJson(body),
  )
  app.setErrorHandler((error: Error & { code?: string }, _request, reply) => answerError(error, reply))
  app.setNotFoundHandler((request, reply) => {
    if (!/^\/api(\/|$)/.test(request.url)) return reply.code(404).type('text/plain; charset=utf-8').send(PAGE_NOT_FOUND)
    const id = `${request.method} ${request.url.split('?')[0]?.slice(0, 128)}`
    return answerError(new Fault('not_found', { kind: 'route', id }), reply)
  })
  return app
}

function answerError(error: Error & { code?: string }, reply: FastifyReply): FastifyReply {
  const fault = faultOf(error)
  return reply
    .code(fault.status)
    .type(JSON_TYPE)
    .send(JSON.stringify({ error: fault.toJSON() }))
}

/** fastify's own errors in the catalogue's words. */
function faultOf(error: Error & { code?: string }): Fault {
  if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE') return new Fault('too_large', { max: BODY_MAX_BYTES })
  if (error.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE')
    return new Fault('bad_media_type', { wanted: 'application/json' })
  if (error.code?.startsWith('FST_')) return new Fault('bad_request', { why: error.message })
  return toFault(error)
}

function sendFault(response: ServerResponse, fault: Fault): void {
  response.writeHead(fault.status, { 'content-type': JSON_TYPE })
  response.end(JSON.stringify({ error: fault.toJSON() }))
}
