import { randomUUID } from 'node:crypto'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Bus } from '../../protocol/bus.ts'
import { Fault, toFault } from '../../protocol/errors.ts'
import { checked, readPortCount, removeContainerQuery, startContainerQuery } from '../../protocol/http.ts'
import { type Answer, type BusEvent, type Command, commands } from '../../protocol/index.ts'
import type { Rights } from '../../protocol/rights.ts'
import { revealed } from '../../protocol/secret.ts'
import { ask } from '../ask.ts'
import type { ShownImage } from '../containerManager/imageFolders.ts'
import { parsePublicKey } from '../identity/sshPublicKey.ts'
import { busRequestId } from './commandRoute.ts'
import { addTableRoute } from './legacyTable.ts'
import { admit, type Visitor } from './visitor.ts'

export interface LegacyOptions {
  bus: Bus<BusEvent>
  rights: () => Rights
  visitorOf: (request: FastifyRequest) => Visitor
  /** Absent: there is no `/ShowImages`. */
  images?: () => Promise<ShownImage[]>
  /** Aborts when the front closes. */
  signal: AbortSignal
}

/** A command without what the door adds. */
type Wish = WithoutMeta<Command>
type WithoutMeta<C> = C extends Command ? Omit<C, 'requestId' | 'caller'> : never

/** P2PRC's routes (compatibility 2.4): its names, keys and types; one reply each, and errors as `{ error }`. */
export async function addLegacyRoutes(app: FastifyInstance, options: LegacyOptions): Promise<void> {
  const { bus, rights, visitorOf, images, signal } = options

  /** Asks the bus on behalf of a visitor who may go away meanwhile. */
  async function askFor(request: FastifyRequest, reply: FastifyReply, wish: Wish) {
    const visitor = visitorOf(request)
    const action = commands.get(wish.type)?.action
    if (!action) throw new Fault('unknown_command', { name: wish.type })
    admit(rights(), visitor, action)
    const gone = new AbortController()
    reply.raw.on('close', () => gone.abort())
    // Building an image takes minutes, in which P2PRC's clients wait without a sign of life.
    request.raw.socket.setTimeout(0)
    const command = { ...wish, requestId: busRequestId(visitor, randomUUID()), caller: visitor.caller } as Command
    try {
      return await ask(bus, command, { signal: AbortSignal.any([gone.signal, signal]) })
    } catch (error) {
      throw signal.aborted ? new Fault('stopping') : error
    }
  }

  for (const url of ['/server_info', '/server_specs']) {
    app.get(url, async (request, reply) => {
      const fact = await askFor(request, reply, { type: 'specs.get' })
      return expect(fact, 'specs.got').specs
    })
  }

  // GET changes things here only because P2PRC's clients know no other way; `admit` keeps it to those who may.
  app.route({
    method: ['GET', 'POST'],
    url: '/startcontainer',
    handler: async (request, reply) => {
      admit(rights(), visitorOf(request), 'borrow')
      const query = checked(startContainerQuery, request.query)
      if (query.BaseImage !== '') throw new Fault('bad_image', { image: shown(query.BaseImage) })
      const fact = await askFor(request, reply, {
        type: 'container.create',
        key: query.PublicKey === '' ? '' : readLegacyKey(query.PublicKey),
        ports: readPortCount(query.ports),
        udpPorts: 0,
        gpu: query.GPU === 'true',
        image: query.ContainerName,
      })
      return revealed(expect(fact, 'container.created').container)
    },
  })

  app.route({
    method: ['GET', 'POST', 'DELETE'],
    url: '/RemoveContainer',
    handler: async (request, reply) => {
      admit(rights(), visitorOf(request), 'borrow')
      const { id } = checked(removeContainerQuery, request.query)
      await askFor(request, reply, { type: 'container.remove', id })
      return reply.type('text/plain; charset=utf-8').send('success')
    },
  })

  if (images) {
    app.get('/ShowImages', async (request) => {
      admit(rights(), visitorOf(request), 'see')
      const list = await images()
      // Go writes an empty list as null.
      return { DockerContainer: list.length > 0 ? list : null }
    })
  }

  await addTableRoute(app, { bus, visitorOf })
}

/** `PublicKey` as P2PRC sends it. A `+` that was not escaped in the URL has become a space. Throws `bad_key`. */
function readLegacyKey(encoded: string): string {
  const base64 = encoded.replaceAll(' ', '+')
  const bytes = Buffer.from(base64, 'base64')
  if (bytes.toString('base64') !== base64) throw new Fault('bad_key', { why: 'it is not standard base64' })
  const { key, comment } = parsePublicKey(bytes.toString())
  return `${key} ${comment}`.trim()
}

function expect<T extends Answer['type']>(fact: Answer, type: T): Extract<Answer, { type: T }> {
  if (fact.type !== type) throw toFault(new Error(`${fact.type} came instead of ${type}`))
  return fact as Extract<Answer, { type: T }>
}

function shown(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, 128)
}
