import { randomUUID } from 'node:crypto'
import type { Socket } from 'node:net'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Bus } from '../../protocol/bus.ts'
import { FAILURE_MAX_CHARS } from '../../protocol/defaults/net.ts'
import { PORT } from '../../protocol/defaults/node.ts'
import { AppError, toAppError } from '../../protocol/errors.ts'
import type { Caller } from '../../protocol/ids.ts'
import { type Answer, type BusEvent, type Command, commands } from '../../protocol/index.ts'
import { canonicalHost, formatAddress } from '../../protocol/net/address.ts'
import { isPrivate } from '../../protocol/net/ranges.ts'
import { refusal } from '../../protocol/net/reachable.ts'
import type { Rights } from '../../protocol/rights.ts'
import { revealed } from '../../protocol/secret.ts'
import {
  addProxyQuery,
  checked,
  mapPortQuery,
  readPortCount,
  removeContainerQuery,
  startContainerQuery,
} from '../../protocol/wire/http.ts'
import type { ListedImage } from '../containerManager/imageFolders.ts'
import { keyLimits, parsePublicKey } from '../identity/sshPublicKey.ts'
import { request } from '../request.ts'
import { busRequestId } from './commandRoute.ts'
import { addTableRoute } from './legacyTable.ts'
import type { LocalCallers } from './localCallers.ts'
import { authorize, isOwnHost, type Principal } from './principal.ts'

export interface LegacyOptions {
  bus: Bus<BusEvent>
  rights: () => Rights
  principalOf: (httpRequest: FastifyRequest) => Principal
  /** If absent, there is no `/ShowImages`. */
  images?: () => Promise<ListedImage[]>
  /** If absent, nobody counts as a program of this machine. */
  isLocal?: LocalCallers['isLocal']
  /** Shows a port that is lent to the principal under a domain. If absent, this node shows none. */
  addDomain?: AddDomain
  /** Aborts when the server closes. */
  signal: AbortSignal
}

/** Throws what `DomainNames.claim` throws. */
export type AddDomain = (name: string, principal: Principal, port: number) => Promise<unknown>

/** A command without the fields that the listener adds. */
type CommandInput = WithoutMeta<Command>
type WithoutMeta<C> = C extends Command ? Omit<C, 'requestId' | 'caller'> : never

/** Adds P2PRC's routes (compatibility 2.4) with its names, keys and types. Errors are sent as `{ error }`. */
export async function addLegacyRoutes(app: FastifyInstance, options: LegacyOptions): Promise<void> {
  const { bus, rights, principalOf, images, isLocal, addDomain, signal } = options

  /** Sends a request on behalf of a principal, and abandons it if the principal disconnects. */
  async function requestFor(
    httpRequest: FastifyRequest,
    reply: FastifyReply,
    input: CommandInput,
    principal = principalOf(httpRequest),
  ) {
    const action = commands.get(input.type)?.action
    if (!action) throw new AppError('unknown_command', { name: input.type })
    authorize(rights(), principal, action)
    const gone = new AbortController()
    reply.raw.on('close', () => gone.abort())
    // The build of an image takes minutes, and the connection of P2PRC's clients is silent in the meantime.
    httpRequest.raw.socket.setTimeout(0)
    const command = { ...input, requestId: busRequestId(principal, randomUUID()), caller: principal.caller } as Command
    try {
      return await request(bus, command, { signal: AbortSignal.any([gone.signal, signal]) })
    } catch (error) {
      throw signal.aborted ? new AppError('stopping') : error
    }
  }

  for (const url of ['/server_info', '/server_specs']) {
    app.get(url, async (httpRequest, reply) => {
      const fact = await requestFor(httpRequest, reply, { type: 'specs.get' })
      return expect(fact, 'specs.got').specs
    })
  }

  // GET has side effects here only because P2PRC's clients send nothing else. `authorize` rejects everybody else.
  app.route({
    method: ['GET', 'POST'],
    url: '/startcontainer',
    errorHandler: replyToGo,
    handler: async (httpRequest, reply) => {
      authorize(rights(), principalOf(httpRequest), 'borrow')
      const query = checked(startContainerQuery, httpRequest.query)
      if (query.BaseImage !== '') throw new AppError('bad_image', { image: shown(query.BaseImage) })
      const fact = await requestFor(httpRequest, reply, {
        type: 'container.create',
        key: query.PublicKey === '' ? '' : readLegacyKey(query.PublicKey, principalOf(httpRequest).caller),
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
    handler: async (httpRequest, reply) => {
      authorize(rights(), principalOf(httpRequest), 'borrow')
      const { id } = checked(removeContainerQuery, httpRequest.query)
      await requestFor(httpRequest, reply, { type: 'container.remove', id })
      return reply.type('text/plain; charset=utf-8').send('success')
    },
  })

  // P2PRC starts a server for each call. Here the one listener of the node speaks frp too, for UDP as for TCP.
  app.get('/FRPPort', async (httpRequest, reply) => {
    authorize(rights(), principalOf(httpRequest), 'relay')
    return reply.type('text/plain; charset=utf-8').send(String(httpRequest.raw.socket.localPort ?? ''))
  })

  app.get('/AddProxy', async (httpRequest, reply) => {
    const principal = principalOf(httpRequest)
    authorize(rights(), principal, 'relay')
    const { domain_name, ip_address, port } = checked(addProxyQuery, httpRequest.query)
    if (!addDomain) throw new AppError('no_domains')
    // A domain leads to the caller's own port here, whatever address is named. Whoever names another one is told so.
    const why = elsewhere(ip_address, httpRequest.raw.socket)
    if (why) throw new AppError('not_dialled', { where: shown(ip_address), why })
    await addDomain(domain_name, principal, port)
    return reply.type('text/plain; charset=utf-8').send('Sucess')
  })

  // Go's command line maps a port of its own machine.
  app.get('/MAPPort', async (httpRequest, reply) => {
    const { headers, socket } = httpRequest.raw
    if (!isLocal?.(socket) || !isOwnHost(headers.host ?? '')) throw new AppError('not_owner')
    const { port, domain_name: domain, udp } = checked(mapPortQuery, httpRequest.query)
    const input = {
      ...{ type: 'port.map' as const, port, protocol: udp === 'false' ? ('tcp' as const) : ('udp' as const) },
      ...(domain !== '' && { domain }),
    }
    const fact = await requestFor(httpRequest, reply, input, { caller: 'owner', address: '' })
    const { address } = expect(fact, 'port.mapped').mapping
    return reply.type('text/plain; charset=utf-8').send(address ? formatAddress(address) : '')
  })

  if (images) {
    app.get('/ShowImages', async (httpRequest) => {
      authorize(rights(), principalOf(httpRequest), 'see')
      const list = await images()
      // Go writes an empty list as null.
      return { DockerContainer: list.length > 0 ? list : null }
    })
  }

  await addTableRoute(app, { bus, principalOf })
}

/**
 * Tells Go's client why it gets no container. Of other failures it shows nothing and tracks a container without an id;
 * a redirection that it cannot follow, it prints and tracks nothing.
 */
function replyToGo(error: Error, { headers }: FastifyRequest, reply: FastifyReply): void {
  if (!headers['user-agent']?.startsWith('Go-http-client')) throw error
  const sentence = shown(toAppError(error).message.replace(/\s+/g, ' '), FAILURE_MAX_CHARS)
  void reply.code(307).header('location', `refused:${sentence}`).send()
}

/**
 * Returns why an address cannot be that of this node, where the caller has reached it on this connection; undefined if it
 * can. Which public addresses lead here, a machine behind a cloud's router does not know.
 */
function elsewhere(address: string, { localAddress = '' }: Socket): string | undefined {
  if (canonicalHost(address) === canonicalHost(localAddress)) return undefined
  if (isPrivate(canonicalHost(address))) return 'an address of another machine'
  return refusal(address, PORT)
}

/** Parses `PublicKey` as P2PRC sends it. A `+` that was not escaped in the URL arrives as a space. Throws `bad_key`. */
function readLegacyKey(encoded: string, caller: Caller): string {
  const base64 = encoded.replaceAll(' ', '+')
  const bytes = Buffer.from(base64, 'base64')
  if (bytes.toString('base64') !== base64) throw new AppError('bad_key', { why: 'it is not standard base64' })
  const { key, comment } = parsePublicKey(bytes.toString(), keyLimits(caller))
  return `${key} ${comment}`.trim()
}

function expect<T extends Answer['type']>(fact: Answer, type: T): Extract<Answer, { type: T }> {
  if (fact.type !== type) throw toAppError(new Error(`${fact.type} was received instead of ${type}`))
  return fact as Extract<Answer, { type: T }>
}

function shown(text: string, maxChars = 128): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, maxChars)
}
