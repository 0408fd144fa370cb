import { assign, emit, enqueueActions, fromCallback, fromPromise, setup, stopChild } from 'xstate'
import { TABLE_PAUSE_MS, TABLE_SAVE_MS, TABLE_TICK_MS } from '../protocol/defaults/ipTable.ts'
import { AppError, toFailure } from '../protocol/errors.ts'
import type { AddressDiscovered } from '../protocol/gossip.ts'
import type { Failure } from '../protocol/ids.ts'
import type { IpTableAccepts, IpTableEmits, Peer } from '../protocol/ipTable.ts'
import { formatAddress } from '../protocol/net/address.ts'
import { gather } from './ipTable/candidates.ts'
import { deaf, hearOf, linkedTo, linksAfter } from './ipTable/gossipChange.ts'
import { type Context, contextOf, type IpTableInput } from './ipTable/ipTableContext.ts'
import type { AskNameInput, IpTableInside, ProbeInput, SaveInput, WalkInput } from './ipTable/ipTablePorts.ts'
import { meet, observed } from './ipTable/peerChange.ts'
import { type Found, lookUp } from './ipTable/peerLookUp.ts'
import { parsed, peerOf } from './ipTable/peerRow.ts'
import {
  addPeer,
  type Change,
  countOf,
  fileOf,
  holderOf,
  isSelfAt,
  listOf,
  offerOf,
  type Self,
  type Table,
} from './ipTable/peerTable.ts'
import { learn, plan, probeOf } from './ipTable/peerWatch.ts'
import { placesOf, type Seen, witness } from './ipTable/selfPlaces.ts'

/** Keeps the list of peers that answer: learns them, looks after them, writes them down, finds them by name. */
export const ipTableMachine = setup({
  types: {
    context: {} as Context,
    input: {} as IpTableInput,
    events: {} as IpTableAccepts | IpTableInside,
    emitted: {} as IpTableEmits,
  },
  actors: {
    save: fromPromise<void, SaveInput>(() => Promise.reject(new Error('not provided'))),
    askName: fromCallback<IpTableInside, AskNameInput>(({ input, sendBack }) =>
      sendBack({ type: 'lookUp.ended', requestId: input.requestId, found: null }),
    ),
    probe: fromCallback<IpTableInside, ProbeInput>(({ input, sendBack }) =>
      sendBack({ type: 'probe.ended', key: input.key, outcome: { kind: 'skipped' } }),
    ),
    walk: fromCallback<IpTableInside, WalkInput>(({ input, sendBack }) =>
      sendBack({ type: 'walk.ended', requestId: input.requestId, named: [] }),
    ),
    watchAddresses: fromCallback<IpTableInside, { signal: AbortSignal }>(() => {}),
  },
  delays: { tick: TABLE_TICK_MS, gathering: TABLE_SAVE_MS, pause: TABLE_PAUSE_MS },
  guards: {
    isUnsaved: ({ context }) => context.revision > context.saved,
    /** A single command ends before anything could be gathered. */
    isAwaited: ({ context }) => context.waiting.length > 0 || !context.watch,
    isUrgent: ({ context }) => context.waiting.length > 0 || (context.hurry && context.revision > context.saved),
  },
  actions: {
    commit: enqueueActions(({ context, enqueue }, { table, said }: Change) => {
      if (table === context.table) return
      const moved = said.some(({ type }) => type === 'peer.joined' || type === 'peer.gone')
      // A single command ends before anything could be gathered.
      const hurry = context.hurry || moved || !context.watch
      enqueue.assign({ table, revision: context.revision + 1, hurry })
      for (const fact of said) {
        enqueue.emit(fact)
        const met = fact.type === 'peer.joined' && seedAddress(table, fact.peer)
        if (met) enqueue.emit(met)
      }
      const count = countOf(table)
      if (moved || count !== countOf(context.table)) enqueue.emit({ type: 'table.changed', count })
    }),
    /** Gossip says where this node can be dialled. */
    place: enqueueActions(({ context, enqueue }, { self, seen }: { self: Self; seen: Seen }) => {
      const addresses = placesOf(self, seen)
      const before = placesOf(context.self, context.seen)
      enqueue.assign({ self, seen })
      if (addresses.join() !== before.join())
        enqueue.emit({ type: 'table.selfAddressesChanged', addresses, port: self.port })
    }),
    lookAround: enqueueActions(({ context, enqueue }) => {
      const { probes, candidates } = context.watch ? plan(context) : { probes: [], candidates: context.candidates }
      if (probes.length === 0) return
      enqueue.assign({ candidates, probing: new Set([...context.probing, ...probes.map(({ key }) => key)]) })
      for (const input of probes) enqueue.spawnChild('probe', { id: `probe ${input.key}`, input })
    }),
    answerWaiting: enqueueActions(({ context, enqueue }, { failure }: { failure?: Failure }) => {
      const ready = context.waiting.filter(({ revision }) => revision <= context.writing)
      enqueue.assign({ waiting: context.waiting.filter((one) => !ready.includes(one)) })
      for (const { requestId, at } of ready) {
        const row = at && holderOf(context.table, at)
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
    answerLookUp: enqueueActions(
      ({ context, enqueue }, { requestId, found }: { requestId: string; found: Found | null }) => {
        const { [requestId]: otherwise, ...lookingUp } = context.lookingUp
        if (!otherwise) return
        enqueue.assign({ lookingUp })
        const answer = found ? { found } : otherwise
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
    looking: {
      initial: 'resting',
      // A state of its own below: leaving and entering a region itself would leave and enter its sibling too.
      states: {
        resting: {
          entry: 'lookAround',
          after: {
            tick: { target: 'resting', reenter: true, actions: assign({ now: ({ context }) => context.now + 1 }) },
          },
        },
      },
    },
    keeping: {
      initial: 'settled',
      states: {
        settled: {
          always: { guard: 'isUrgent', target: 'saving' },
          after: {
            gathering: [
              { guard: 'isUnsaved', target: 'saving' },
              { target: 'settled', reenter: true },
            ],
          },
        },
        /** When a whole network comes up, one save takes in many that joined. */
        pausing: {
          always: { guard: 'isAwaited', target: 'settled' },
          after: { pause: 'settled' },
        },
        saving: {
          entry: assign({ writing: ({ context }) => context.revision, hurry: false }),
          invoke: {
            src: 'save',
            id: 'save',
            input: ({ context }) => ({ file: fileOf(context.table, context.file) }),
            onDone: {
              target: 'pausing',
              actions: [assign({ saved: ({ context }) => context.writing }), { type: 'answerWaiting', params: {} }],
            },
            onError: {
              target: 'pausing',
              actions: [
                emit(({ event }) => ({ type: 'table.saveFailed', ...toFailure(event.error) })),
                { type: 'answerWaiting', params: ({ event }) => ({ failure: toFailure(event.error) }) },
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
        const answer = lookUp(context.table, where)
        if ('found' in answer) enqueue.emit({ type: 'peer.resolved', requestId, ...answer.found })
        else if ('failure' in answer) enqueue.emit({ type: 'peer.resolveFailed', requestId, ...answer.failure })
        else if (!(requestId in context.lookingUp)) {
          enqueue.assign({ lookingUp: { ...context.lookingUp, [requestId]: answer.otherwise } })
          const input = { requestId, at: answer.ask, signal: context.signal }
          enqueue.spawnChild('askName', { id: `askName ${requestId}`, input })
        }
      }),
    },
    'lookUp.ended': {
      actions: [
        stopChild(({ event }) => `askName ${event.requestId}`),
        { type: 'answerLookUp', params: ({ event }) => event },
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
    'table.offer': {
      actions: enqueueActions(({ context, event, enqueue }) => {
        enqueue.assign({ candidates: gather(context.candidates, event.candidates, context) })
        const document = JSON.stringify(offerOf(context.table, context.self, context.now))
        enqueue.emit({ type: 'table.offered', requestId: event.requestId, document })
      }),
    },
    'table.update': {
      actions: enqueueActions(({ context, event: { requestId, hops }, enqueue }) => {
        if (context.walking.includes(requestId)) return
        enqueue.assign({ walking: [...context.walking, requestId] })
        const known = [...context.table.values()].filter(({ standing }) => standing !== 'dropped')
        enqueue.spawnChild('walk', {
          id: `walk ${requestId}`,
          input: {
            requestId,
            hops,
            known: known.map((row) => probeOf(row, context)),
            document: JSON.stringify(offerOf(context.table, context.self, context.now)),
            signal: context.signal,
          },
        })
      }),
    },
    'walk.asked': {
      actions: [
        { type: 'commit', params: ({ context, event }) => learn(context, event.key, event.outcome) },
        emit(({ event }) => event.progress),
      ],
    },
    'walk.ended': {
      actions: [
        stopChild(({ event }) => `walk ${event.requestId}`),
        assign({
          candidates: ({ context, event }) => gather(context.candidates, event.named, context),
          walking: ({ context, event }) => context.walking.filter((id) => id !== event.requestId),
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
        { type: 'commit', params: ({ context, event }) => learn(context, event.key, event.outcome) },
      ],
    },
    'contact.made': {
      actions: {
        type: 'commit',
        params: ({ context, event }) => meet(context.table, event, context.self, context.now),
      },
    },
    'speed.measured': {
      actions: {
        type: 'commit',
        params: ({ context: { table, now }, event: { host, port, download, upload, latencyNs } }) =>
          observed(
            { table, said: [] },
            { host, port },
            { latencyNs, ...(download !== null && { download }), ...(upload !== null && { upload }) },
            now,
          ),
      },
    },
    'record.*': {
      actions: { type: 'commit', params: ({ context, event }) => hearOf(context, event) },
    },
    'record.ownSigned': {
      actions: assign({
        self: ({ context, event }) => ({ ...context.self, information: event.record.customInformation }),
      }),
    },
    'link.*': {
      actions: [
        assign({ links: ({ context, event }) => linksAfter(context.links, event) }),
        { type: 'commit', params: ({ context, event }) => hearOf(context, event) },
      ],
    },
    'node.concernCrashed': {
      guard: ({ event }) => event.concern === 'gossip',
      actions: [assign({ links: new Map() }), { type: 'commit', params: ({ context }) => deaf(context.table) }],
    },
    'gossip.selfAddressObserved': {
      actions: {
        type: 'place',
        params: ({ context: { self, seen }, event }) => ({ self, seen: witness(seen, event.by, event.address) }),
      },
    },
    'self.moved': {
      actions: {
        type: 'place',
        params: ({ context: { self, seen }, event: { addresses, outside } }) => ({
          self: { ...self, addresses, outside },
          seen,
        }),
      },
    },
    'request.abandoned': {
      actions: [
        stopChild(({ event }) => `askName ${event.requestId}`),
        stopChild(({ event }) => `walk ${event.requestId}`),
        assign({
          walking: ({ context, event }) => context.walking.filter((id) => id !== event.requestId),
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

/** How gossip reaches a peer of which it has no record: at an address where its key was proved. */
function seedAddress(table: Table, { id }: Peer): AddressDiscovered | undefined {
  const row = id && table.get(id)
  if (!row || row.seq > 0) return undefined
  const trusted = row.addresses.filter((at) => at.trusted)
  return trusted.length > 0 ? { type: 'peer.addressDiscovered', addresses: trusted.map(formatAddress), id } : undefined
}

function itself(where: string): Failure {
  return new AppError('bad_request', { why: `${where} is this node itself` }).toJSON()
}
