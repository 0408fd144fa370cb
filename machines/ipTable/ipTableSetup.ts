import { assign, emit, enqueueActions, fromCallback, fromPromise, setup } from 'xstate'
import { TABLE_SAVE_DELAY_MS, TABLE_SAVE_INTERVAL_MS, TABLE_TICK_MS } from '../../protocol/defaults/ipTable.ts'
import { AppError } from '../../protocol/errors.ts'
import type { NetworkFact } from '../../protocol/gossip.ts'
import type { Failure } from '../../protocol/ids.ts'
import type { IpTableAccepts, IpTableCommand, IpTableEmits, UnverifiedPeer } from '../../protocol/ipTable.ts'
import { formatEndpoint } from '../../protocol/net/endpoint.ts'
import { begin, childId, end, enter, find, inPhase, join, requestActions, requestGuards } from '../requests.ts'
import { updateLinks } from './gossipChange.ts'
import type { Context, IpTableInput, SelfChange, TableRequest } from './ipTableContext.ts'
import type { CrawlInput, IpTableInternalEvent, ProbeInput, ResolveDnsInput, SaveInput } from './ipTablePorts.ts'
import { type Listing, listingOf, nextPage } from './listing.ts'
import { lookUp, type ResolvedPeer } from './peerLookUp.ts'
import { parsed } from './peerRow.ts'
import { addPeer, type Change, countOf, seedAddress, withPublicAddress } from './peerTable.ts'
import { planProbes, probeOf, stepOf } from './peerWatch.ts'
import { publicRows, uploadOf } from './publicTable.ts'
import { addressToAdd, resolvedFact, savedFact, selfAddressesFact, selfFailure } from './tableFacts.ts'
import { addUnverified, mergeReported } from './unverified.ts'

type CommandOf<T extends IpTableCommand['type']> = Extract<IpTableCommand, { type: T }>

interface RequestId {
  requestId: string
}

type Events = IpTableAccepts | IpTableInternalEvent

/** Holds the guards, actions and children of the table's chart. */
export const ipTableSetup = setup({
  types: {
    context: {} as Context,
    input: {} as IpTableInput,
    events: {} as Events,
    emitted: {} as IpTableEmits,
  },
  actors: {
    save: fromPromise<void, SaveInput>(() => Promise.reject(new Error('not provided'))),
    resolveDns: fromCallback<IpTableInternalEvent, ResolveDnsInput>(({ input, sendBack }) =>
      sendBack({ type: 'resolveDns.ended', requestId: input.requestId, found: null }),
    ),
    probe: fromCallback<IpTableInternalEvent, ProbeInput>(({ input, sendBack }) =>
      sendBack({ type: 'probe.ended', key: input.key, outcome: { kind: 'skipped' } }),
    ),
    crawl: fromCallback<IpTableInternalEvent, CrawlInput>(({ input, sendBack }) =>
      sendBack({ type: 'crawl.ended', requestId: input.requestId, named: [] }),
    ),
    watchAddresses: fromCallback<IpTableInternalEvent, { signal: AbortSignal }>(() => {}),
  },
  delays: {
    tick: ({ context }) => context.step * TABLE_TICK_MS,
    saveDelay: TABLE_SAVE_DELAY_MS,
    saveInterval: TABLE_SAVE_INTERVAL_MS,
  },
  guards: {
    ...requestGuards<Context>(),
    isUnsaved: ({ context }) => context.revision > context.saved,
    /** Whether to save at once. A single command ends before anything could be batched. */
    isAwaited: ({ context }) => isAwaited(context) || !context.watch,
    isUrgent: ({ context }) => isAwaited(context) || (context.flushNow && context.revision > context.saved),
    needsDns: ({ context }, { where }: { where: string }) => 'resolveDns' in lookUp(context.table, where, context),
    isAddable: ({ context }, { where }: { where: string }) => addressToAdd(context, where) !== null,
  },
  actions: requestActions<Context, Events>(),
}).extend({
  actions: {
    commit: enqueueActions(({ context, enqueue }, { table, emitted }: Change) => {
      if (table === context.table) return
      const membersChanged = emitted.some(({ type }) => type === 'peer.joined' || type === 'peer.gone')
      // A single command ends before anything could be batched, except that its crawl is saved as a whole.
      const isUrgent = context.watch ? membersChanged : inPhase(context.requests, 'crawling').length === 0
      const flushNow = context.flushNow || isUrgent
      enqueue.assign({ table, revision: context.revision + 1, flushNow })
      for (const fact of emitted) {
        enqueue.emit(fact)
        const discovered = fact.type === 'peer.joined' && seedAddress(table, fact.peer)
        if (discovered) enqueue.emit(discovered)
      }
      const count = countOf(table)
      if (membersChanged || count !== countOf(context.table)) enqueue.emit({ type: 'table.changed', count })
    }),
    updateSelf: enqueueActions(({ context, enqueue }, change: SelfChange) => {
      const next = { ...context, ...change }
      const self = withPublicAddress(next.self, next.publicAddress)
      const fact = selfAddressesFact({ ...next, self })
      const before = selfAddressesFact(context)
      enqueue.assign({ ...change, self })
      if (fact.endpoints.map(formatEndpoint).join() !== before.endpoints.map(formatEndpoint).join()) enqueue.emit(fact)
    }),
    spawnProbes: enqueueActions(({ context, enqueue }) => {
      if (!context.watch) return
      const { probes, unverified, table } = planProbes({ ...context, linked: context.links.size > 0 })
      enqueue.assign({ step: stepOf({ ...context, unverified }) })
      if (probes.length === 0) return
      enqueue.assign({ table, unverified, probing: new Set([...context.probing, ...probes.map(({ key }) => key)]) })
      for (const input of probes) enqueue.spawnChild('probe', { id: `probe ${input.key}`, input })
    }),
    updateLinks: assign({ links: ({ context }, fact: NetworkFact) => updateLinks(context.links, fact) }),
    resolveDns: assign(({ context, spawn }, { requestId, where }: CommandOf<'peer.resolve'>) => {
      const answer = lookUp(context.table, where, context)
      if (!('resolveDns' in answer)) return {}
      const { resolveDns: at, fallback } = answer
      spawn('resolveDns', { id: childId(requestId), input: { requestId, at, signal: context.signal } })
      return { requests: begin<TableRequest>(context.requests, { requestId, phase: 'resolving', fallback }) }
    }),
    replyResolved: emit(({ context }, { requestId, where }: CommandOf<'peer.resolve'>) =>
      resolvedFact(requestId, lookUp(context.table, where, context)),
    ),
    /** Replies with the result of DNS, or with the fallback. */
    replyToResolving: enqueueActions(
      ({ context, enqueue }, { requestId, found }: { requestId: string; found: ResolvedPeer | null }) => {
        const [request] = inPhase(context.requests, 'resolving').filter((one) => one.requestId === requestId)
        if (request) enqueue.emit(resolvedFact(requestId, found ? { found } : request.fallback))
      },
    ),
    add: assign(({ context }, { requestId, where, replace }: CommandOf<'peer.add'>) => {
      const at = addressToAdd(context, where)
      if (!at) return {}
      const revision = context.revision + 1
      return {
        table: addPeer(replace ? new Map() : context.table, at).table,
        revision,
        requests: begin<TableRequest>(context.requests, { requestId, phase: 'saving', revision, at }),
      }
    }),
    emitCount: emit(({ context }) => ({ type: 'table.changed', count: countOf(context.table) })),
    emitDiscovered: emit((_, { where }: { where: string }) => {
      const at = parsed(where)
      return { type: 'peer.addressDiscovered', endpoints: at ? [at] : [] }
    }),
    rejectAdd: emit((_, { requestId, where }: CommandOf<'peer.add'>) => ({
      type: 'peer.addFailed',
      requestId,
      ...(parsed(where) ? selfFailure(where) : new AppError('bad_address', { where }).toJSON()),
    })),
    /** Also merges what was said of known peers; `from` is the host that said it. */
    addUnverified: assign(({ context }, { named, from }: { named: readonly UnverifiedPeer[]; from?: string }) => {
      if (named.length === 0) return {}
      const table = mergeReported(context.table, named, from)
      const revision = table === context.table ? context.revision : context.revision + 1
      return { table, revision, unverified: addUnverified(context.unverified, named, context) }
    }),
    emitUnverifiedAdded: emit((_, { requestId }: RequestId) => ({ type: 'table.unverifiedAdded', requestId })),
    /** Publishes the first page. A repeated request begins the list anew, because its sender has seen none of it. */
    list: enqueueActions(({ context, enqueue }, { type, requestId }: { type: Listing['command'] } & RequestId) => {
      const { facts, left: listing } = nextPage(listingOf(type, context), requestId, context)
      for (const fact of facts) enqueue.emit(fact)
      if (type === 'peer.list') enqueue.assign({ listedAt: context.now })
      if (!listing) return enqueue.assign({ requests: end(context.requests, requestId) })
      const isRepeated = find(context.requests, requestId) !== undefined
      enqueue.assign({
        requests: isRepeated
          ? enter(join(context.requests, requestId), requestId, 'listing', { listing })
          : begin<TableRequest>(context.requests, { requestId, phase: 'listing', listing }),
      })
    }),
    listNext: enqueueActions(({ context, enqueue }, { requestId }: RequestId) => {
      const [request] = inPhase(context.requests, 'listing').filter((one) => one.requestId === requestId)
      if (!request) return
      const { facts, left: listing } = nextPage(request.listing, requestId, context)
      for (const fact of facts) enqueue.emit(fact)
      enqueue.assign({
        requests: listing
          ? enter(context.requests, requestId, 'listing', { listing })
          : end(context.requests, requestId),
      })
    }),
    crawl: assign(({ context, spawn }, { requestId, hops }: CommandOf<'table.update'>) => {
      const { table, self, now, signal } = context
      const known = [...table.values()].filter(({ status }) => status !== 'dropped').map((row) => probeOf(row, context))
      const input = { requestId, hops, known, upload: uploadOf(publicRows(table, self, now)), signal }
      spawn('crawl', { id: childId(requestId), input })
      return { requests: begin<TableRequest>(context.requests, { requestId, phase: 'crawling' }) }
    }),
    enterSaving: assign({
      requests: ({ context: { requests, revision } }, { requestId }: RequestId) =>
        enter(requests, requestId, 'saving', { revision }),
    }),
    /** Replies to the requests that waited for the revision that is now on the disk. */
    replyToSaving: enqueueActions(({ context, enqueue }, { failure }: { failure?: Failure }) => {
      const isWritten = (one: TableRequest) => one.phase === 'saving' && one.revision <= context.writing
      for (const request of inPhase(context.requests, 'saving').filter(isWritten))
        enqueue.emit(savedFact(context, request, failure))
      enqueue.assign({ requests: end(context.requests, isWritten) })
    }),
  },
})

function isAwaited({ requests }: Context): boolean {
  return inPhase(requests, 'saving').length > 0
}
