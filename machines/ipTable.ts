import { assign, emit, enqueueActions, fromCallback, fromPromise, setup, stopChild } from 'xstate'
import { TABLE_PAUSE_MS, TABLE_SAVE_MS, TABLE_TICK_MS } from '../protocol/defaults/ipTable.ts'
import { AppError, toFailure } from '../protocol/errors.ts'
import type { Failure } from '../protocol/ids.ts'
import type { IpTableAccepts, IpTableEmits } from '../protocol/ipTable.ts'
import { formatAddress } from '../protocol/net/address.ts'
import { advertisedAddresses, type ObservedAddresses, observeAddress } from './ipTable/advertisedAddresses.ts'
import { linkedTo, onGossipFact, onGossipLost, updateLinks } from './ipTable/gossipChange.ts'
import { type Context, contextOf, type IpTableInput } from './ipTable/ipTableContext.ts'
import type {
  CrawlInput,
  IpTableInternalEvent,
  ProbeInput,
  ResolveDnsInput,
  SaveInput,
} from './ipTable/ipTablePorts.ts'
import { addObservation, keyProved } from './ipTable/peerChange.ts'
import { type Found, lookUp } from './ipTable/peerLookUp.ts'
import { parsed, peerOf } from './ipTable/peerRow.ts'
import {
  addPeer,
  type Change,
  countOf,
  fileOf,
  findByAddress,
  isSelfAt,
  listOf,
  publicTableOf,
  type Self,
  seedAddress,
} from './ipTable/peerTable.ts'
import { applyOutcome, planProbes, probeOf } from './ipTable/peerWatch.ts'
import { addUnverified } from './ipTable/unverified.ts'

/** Keeps the list of peers that answer: learns them, looks after them, writes them down, finds them by name. */
export const ipTableMachine = setup({
  types: {
    context: {} as Context,
    input: {} as IpTableInput,
    events: {} as IpTableAccepts | IpTableInternalEvent,
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
  delays: { tick: TABLE_TICK_MS, saveDelay: TABLE_SAVE_MS, saveInterval: TABLE_PAUSE_MS },
  guards: {
    isUnsaved: ({ context }) => context.revision > context.saved,
    /** A single command ends before anything could be batched. */
    isAwaited: ({ context }) => context.waiting.length > 0 || !context.watch,
    isUrgent: ({ context }) => context.waiting.length > 0 || (context.flushNow && context.revision > context.saved),
  },
  actions: {
    commit: enqueueActions(({ context, enqueue }, { table, emitted }: Change) => {
      if (table === context.table) return
      const membersChanged = emitted.some(({ type }) => type === 'peer.joined' || type === 'peer.gone')
      // A single command ends before anything could be batched.
      const flushNow = context.flushNow || membersChanged || !context.watch
      enqueue.assign({ table, revision: context.revision + 1, flushNow })
      for (const fact of emitted) {
        enqueue.emit(fact)
        const met = fact.type === 'peer.joined' && seedAddress(table, fact.peer)
        if (met) enqueue.emit(met)
      }
      const count = countOf(table)
      if (membersChanged || count !== countOf(context.table)) enqueue.emit({ type: 'table.changed', count })
    }),
    /** Gossip says where this node can be dialled. */
    updateSelfAddresses: enqueueActions(
      ({ context, enqueue }, { self, observedAddresses }: { self: Self; observedAddresses: ObservedAddresses }) => {
        const addresses = advertisedAddresses(self, observedAddresses)
        const before = advertisedAddresses(context.self, context.observedAddresses)
        enqueue.assign({ self, observedAddresses })
        if (addresses.join() !== before.join())
          enqueue.emit({ type: 'table.selfAddressesChanged', addresses, port: self.port })
      },
    ),
    spawnProbes: enqueueActions(({ context, enqueue }) => {
      const { probes, unverified } = context.watch
        ? planProbes(context)
        : { probes: [], unverified: context.unverified }
      if (probes.length === 0) return
      enqueue.assign({ unverified, probing: new Set([...context.probing, ...probes.map(({ key }) => key)]) })
      for (const input of probes) enqueue.spawnChild('probe', { id: `probe ${input.key}`, input })
    }),
    replyToWaiting: enqueueActions(({ context, enqueue }, { failure }: { failure?: Failure }) => {
      const ready = context.waiting.filter(({ revision }) => revision <= context.writing)
      enqueue.assign({ waiting: context.waiting.filter((one) => !ready.includes(one)) })
      for (const { requestId, at } of ready) {
        const row = at && findByAddress(context.table, at)
        if (failure) enqueue.emit({ type: at ? 'peer.addFailed' : 'table.updateFailed', requestId, ...failure })
        else if (row) enqueue.emit({ type: 'peer.added', requestId, peer: peerOf(row, context.now, TABLE_TICK_MS) })
        else if (at) enqueue.emit({ type: 'peer.addFailed', requestId, ...itself(formatAddress(at)) })
        else
          enqueue.emit({
            type: 'table.updated',
            requestId,
            ...listOf(context.table, context.now, linkedTo(context.links)),
          })
      }
    }),
    replyToLookUp: enqueueActions(
      ({ context, enqueue }, { requestId, found }: { requestId: string; found: Found | null }) => {
        const { [requestId]: fallback, ...lookingUp } = context.lookingUp
        if (!fallback) return
        enqueue.assign({ lookingUp })
        const answer = found ? { found } : fallback
        if ('found' in answer) enqueue.emit({ type: 'peer.resolved', requestId, ...answer.found })
        else enqueue.emit({ type: 'peer.resolveFailed', requestId, ...answer.failure })
      },
    ),
  },
}).createMachine({
  id: 'ipTable',
  context: ({ input }) => contextOf(input),
  invoke: { src: 'watchAddresses', id: 'watchAddresses', input: ({ context }) => ({ signal: context.signal }) },
  entry: enqueueActions(({ context, enqueue }) => {
    if (context.quarantined) enqueue.emit({ type: 'table.damaged', quarantined: context.quarantined })
  }),
  type: 'parallel',
  states: {
    probing: {
      initial: 'idle',
      // A state of its own below: leaving and entering a region itself would leave and enter its sibling too.
      states: {
        idle: {
          entry: 'spawnProbes',
          after: {
            tick: { target: 'idle', reenter: true, actions: assign({ now: ({ context }) => context.now + 1 }) },
          },
        },
      },
    },
    persisting: {
      initial: 'idle',
      states: {
        idle: {
          always: { guard: 'isUrgent', target: 'saving' },
          after: {
            saveDelay: [
              { guard: 'isUnsaved', target: 'saving' },
              { target: 'idle', reenter: true },
            ],
          },
        },
        /** When a whole network comes up, one save takes in many that joined. */
        throttled: {
          always: { guard: 'isAwaited', target: 'idle' },
          after: { saveInterval: 'idle' },
        },
        saving: {
          entry: assign({ writing: ({ context }) => context.revision, flushNow: false }),
          invoke: {
            src: 'save',
            id: 'save',
            input: ({ context }) => ({ file: fileOf(context.table, context.file) }),
            onDone: {
              target: 'throttled',
              actions: [assign({ saved: ({ context }) => context.writing }), { type: 'replyToWaiting', params: {} }],
            },
            onError: {
              target: 'throttled',
              actions: [
                emit(({ event }) => ({ type: 'table.saveFailed', ...toFailure(event.error) })),
                { type: 'replyToWaiting', params: ({ event }) => ({ failure: toFailure(event.error) }) },
              ],
            },
          },
        },
      },
    },
  },
  on: {
    'peer.resolve': {
      actions: enqueueActions(({ context, event: { requestId, where }, enqueue }) => {
        const answer = lookUp(context.table, where, context)
        if ('found' in answer) enqueue.emit({ type: 'peer.resolved', requestId, ...answer.found })
        else if ('failure' in answer) enqueue.emit({ type: 'peer.resolveFailed', requestId, ...answer.failure })
        else if (!(requestId in context.lookingUp)) {
          enqueue.assign({ lookingUp: { ...context.lookingUp, [requestId]: answer.fallback } })
          const input = { requestId, at: answer.resolveDns, signal: context.signal }
          enqueue.spawnChild('resolveDns', { id: `resolveDns ${requestId}`, input })
        }
      }),
    },
    'resolveDns.ended': {
      actions: [
        stopChild(({ event }) => `resolveDns ${event.requestId}`),
        { type: 'replyToLookUp', params: ({ event }) => event },
      ],
    },
    'peer.add': {
      actions: enqueueActions(({ context, event: { requestId, where, replace }, enqueue }) => {
        const at = parsed(where)
        if (!at) enqueue.emit({ type: 'peer.addFailed', requestId, ...new AppError('bad_address', { where }).toJSON() })
        else if (isSelfAt(context.self, at)) enqueue.emit({ type: 'peer.addFailed', requestId, ...itself(where) })
        else {
          const { table } = addPeer(replace ? new Map() : context.table, at)
          const revision = context.revision + 1
          enqueue.assign({ table, revision, waiting: [...context.waiting, { requestId, revision, at }] })
          enqueue.emit({ type: 'table.changed', count: countOf(table) })
          enqueue.emit({ type: 'peer.addressDiscovered', addresses: [formatAddress(at)] })
        }
      }),
    },
    'peer.list': {
      actions: emit(({ context, event }) => ({
        type: 'peer.listed',
        requestId: event.requestId,
        ...listOf(context.table, context.now, linkedTo(context.links)),
      })),
    },
    'table.exchange': {
      actions: enqueueActions(({ context, event, enqueue }) => {
        enqueue.assign({ unverified: addUnverified(context.unverified, event.unverified, context) })
        const document = JSON.stringify(publicTableOf(context.table, context.self, context.now))
        enqueue.emit({ type: 'table.exchanged', requestId: event.requestId, document })
      }),
    },
    'table.update': {
      actions: enqueueActions(({ context, event: { requestId, hops }, enqueue }) => {
        if (context.crawling.includes(requestId)) return
        enqueue.assign({ crawling: [...context.crawling, requestId] })
        const known = [...context.table.values()].filter(({ status }) => status !== 'dropped')
        enqueue.spawnChild('crawl', {
          id: `crawl ${requestId}`,
          input: {
            requestId,
            hops,
            known: known.map((row) => probeOf(row, context)),
            document: JSON.stringify(publicTableOf(context.table, context.self, context.now)),
            signal: context.signal,
          },
        })
      }),
    },
    'crawl.visited': {
      actions: [
        { type: 'commit', params: ({ context, event }) => applyOutcome(context, event.key, event.outcome) },
        emit(({ event }) => event.progress),
      ],
    },
    'crawl.ended': {
      actions: [
        stopChild(({ event }) => `crawl ${event.requestId}`),
        assign({
          unverified: ({ context, event }) => addUnverified(context.unverified, event.named, context),
          crawling: ({ context, event }) => context.crawling.filter((id) => id !== event.requestId),
          waiting: ({ context, event }) => [
            ...context.waiting,
            { requestId: event.requestId, revision: context.revision },
          ],
        }),
      ],
    },
    'probe.ended': {
      actions: [
        stopChild(({ event }) => `probe ${event.key}`),
        assign({ probing: ({ context, event }) => new Set([...context.probing].filter((key) => key !== event.key)) }),
        { type: 'commit', params: ({ context, event }) => applyOutcome(context, event.key, event.outcome) },
      ],
    },
    'dial.succeeded': {
      actions: {
        type: 'commit',
        params: ({ context, event: { id, name = '', key = '', endpoint } }) =>
          id
            ? keyProved(context.table, { id, name, key, endpoint }, context.self, context.now)
            : { table: context.table, emitted: [] },
      },
    },
    'speed.measured': {
      actions: {
        type: 'commit',
        params: ({ context: { table, now }, event: { endpoint, download, upload, latencyNs } }) =>
          addObservation(
            { table, emitted: [] },
            endpoint,
            { latencyNs, ...(download !== null && { download }), ...(upload !== null && { upload }) },
            now,
          ),
      },
    },
    'record.*': {
      actions: { type: 'commit', params: ({ context, event }) => onGossipFact(context, event) },
    },
    'record.ownSigned': {
      actions: assign({
        self: ({ context, event }) => ({ ...context.self, information: event.record.customInformation }),
      }),
    },
    'link.*': {
      actions: [
        assign({ links: ({ context, event }) => updateLinks(context.links, event) }),
        { type: 'commit', params: ({ context, event }) => onGossipFact(context, event) },
      ],
    },
    'node.concernCrashed': {
      guard: ({ event }) => event.concern === 'gossip',
      actions: [assign({ links: new Map() }), { type: 'commit', params: ({ context }) => onGossipLost(context.table) }],
    },
    'gossip.selfAddressObserved': {
      actions: {
        type: 'updateSelfAddresses',
        params: ({ context: { self, observedAddresses }, event }) => ({
          self,
          observedAddresses: observeAddress(observedAddresses, event.by, event.address),
        }),
      },
    },
    'self.addressesChanged': {
      actions: {
        type: 'updateSelfAddresses',
        params: ({ context: { self, observedAddresses }, event: { addresses, advertisable } }) => ({
          self: { ...self, addresses, advertisable },
          observedAddresses,
        }),
      },
    },
    'request.abandoned': {
      actions: [
        stopChild(({ event }) => `resolveDns ${event.requestId}`),
        stopChild(({ event }) => `crawl ${event.requestId}`),
        assign({
          crawling: ({ context, event }) => context.crawling.filter((id) => id !== event.requestId),
          lookingUp: ({ context, event: { requestId } }) => {
            const { [requestId]: _, ...rest } = context.lookingUp
            return rest
          },
        }),
      ],
    },
  },
  options: { maxIterations: 1_000 },
})

function itself(where: string): Failure {
  return new AppError('bad_request', { why: `${where} is this node itself` }).toJSON()
}
