import { assign, emit, enqueueActions, fromPromise, setup } from 'xstate'
import { AppError, toFailure } from '../protocol/errors.ts'
import type { TrustFile } from '../protocol/files/trust.ts'
import type { Failure, NodeId } from '../protocol/ids.ts'
import type { TrustAccepts, TrustCommand, TrustEmits, TrustedPeer } from '../protocol/trust.ts'
import {
  endIfAbandoned,
  enter,
  joinIfRepeated,
  type Requests,
  requestActions,
  requestGuards,
  type Tracked,
} from './requests.ts'

type Entry = TrustFile['peers'][number]
/** A command that changes the list. */
type Change = Exclude<TrustCommand, { type: 'trust.list' }>

/** The list after the change, and the peer that the change concerns. */
interface Draft {
  peer: TrustedPeer
  peers: Entry[]
}

/** A parsed public key: its node id, and the time at which it was parsed. */
export interface ReadKey {
  id: NodeId
  key: string
  comment: string
  /** A time in ISO 8601. */
  at: string
}

interface Context {
  /** The content of the file, from which the rights follow. */
  peers: Entry[]
  /**
   * The changes, in the order in which they arrived. They run one at a time: the first is `changing`, or will be next.
   */
  requests: Requests<Tracked<'queued' | 'changing'> & { change: Change }>
  draft: Draft | null
}

const queues = [
  joinIfRepeated,
  {
    actions: {
      type: 'begin',
      params: ({ event }: { event: Change }) => ({
        requestId: event.requestId,
        phase: 'queued' as const,
        change: event,
      }),
    },
  },
] as const

const trustSetup = setup({
  types: {
    context: {} as Context,
    input: {} as { peers: Entry[] },
    events: {} as TrustAccepts,
    emitted: {} as TrustEmits,
  },
  actors: {
    readKey: fromPromise<ReadKey, { key: string }>(() => Promise.reject(new Error('not provided'))),
    save: fromPromise<void, { peers: Entry[] }>(() => Promise.reject(new Error('not provided'))),
  },
  guards: {
    ...requestGuards<Context>(),
    isAdd: ({ context }) => nextChange(context)?.type === 'trust.add',
    isRemove: ({ context }) => nextChange(context)?.type === 'trust.remove',
    hasDraft: ({ context }) => context.draft !== null,
  },
  actions: requestActions<Context, TrustAccepts>(),
}).extend({
  actions: {
    startChange: assign({
      requests: ({ context: { requests } }) => enter(requests, (one) => one === requests[0], 'changing'),
    }),
    endChange: assign({ requests: ({ context }) => context.requests.slice(1), draft: null }),
    draftWith: assign({ draft: ({ context }, { read }: { read: ReadKey }) => withPeer(context, read) }),
    draftWithout: assign({ draft: ({ context }) => withoutPeer(context) }),
    commitDraft: assign({ peers: ({ context }) => context.draft?.peers ?? context.peers }),
    emitChanged: emit(({ context }) => ({ type: 'trust.changed', trusted: context.peers.map(({ id }) => id) })),
    emitDone: enqueueActions(({ context, enqueue }) => {
      const change = nextChange(context)
      if (!change || !context.draft) return
      const type = change.type === 'trust.add' ? 'trust.added' : 'trust.removed'
      enqueue.emit({ type, requestId: change.requestId, peer: context.draft.peer })
    }),
    emitFailed: enqueueActions(({ context, enqueue }, failure: Failure) => {
      const change = nextChange(context)
      if (!change) return
      const type = change.type === 'trust.add' ? 'trust.addFailed' : 'trust.removeFailed'
      enqueue.emit({ type, requestId: change.requestId, code: failure.code, message: failure.message })
    }),
  },
})

/**
 * Manages the peers that the owner trusts. Changes run one at a time, and the rights change only after the file is
 * written.
 */
export const trustMachine = trustSetup.createMachine({
  id: 'trust',
  context: ({ input }) => ({ peers: input.peers, requests: [], draft: null }),
  entry: 'emitChanged',
  initial: 'idle',
  states: {
    idle: {
      always: [
        { guard: 'isAdd', target: 'reading', actions: 'startChange' },
        { guard: 'isRemove', target: 'selecting', actions: 'startChange' },
      ],
    },
    reading: {
      invoke: {
        id: 'readKey',
        src: 'readKey',
        input: ({ context }) => {
          const change = nextChange(context)
          return { key: change?.type === 'trust.add' ? change.key : '' }
        },
        onDone: { target: 'saving', actions: { type: 'draftWith', params: ({ event }) => ({ read: event.output }) } },
        onError: {
          target: 'idle',
          actions: [{ type: 'emitFailed', params: ({ event }) => toFailure(event.error) }, 'endChange'],
        },
      },
    },
    selecting: {
      entry: 'draftWithout',
      always: [
        { guard: 'hasDraft', target: 'saving' },
        {
          target: 'idle',
          actions: [{ type: 'emitFailed', params: ({ context }) => removalFailure(context) }, 'endChange'],
        },
      ],
    },
    saving: {
      invoke: {
        id: 'save',
        src: 'save',
        input: ({ context }) => ({ peers: context.draft?.peers ?? context.peers }),
        onDone: { target: 'idle', actions: ['commitDraft', 'emitChanged', 'emitDone', 'endChange'] },
        onError: {
          target: 'idle',
          actions: [{ type: 'emitFailed', params: ({ event }) => toFailure(event.error) }, 'endChange'],
        },
      },
    },
  },
  on: {
    'trust.add': queues,
    'trust.remove': queues,
    // A change that has started is completed, because half of it cannot be reverted, and its fact informs everybody.
    'request.abandoned': endIfAbandoned('queued'),
    'trust.list': {
      actions: emit(({ context, event }) => ({
        type: 'trust.listed',
        requestId: event.requestId,
        peers: context.peers.map(toTrustedPeer),
      })),
    },
  },
  options: { maxIterations: 1_000 },
})

function nextChange({ requests }: Context): Change | undefined {
  return requests[0]?.change
}

/** Returns the list with the peer. A peer with the same key only gets the new name, if one is given. */
function withPeer(context: Context, { id, key, comment, at }: ReadKey): Draft | null {
  const { peers } = context
  const change = nextChange(context)
  if (change?.type !== 'trust.add') return null
  const known = peers.find((peer) => peer.id === id)
  const name = change.name || known?.name || comment
  const peer: Entry = { addedAt: at, ...known, id, name, key }
  return {
    peer: toTrustedPeer(peer),
    peers: known ? peers.map((one) => (one === known ? peer : one)) : [...peers, peer],
  }
}

function withoutPeer(context: Context): Draft | null {
  const { peers } = context
  const change = nextChange(context)
  const found = change?.type === 'trust.remove' ? findPeer(peers, change.who) : null
  if (!found || found instanceof AppError) return null
  return { peer: toTrustedPeer(found), peers: peers.filter((peer) => peer !== found) }
}

function removalFailure(context: Context): Failure {
  const { peers } = context
  const change = nextChange(context)
  const found = change?.type === 'trust.remove' ? findPeer(peers, change.who) : null
  return toFailure(found ?? new Error('nothing to remove'))
}

/** Finds a peer. An exact name, id or key wins over the beginning of an id, with or without its `SHA256:`. */
function findPeer(peers: Entry[], who: string): Entry | AppError {
  const key = who.trim().split(/ +/).slice(0, 2).join(' ')
  const exact = peers.filter((peer) => peer.name === who || peer.id === who || peer.key === key)
  const start = who.replace(/^SHA256:/, '')
  const found = exact.length > 0 || start === '' ? exact : peers.filter(({ id }) => id.startsWith(`SHA256:${start}`))
  const [first] = found
  const id = who.replace(/\p{Cc}/gu, '?').slice(0, 128)
  if (!first) return new AppError('not_found', { kind: 'trusted peer', id })
  if (found.length === 1) return first
  return new AppError('ambiguous', { kind: 'trusted peer', id, matches: found.map((peer) => peer.id).join(', ') })
}

function toTrustedPeer({ id, name, key }: Entry): TrustedPeer {
  return { id, name, key }
}
