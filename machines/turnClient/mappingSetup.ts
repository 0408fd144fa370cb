import { assign, emit, enqueueActions } from 'xstate'
import { AppError } from '../../protocol/errors.ts'
import type { Caller, ContainerId, Failure } from '../../protocol/ids.ts'
import { begin, childId, end, find } from '../requests.ts'
import { DOMAIN_RELAY, type RelayId } from './relays.ts'
import {
  type Context,
  connecting,
  type FromAuthorize,
  type FromConfirm,
  type FromDelegate,
  type FromSearch,
  type FromSession,
  type FromStore,
  isFor,
  NODE_TUNNEL,
  nodeEndpoints,
  type PortCommand,
  type PortMap,
  PUNCHED_PATH,
  tunnelName,
  tunnelOf,
  unservedReason,
  viaOf,
  type WantedPort,
} from './turnClientContext.ts'
import { omit, turnClientSetup } from './turnClientSetup.ts'

type PortUnmap = Extract<PortCommand, { type: 'port.unmap' }>

/** Adds what the concern does with mappings. */
export const mappingSetup = turnClientSetup.extend({
  actions: {
    addMapping: enqueueActions(({ context, enqueue }, { command, container }: Partial<MapRequest>) => {
      if (!command) return
      const { requestId, port, protocol, domain, caller } = command
      const name = tunnelName({ port, protocol })
      const via = viaOf(context, command)
      const known = context.mappings[name]
      const isElsewhere = via !== known?.via
      const isRenamed = domain !== undefined && domain !== known?.domain
      if (known?.state === 'open' && !isElsewhere && !isRenamed) {
        enqueue.emit({ type: 'port.mapped', requestId, mapping: known })
        return
      }
      const wanted: WantedPort = {
        ...(context.wanted[name] ?? { port, protocol, remotePort: 0, ...(container && peer(caller, container)) }),
        ...(via !== undefined && { via }),
        ...(domain !== undefined && { domain }),
      }
      enqueue.assign({
        requests: begin(end(context.requests, requestId), { requestId, phase: 'mapping', name, isNew: !known }),
        wanted: { ...context.wanted, [name]: wanted },
        mappings: { ...context.mappings, [name]: known ?? connecting(wanted) },
        ...(isRenamed && { served: omit(context.served, [name]) }),
      })
      // A tunnel has one name for good, so that another one takes its place.
      if (known && isRenamed) closeTunnel(context, name, enqueue)
    }),
    refuse: emit((_, { requestId }: PortMap) => ({
      type: 'port.mapFailed' as const,
      requestId,
      ...new AppError('no_node').toJSON(),
    })),
    authorize: enqueueActions(({ context: { requests, signal }, enqueue }, command: PortMap) => {
      const { requestId } = command
      enqueue.assign({ requests: begin(requests, { requestId, phase: 'authorizing' }) })
      enqueue.spawnChild('authorize', { id: childId(requestId), input: { command, signal } })
    }),
    endAuthorizing: enqueueActions(({ context, enqueue }, ended: FromAuthorize) => {
      const { requestId } = ended
      enqueue.stopChild(childId(requestId))
      if (!('failure' in ended)) return
      enqueue.assign({ requests: end(context.requests, requestId) })
      enqueue.emit({ type: 'port.mapFailed', requestId, ...ended.failure })
    }),
    delegate: enqueueActions(({ context: { requests, signal }, enqueue }, command: PortCommand) => {
      const { requestId } = command
      enqueue.assign({ requests: begin(requests, { requestId, phase: 'delegating', command }) })
      enqueue.spawnChild('delegate', { id: childId(requestId), input: { command, signal } })
    }),
    answerDelegated: enqueueActions(({ context, enqueue }, ended: FromDelegate) => {
      const { requestId } = ended
      const request = find(context.requests, requestId)
      enqueue.stopChild(childId(requestId))
      enqueue.assign({ requests: end(context.requests, requestId) })
      if (request?.phase !== 'delegating') return
      const { type } = request.command
      if ('failure' in ended) {
        const failedType =
          type === 'port.unmap' ? 'port.unmapFailed' : type === 'port.map' ? 'port.mapFailed' : 'port.listFailed'
        enqueue.emit({ type: failedType, requestId, ...ended.failure })
        return
      }
      const { mappings } = ended
      const [mapping] = mappings
      if (type === 'port.list') enqueue.emit({ type: 'port.listed', requestId, mappings })
      else if (mapping)
        enqueue.emit({ type: type === 'port.map' ? 'port.mapped' : 'port.unmapped', requestId, mapping })
    }),
    /** Nobody was told of a new mapping whose last waiter has left, so it is not kept. */
    abandon: enqueueActions(({ context, enqueue }, { requestId }: { requestId: string }) => {
      const abandoned = find(context.requests, requestId)
      enqueue.assign({ requests: end(context.requests, requestId) })
      if (abandoned?.phase === 'mapping' && abandoned.isNew) drop(context, [abandoned.name], enqueue)
    }),
    save: enqueueActions(({ context, enqueue }) => {
      const wanted = Object.entries(context.wanted)
        .filter(([name, { by }]) => name !== NODE_TUNNEL && by === undefined)
        .map(([, one]) => one)
      enqueue.sendTo('store', { type: 'save', wanted })
    }),
    confirmOpened: enqueueActions(
      (
        { context, enqueue },
        { relay, name, remotePort, domainPort }: Extract<FromSession, { type: 'tunnel.opened' }>,
      ) => {
        const held = context.relays[relay]
        const wanted = context.wanted[name]
        if (!held || !wanted || relay !== context.served[name]) return
        // Users find the domain where this relay shows it, so that the port stays there.
        const via = wanted.via === DOMAIN_RELAY ? { via: relay } : {}
        const url = wanted.domain !== undefined && { domain: wanted.domain, url: urlOf(wanted.domain, domainPort) }
        const mapping = { ...(context.mappings[name] ?? connecting(wanted)), ...via, ...url }
        enqueue.assign({
          wanted: { ...context.wanted, [name]: { ...wanted, ...via, remotePort } },
          mappings: { ...context.mappings, [name]: mapping },
        })
        enqueue.stopChild(`confirm ${name}`)
        const { protocol } = wanted
        enqueue.spawnChild('confirm', {
          id: `confirm ${name}`,
          input: { name, protocol, remotePort, relay: held.relay },
        })
      },
    ),
    open: enqueueActions(
      ({ context, enqueue }, { name, address, at }: Extract<FromConfirm, { type: 'mapping.confirmed' }>) => {
        const known = context.mappings[name]
        const relay = context.served[name]
        if (!known || !relay) return
        const { why: _why, ...rest } = known
        const mapping = { ...rest, address, relay, state: 'open' as const, since: at }
        enqueue.stopChild(`confirm ${name}`)
        const waiting = context.requests.filter((one) => one.phase === 'mapping' && one.name === name)
        for (const { requestId } of waiting) enqueue.emit({ type: 'port.mapped', requestId, mapping })
        const mappings = { ...context.mappings, [name]: mapping }
        if (name === NODE_TUNNEL)
          enqueue.emit({ type: 'port.nodeRelayed', endpoints: nodeEndpoints({ ...context, mappings }) })
        else if (waiting.length === 0) enqueue.emit({ type: 'port.restored', mapping })
        enqueue.assign({
          mappings,
          requests: end(context.requests, (one) => waiting.includes(one)),
        })
      },
    ),
    fail: enqueueActions(({ context, enqueue }, { name, failure }: { name: string; failure: Failure }) => {
      failAll(context, new Map([[name, failure]]), enqueue)
    }),
    /** Those who wait learn why nothing serves them. */
    failUnserved: enqueueActions(({ context, enqueue }, { unresolved }: Partial<Pick<FromSearch, 'unresolved'>>) => {
      const failed = Object.entries(context.wanted).flatMap(([name, wanted]) => {
        const why = context.served[name] ? undefined : unservedReason(context, wanted, unresolved)
        return why ? [[name, why] as const] : []
      })
      failAll(context, new Map(failed), enqueue)
    }),
    /** The port that it had before is taken at this relay, so that any other must do. */
    openElsewhere: enqueueActions(({ context, enqueue }, { relay, name }: { relay: RelayId; name: string }) => {
      const wanted = context.wanted[name]
      const session = context.sessions[relay]
      if (!wanted || !session) return
      enqueue.assign({ wanted: { ...context.wanted, [name]: { ...wanted, remotePort: 0 } } })
      enqueue.sendTo(session, { type: 'tunnel.close', name })
      enqueue.sendTo(session, { type: 'tunnel.open', tunnel: { name, ...tunnelOf(wanted), remotePort: 0 } })
    }),
    reportUnsaved: emit((_, { failure }: FromStore) => ({ type: 'port.saveFailed' as const, ...failure })),
    list: enqueueActions(({ context, enqueue }, { requestId, caller }: { requestId: string; caller: Caller }) => {
      const mappings = Object.entries(context.mappings)
        .filter(([name, mapping]) => name !== NODE_TUNNEL && isFor(caller, mapping))
        .map(([, mapping]) => mapping)
      enqueue.emit({ type: 'port.listed', requestId, mappings })
    }),
    unmap: enqueueActions(({ context, enqueue }, { requestId, which, caller }: PortUnmap) => {
      const [name, mapping] =
        Object.entries(context.mappings).find(
          ([name, one]) =>
            name !== NODE_TUNNEL &&
            isFor(caller, one) &&
            (which === (one.protocol === 'udp' ? `${one.port}/udp` : `${one.port}`) ||
              which === one.domain ||
              (one.address && which === `${one.address.host}:${one.address.port}`)),
        ) ?? []
      if (name !== undefined && mapping) {
        drop(context, [name], enqueue)
        enqueue.emit({ type: 'port.unmapped', requestId, mapping })
        return
      }
      const { code, message } = new AppError('not_found', { kind: 'mapped port', id: which })
      enqueue.emit({ type: 'port.unmapFailed', requestId, code, message })
    }),
    mapNode: assign(({ context: { port, wanted, mappings } }) => {
      if (port === 0 || Object.hasOwn(wanted, NODE_TUNNEL)) return {}
      const node: WantedPort = { port, protocol: 'tcp', remotePort: 0 }
      return {
        wanted: { ...wanted, [NODE_TUNNEL]: node },
        mappings: { ...mappings, [NODE_TUNNEL]: connecting(node) },
      }
    }),
    dropNode: enqueueActions(({ context, enqueue }) => {
      if (nodeEndpoints(context).length > 0) enqueue.emit({ type: 'port.nodeRelayed', endpoints: [] })
      enqueue.stopChild(PUNCHED_PATH)
      enqueue.assign({ punched: undefined })
      drop(context, [NODE_TUNNEL], enqueue)
    }),
    dropOfContainer: enqueueActions(({ context, enqueue }, { id }: { id: ContainerId }) => {
      const names = Object.entries(context.wanted).filter(([, { container }]) => container === id)
      drop(
        context,
        names.map(([name]) => name),
        enqueue,
      )
    }),
  },
})

/** A command to map a port, and the container to which it belongs if a peer sent it. */
export interface MapRequest {
  command: PortMap
  container?: ContainerId
}

/** Where users open a port that has a domain. */
function urlOf(domain: string, port: number): string {
  return `https://${domain}${port === 443 ? '' : `:${port}`}/`
}

function peer(caller: Caller, container: ContainerId): Pick<WantedPort, 'by' | 'container'> {
  return caller === 'owner' || caller === 'anonymous' ? {} : { by: caller, container }
}

interface Enqueue {
  stopChild(id: string): void
  sendTo(session: Context['sessions'][RelayId], event: { type: 'tunnel.close'; name: string }): void
  assign(change: Partial<Context>): void
  emit(fact: { type: 'port.mapFailed'; requestId: string } & Failure): void
}

function closeTunnel({ sessions }: Context, name: string, enqueue: Pick<Enqueue, 'stopChild' | 'sendTo'>): void {
  enqueue.stopChild(`confirm ${name}`)
  for (const session of Object.values(sessions)) enqueue.sendTo(session, { type: 'tunnel.close', name })
}

/** Ends mappings, and their tunnels at every relay. */
function drop(context: Context, names: readonly string[], enqueue: Enqueue): void {
  for (const name of names) {
    closeTunnel(context, name, enqueue)
  }
  enqueue.assign({
    wanted: omit(context.wanted, names),
    mappings: omit(context.mappings, names),
    served: omit(context.served, names),
  })
}

/** Answers those who wait for a mapping. A new one is not kept; one that was promised before waits for better times. */
function failAll(context: Context, failures: ReadonlyMap<string, Failure>, enqueue: Enqueue): void {
  const waiting = context.requests.filter((one) => one.phase === 'mapping' && failures.has(one.name))
  const unkept: string[] = []
  for (const request of waiting) {
    if (request.phase !== 'mapping') continue
    const { requestId, name, isNew } = request
    if (isNew) unkept.push(name)
    enqueue.emit({ type: 'port.mapFailed', requestId, ...(failures.get(name) as Failure) })
  }
  const mappings = Object.fromEntries(
    Object.entries(context.mappings).map(([name, one]) => {
      const why = failures.get(name)
      return [name, why ? { ...one, state: 'waiting' as const, why } : one]
    }),
  )
  enqueue.assign({ requests: end(context.requests, (one) => waiting.includes(one)), mappings })
  drop({ ...context, mappings }, unkept, enqueue)
}
