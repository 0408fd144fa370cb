import { assign, emit, enqueueActions, fromPromise, setup } from 'xstate'
import { AppError, toFailure } from '../protocol/errors.ts'
import type { TrustFile } from '../protocol/files/trust.ts'
import type { Failure, NodeId } from '../protocol/ids.ts'
import type { TrustAccepts, TrustCommand, TrustEmits, TrustedPeer } from '../protocol/trust.ts'

type Entry = TrustFile['peers'][number]
/** What changes the list, as against only asking for it. */
type Change = Exclude<TrustCommand, { type: 'trust.list' }>

/** The list as it will be, and whom the change is about. */
interface Draft {
  peer: TrustedPeer
  peers: Entry[]
}

/** A public key that was looked at: whose it is, and when that was. */
export interface ReadKey {
  id: NodeId
  key: string
  comment: string
  /** ISO 8601. */
  at: string
}

interface Context {
  /** What the file holds; the rights follow it. */
  peers: Entry[]
  /** Changes that wait for the one before them. */
  waiting: Change[]
  draft: Draft | null
}

/** Whom the owner trusts. One change at a time: the rights change when the file has, and not if it cannot. */
export const trustMachine = setup({
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
    isAdd: ({ context }) => context.waiting[0]?.type === 'trust.add',
    isRemove: ({ context }) => context.waiting[0]?.type === 'trust.remove',
    hasDraft: ({ context }) => context.draft !== null,
  },
  actions: {
    queueChange: assign({ waiting: ({ context }, { change }: { change: Change }) => [...context.waiting, change] }),
    draftWith: assign({ draft: ({ context }, { read }: { read: ReadKey }) => withPeer(context, read) }),
    draftWithout: assign({ draft: ({ context }) => withoutPeer(context) }),
    commitDraft: assign({ peers: ({ context }) => context.draft?.peers ?? context.peers }),
    emitChanged: emit(({ context }) => ({ type: 'trust.changed', trusted: context.peers.map(({ id }) => id) })),
    emitDone: enqueueActions(({ context, enqueue }) => {
      const [change] = context.waiting
      if (!change || !context.draft) return
      const type = change.type === 'trust.add' ? 'trust.added' : 'trust.removed'
      enqueue.emit({ type, requestId: change.requestId, peer: context.draft.peer })
    }),
    emitFailed: enqueueActions(({ context, enqueue }, failure: Failure) => {
      const [change] = context.waiting
      if (!change) return
      const type = change.type === 'trust.add' ? 'trust.addFailed' : 'trust.removeFailed'
      enqueue.emit({ type, requestId: change.requestId, code: failure.code, message: failure.message })
    }),
    dequeueChange: assign({ waiting: ({ context }) => context.waiting.slice(1), draft: null }),
  },
}).createMachine({
  id: 'trust',
  context: ({ input }) => ({ peers: input.peers, waiting: [], draft: null }),
  entry: 'emitChanged',
  initial: 'idle',
  states: {
    idle: {
      always: [
        { guard: 'isAdd', target: 'reading' },
        { guard: 'isRemove', target: 'selecting' },
      ],
    },
    reading: {
      invoke: {
        id: 'readKey',
        src: 'readKey',
        input: ({ context: { waiting } }) => ({ key: waiting[0]?.type === 'trust.add' ? waiting[0].key : '' }),
        onDone: { target: 'saving', actions: { type: 'draftWith', params: ({ event }) => ({ read: event.output }) } },
        onError: {
          target: 'idle',
          actions: [{ type: 'emitFailed', params: ({ event }) => toFailure(event.error) }, 'dequeueChange'],
        },
      },
    },
    selecting: {
      entry: 'draftWithout',
      always: [
        { guard: 'hasDraft', target: 'saving' },
        {
          target: 'idle',
          actions: [{ type: 'emitFailed', params: ({ context }) => removalFailure(context) }, 'dequeueChange'],
        },
      ],
    },
    saving: {
      invoke: {
        id: 'save',
        src: 'save',
        input: ({ context }) => ({ peers: context.draft?.peers ?? context.peers }),
        onDone: { target: 'idle', actions: ['commitDraft', 'emitChanged', 'emitDone', 'dequeueChange'] },
        onError: {
          target: 'idle',
          actions: [{ type: 'emitFailed', params: ({ event }) => toFailure(event.error) }, 'dequeueChange'],
        },
      },
    },
  },
  on: {
    'trust.add': { actions: { type: 'queueChange', params: ({ event }) => ({ change: event }) } },
    'trust.remove': { actions: { type: 'queueChange', params: ({ event }) => ({ change: event }) } },
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

/** The same key again only takes the new name, where one is given. */
function withPeer({ peers, waiting: [change] }: Context, { id, key, comment, at }: ReadKey): Draft | null {
  if (change?.type !== 'trust.add') return null
  const known = peers.find((peer) => peer.id === id)
  const name = change.name || comment || known?.name || ''
  const peer: Entry = { addedAt: at, ...known, id, name, key }
  return {
    peer: toTrustedPeer(peer),
    peers: known ? peers.map((one) => (one === known ? peer : one)) : [...peers, peer],
  }
}

function withoutPeer({ peers, waiting: [change] }: Context): Draft | null {
  const found = change?.type === 'trust.remove' ? findPeer(peers, change.who) : null
  if (!found || found instanceof AppError) return null
  return { peer: toTrustedPeer(found), peers: peers.filter((peer) => peer !== found) }
}

function removalFailure({ peers, waiting: [change] }: Context): Failure {
  const found = change?.type === 'trust.remove' ? findPeer(peers, change.who) : null
  return toFailure(found ?? new Error('nothing to remove'))
}

/** An exact name, id or key wins over the beginning of an id, with or without its `SHA256:`. */
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
