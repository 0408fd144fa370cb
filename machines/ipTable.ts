import { assign, emit, enqueueActions, stopChild } from 'xstate'
import { SEEDS_PER_FACT_MAX } from '../protocol/defaults/ipTable.ts'
import { toFailure } from '../protocol/errors.ts'
import type { NetworkFact } from '../protocol/gossip.ts'
import { observeAddress } from './ipTable/advertisedAddresses.ts'
import { onGossipFact, onGossipLost } from './ipTable/gossipChange.ts'
import { type Context, contextOf } from './ipTable/ipTableContext.ts'
import { ipTableSetup } from './ipTable/ipTableSetup.ts'
import { addObservation, keyProved } from './ipTable/peerChange.ts'
import { dialled, notAnswered, pathFact } from './ipTable/peerPath.ts'
import { fileOf, seedsOf } from './ipTable/peerTable.ts'
import { applyOutcome, namedBy } from './ipTable/peerWatch.ts'
import { selfAddressesFact } from './ipTable/tableFacts.ts'
import { mergeReported } from './ipTable/unverified.ts'
import { childId, endIfAbandoned, joinIfRepeated } from './requests.ts'

const onRecordFact = {
  actions: {
    type: 'commit',
    params: ({ context, event }: { context: Context; event: NetworkFact }) => onGossipFact(context, event),
  },
} as const

const onLinkFact = {
  actions: [
    { type: 'updateLinks', params: ({ event }: { event: NetworkFact }) => event },
    {
      type: 'commit',
      params: ({ context, event }: { context: Context; event: NetworkFact }) => onGossipFact(context, event),
    },
  ],
} as const

/** Keeps the table of peers: discovers them, probes them, saves them, and finds them by name. */
export const ipTableMachine = ipTableSetup.createMachine({
  id: 'ipTable',
  context: ({ input }) => contextOf(input),
  invoke: { src: 'watchAddresses', id: 'watchAddresses', input: ({ context }) => ({ signal: context.signal }) },
  entry: enqueueActions(({ context, enqueue }) => {
    if (context.quarantined) enqueue.emit({ type: 'table.damaged', quarantined: context.quarantined })
    enqueue.emit(selfAddressesFact(context))
  }),
  type: 'parallel',
  states: {
    probing: {
      initial: 'idle',
      // A separate state below the region: leaving and entering the region itself would also leave and enter its
      // sibling.
      states: {
        idle: {
          entry: 'spawnProbes',
          after: {
            tick: {
              target: 'idle',
              reenter: true,
              actions: assign({ now: ({ context }) => context.now + context.step }),
            },
          },
        },
      },
    },
    persisting: {
      initial: 'idle',
      states: {
        idle: {
          always: [
            { guard: 'isUrgent', target: 'saving' },
            { guard: 'isUnsaved', target: 'collecting' },
          ],
        },
        /** Changes that nobody waits for are saved together. */
        collecting: {
          always: { guard: 'isUrgent', target: 'saving' },
          after: { saveDelay: 'saving' },
        },
        /** When a whole network starts, one save covers many peers that joined. */
        throttled: {
          always: { guard: 'isAwaited', target: 'idle' },
          after: { saveInterval: 'idle' },
        },
        saving: {
          entry: assign({ writing: ({ context }) => context.revision, flushNow: false }),
          invoke: {
            src: 'save',
            id: 'save',
            input: ({ context }) => ({ file: fileOf(context.table, context.file, context.startedAt) }),
            onDone: {
              target: 'throttled',
              actions: [assign({ saved: ({ context }) => context.writing }), { type: 'replyToSaving', params: {} }],
            },
            onError: {
              target: 'throttled',
              actions: [
                emit(({ event }) => ({ type: 'table.saveFailed', ...toFailure(event.error) })),
                { type: 'replyToSaving', params: ({ event }) => ({ failure: toFailure(event.error) }) },
              ],
            },
          },
        },
      },
    },
  },
  on: {
    'peer.resolve': [
      joinIfRepeated,
      {
        guard: { type: 'needsDns', params: ({ event }) => event },
        actions: { type: 'resolveDns', params: ({ event }) => event },
      },
      { actions: { type: 'replyResolved', params: ({ event }) => event } },
    ],
    'resolveDns.ended': {
      actions: [
        { type: 'replyToResolving', params: ({ event }) => event },
        { type: 'end', params: ({ event }) => event },
      ],
    },
    'peer.add': [
      joinIfRepeated,
      {
        guard: { type: 'isAddable', params: ({ event }) => event },
        actions: [
          { type: 'add', params: ({ event }) => event },
          'emitCount',
          { type: 'emitDiscovered', params: ({ event }) => event },
        ],
      },
      { actions: { type: 'rejectAdd', params: ({ event }) => event } },
    ],
    'peer.showPath': { actions: emit(({ context, event }) => pathFact(context, event)) },
    'peer.list': { actions: { type: 'list', params: ({ event }) => event } },
    'table.show': { actions: { type: 'list', params: ({ event }) => event } },
    'request.continued': { actions: { type: 'listNext', params: ({ event }) => event } },
    'table.addUnverified': {
      actions: [
        { type: 'addUnverified', params: ({ event }) => ({ named: event.unverified, from: event.from }) },
        { type: 'emitUnverifiedAdded', params: ({ event }) => event },
      ],
    },
    'table.update': [joinIfRepeated, { actions: { type: 'crawl', params: ({ event }) => event } }],
    'crawl.visited': {
      actions: [
        { type: 'commit', params: ({ context, event }) => applyOutcome(context, event.key, event.outcome) },
        assign({ table: ({ context, event }) => mergeReported(context.table, event.reported) }),
        emit(({ event }) => event.progress),
      ],
    },
    'crawl.ended': {
      actions: [
        stopChild(({ event }) => childId(event.requestId)),
        { type: 'addUnverified', params: ({ event }) => event },
        { type: 'enterSaving', params: ({ event }) => event },
      ],
    },
    'probe.ended': {
      actions: [
        stopChild(({ event }) => `probe ${event.key}`),
        assign({ probing: ({ context, event }) => new Set([...context.probing].filter((key) => key !== event.key)) }),
        { type: 'commit', params: ({ context, event }) => applyOutcome(context, event.key, event.outcome) },
        { type: 'addUnverified', params: ({ event: { outcome } }) => ({ named: namedBy(outcome) }) },
      ],
    },
    'dial.succeeded': {
      actions: [
        {
          type: 'commit',
          params: ({ context, event: { id, name = '', key = '', endpoint } }) =>
            id
              ? keyProved(context.table, { id, name, key, endpoint }, context.self, context.now)
              : { table: context.table, emitted: [] },
        },
        assign({ table: ({ context, event }) => dialled(context.table, event) }),
      ],
    },
    'dial.failed': { actions: assign({ table: ({ context, event }) => notAnswered(context.table, event) }) },
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
    'record.merged': onRecordFact,
    'record.suspected': onRecordFact,
    'record.cleared': onRecordFact,
    'record.dropped': onRecordFact,
    'record.ownSigned': {
      actions: assign({
        self: ({ context, event }) => ({ ...context.self, information: event.record.customInformation }),
      }),
    },
    'link.opened': onLinkFact,
    'link.closed': onLinkFact,
    'node.concernCrashed': {
      guard: ({ event }) => event.concern === 'gossip',
      actions: [assign({ links: new Map() }), { type: 'commit', params: ({ context }) => onGossipLost(context.table) }],
    },
    'gossip.started': {
      actions: enqueueActions(({ context, enqueue }) => {
        const all = seedsOf(context.table)
        for (let at = 0; at === 0 || at < all.length; at += SEEDS_PER_FACT_MAX)
          enqueue.emit({ type: 'table.seedsListed', seeds: all.slice(at, at + SEEDS_PER_FACT_MAX) })
      }),
    },
    'gossip.selfAddressObserved': {
      actions: {
        type: 'updateSelf',
        params: ({ context, event: { by, address } }) => ({
          observedAddresses: observeAddress(context.observedAddresses, by, address),
        }),
      },
    },
    'self.addressesChanged': {
      actions: {
        type: 'updateSelf',
        params: ({ context, event: { addresses, advertisable } }) => ({
          self: { ...context.self, addresses, advertisable },
        }),
      },
    },
    'port.nodeRelayed': {
      actions: { type: 'updateSelf', params: ({ event }) => ({ relayed: event.endpoints }) },
    },
    'reach.changed': {
      actions: { type: 'updateSelf', params: ({ event }) => ({ dialled: event.endpoints }) },
    },
    'node.addressFound': {
      actions: { type: 'updateSelf', params: ({ event }) => ({ publicAddress: event.address }) },
    },
    // A save in progress is completed all the same.
    'request.abandoned': endIfAbandoned('resolving', 'crawling', 'listing'),
  },
  options: { maxIterations: 1_000 },
})
