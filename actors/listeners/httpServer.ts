import type { IncomingMessage, ServerResponse } from 'node:http'
import fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import type { Bus } from '../../protocol/bus.ts'
import { COMMANDS_PATH, EVENTS_PATH, PING_PATH } from '../../protocol/control.ts'
import { ANONYMOUS_RATE, BODY_MAX_BYTES, REFUSALS_REPORTED_RATE } from '../../protocol/defaults/listeners.ts'
import { AppError, toAppError } from '../../protocol/errors.ts'
import type { BusEvent } from '../../protocol/index.ts'
import { readJson } from '../../protocol/json.ts'
import { isAuthorized, type Rights } from '../../protocol/rights.ts'
import { PAGE_NOT_FOUND } from '../../protocol/wire/http.ts'
import type { ListedImage } from '../containerManager/imageFolders.ts'
import { addLegacySpeedRoutes } from '../speedTester/legacySpeed.ts'
import { addSpeedRoutes, createSpeedSlots } from '../speedTester/speedRoutes.ts'
import { authorizeCommand, createCommandRoute } from './commandRoute.ts'
import type { EventStream } from './eventStream.ts'
import { type FactStream, openFactStream } from './factStream.ts'
import { addLegacyRoutes, type LegacyOptions } from './legacyHttp.ts'
import { authorize, type Handle, type Principal, refuseForeignPages } from './principal.ts'
import { createRateLimit, type Rate } from './rateLimit.ts'

export interface HttpServerOptions {
  bus: Bus<BusEvent>
  rights: () => Rights
  /** If absent, there is no `GET /api/v1/events`. */
  events?: EventStream
  anonymousRate?: Rate
  /** If absent, there is no `GET /ShowImages`. */
  images?: () => Promise<ListedImage[]>
  isLocal?: LegacyOptions['isLocal']
  addDomain?: LegacyOptions['addDomain']
}

export interface HttpServer {
  /** Handles a request from any listener. */
  handle: Handle
  /** Ends open streams and running commands with `stopping`. May be called more than once. */
  close(): Promise<void>
}

const JSON_TYPE = 'application/json; charset=utf-8'

const PONG = Buffer.from('{}')

/**
 * The HTTP server behind all listeners. Construct it before the concerns start, so that it receives the first
 * specifications.
 */
export async function createHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const { bus, rights, events, anonymousRate = ANONYMOUS_RATE, images, isLocal, addDomain } = options
  const principals = new WeakMap<IncomingMessage, Principal>()
  const isWithinRate = createRateLimit(anonymousRate)
  const closing = new AbortController()
  const commandRoute = createCommandRoute(bus)
  const watching = new Set<FactStream>()
  const principalOf = ({ raw }: { raw: IncomingMessage }) => principals.get(raw) ?? { caller: 'anonymous', address: '' }

  const app = createApp()
  app.addHook('onRequest', async (request) => refuseForeignPages(request.raw))
  const isReported = createRateLimit(REFUSALS_REPORTED_RATE)
  app.addHook('onError', async (request, _reply, error) => {
    if (!(error instanceof AppError) || error.code !== 'not_trusted') return
    const { caller, key, address: from } = principalOf(request)
    if (isReported(from, performance.now()))
      bus.publish({ type: 'node.borrowerRefused', from, caller, ...(key && { key }) })
  })
  app.post(COMMANDS_PATH, async (request, reply) => {
    const authorized = authorizeCommand(request.body, principalOf(request), rights())
    reply.hijack()
    await commandRoute.reply(authorized, reply.raw)
  })
  if (events) {
    app.get(EVENTS_PATH, async (request, reply) => {
      authorize(rights(), principalOf(request), 'administer')
      reply.hijack()
      const stream = openFactStream(reply.raw, () => {
        undo()
        watching.delete(stream)
      })
      watching.add(stream)
      const undo = events.open(stream)
    })
  }
  const serving = { rights, principalOf, slots: createSpeedSlots() }
  await addSpeedRoutes(app, serving)
  await addLegacySpeedRoutes(app, serving)
  await addLegacyRoutes(app, {
    ...{ bus, rights, principalOf, signal: closing.signal },
    ...(images && { images }),
    ...(isLocal && { isLocal }),
    ...(addDomain && { addDomain }),
  })
  await app.ready()

  // Go P2PRC nodes use this route as their ping, so the response is prepared in advance.
  let specifications: Buffer | undefined
  const unsubscribe = bus.on('specs.changed', ({ specs }) => {
    specifications = Buffer.from(JSON.stringify(specs))
  })

  function preparedFor(url: string | undefined): Buffer | undefined {
    if (url === PING_PATH) return PONG
    return url === '/server_info' || url === '/server_specs' ? specifications : undefined
  }

  function handle(request: IncomingMessage, response: ServerResponse, principal: Principal): void {
    if (principal.caller !== 'owner' && !isWithinRate(principal.address, performance.now())) {
      sendError(response, new AppError('too_many', { from: principal.address }))
      return
    }
    const prepared = request.method === 'GET' ? preparedFor(request.url) : undefined
    if (prepared && isAuthorized(rights(), principal.caller, 'see')) {
      response.writeHead(200, { 'content-type': JSON_TYPE, 'content-length': prepared.length })
      response.end(prepared)
      return
    }
    principals.set(request, principal)
    app.routing(request, response)
  }

  return {
    handle,
    async close() {
      unsubscribe()
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
    frameworkErrors: (error, _request, reply) => void replyWithError(error, reply),
  })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'string' }, async (_request: unknown, body: string) =>
    readJson(body),
  )
  app.setErrorHandler((error: Error & { code?: string }, _request, reply) => replyWithError(error, reply))
  app.setNotFoundHandler((request, reply) => {
    if (!/^\/api(\/|$)/.test(request.url)) return reply.code(404).type('text/plain; charset=utf-8').send(PAGE_NOT_FOUND)
    const id = `${request.method} ${request.url.split('?')[0]?.slice(0, 128)}`
    return replyWithError(new AppError('not_found', { kind: 'route', id }), reply)
  })
  return app
}

function replyWithError(error: Error & { code?: string }, reply: FastifyReply): FastifyReply {
  const appError = appErrorOf(error)
  return reply
    .code(appError.status)
    .type(JSON_TYPE)
    .send(JSON.stringify({ error: appError.toJSON() }))
}

/** Converts fastify's own errors to errors of the catalogue. */
function appErrorOf(error: Error & { code?: string }): AppError {
  if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE') return new AppError('too_large', { max: BODY_MAX_BYTES })
  if (error.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE')
    return new AppError('bad_media_type', { wanted: 'application/json' })
  if (error.code?.startsWith('FST_')) return new AppError('bad_request', { why: error.message })
  return toAppError(error)
}

function sendError(response: ServerResponse, appError: AppError): void {
  response.writeHead(appError.status, { 'content-type': JSON_TYPE })
  response.end(JSON.stringify({ error: appError.toJSON() }))
}
