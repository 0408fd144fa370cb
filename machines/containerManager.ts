import { assign, emit, enqueueActions, fromCallback, sendTo, setup } from 'xstate'
import type {
  ContainerManagerCommand,
  ContainerManagerHears,
  ContainerManagerSays,
} from '../protocol/containerManager.ts'
import { ENGINE_RETRY_MS } from '../protocol/defaults.ts'
import { Fault, toFailure } from '../protocol/errors.ts'
import type { Failure } from '../protocol/ids.ts'
import { containerMachine } from './container.ts'
import type { Found, GuestSays, LinkSays, LogsInput, LogsSay } from './containerManager/guest.ts'
import { imageShelfMachine, type ShelfSays } from './containerManager/imageShelf.ts'
import {
  adopted,
  afterGuestSaid,
  changed,
  entry,
  guestOf,
  type LentGuests,
  lentTo,
  lookUp,
  type Removed,
  refusal,
} from './containerManager/lentGuests.ts'

export interface ContainerManagerInput {
  maxContainers: number
  /** Name of the image folder that is built ahead of need, and used where none is named. */
  defaultImage: string
  /** Look after the engine at once and build ahead of need; else only when something is asked. */
  background: boolean
}

interface Context extends ContainerManagerInput {
  /** Why there is no engine; null while there is one, and until the first answer. */
  failure: Failure | null
  /** Commands that came before the engine's first answer. */
  held: ContainerManagerCommand[]
  guests: LentGuests
  /** Guests so far, so that each gets an id of its own. */
  born: number
  /** Slugs whose absence in the engine's next list means that they are gone. */
  expected: string[]
  removed: readonly Removed[]
  /** Requests whose logs are being read; each is the id of a child. */
  readers: string[]
}

type CommandOf<T extends ContainerManagerCommand['type']> = Extract<ContainerManagerCommand, { type: T }>

const notProvided = toFailure(new Error('not provided'))

/** Lends containers: keeps the connection to the engine, one child for each guest, and answers for them. */
export const containerManagerMachine = setup({
  types: {
    context: {} as Context,
    input: {} as ContainerManagerInput,
    events: {} as ContainerManagerHears | GuestSays | ShelfSays | LinkSays | LogsSay,
    emitted: {} as ContainerManagerSays,
    children: {} as { shelf: 'shelf'; link: 'link' },
  },
  actors: {
    container: containerMachine,
    shelf: imageShelfMachine,
    link: fromCallback<LinkSays>(({ sendBack }) => sendBack({ type: 'link.lost', failure: notProvided })),
    readLogs: fromCallback<LogsSay, LogsInput>(({ input, sendBack }) =>
      sendBack({ type: 'logs.failed', requestId: input.requestId, failure: notProvided }),
    ),
  },
  delays: { engineRetry: ENGINE_RETRY_MS },
  guards: {
    engineUnknown: ({ context }) => context.failure === null,
    inBackground: ({ context }) => context.background,
    reading: ({ context }, { requestId }: { requestId: string }) => context.readers.includes(requestId),
  },
  actions: {
    hold: assign({ held: ({ context }, command: ContainerManagerCommand) => [...context.held, command] }),
    /** One of those that asked with this request has gone; another may still wait. */
    drop: assign({
      held: ({ context: { held } }, { requestId }: { requestId: string }) => {
        const index = held.findIndex((command) => command.requestId === requestId)
        return index < 0 ? held : held.toSpliced(index, 1)
      },
    }),
    release: enqueueActions(({ context, enqueue }) => {
      for (const command of context.held) enqueue.raise(command)
      enqueue.assign({ held: [] })
    }),
    refuse: emit(({ context }, command: ContainerManagerCommand) => refusal(command, context.failure ?? notProvided)),
    list: emit(({ context }, { requestId, caller }: CommandOf<'container.list'>) => ({
      type: 'container.listed',
      requestId,
      containers: lentTo(context.guests, caller),
    })),
    expectAll: assign({
      expected: ({ context }) =>
        Object.values(context.guests)
          .filter(({ lent }) => lent?.state === 'running' || lent?.state === 'stopped')
          .map(({ slug }) => slug),
    }),
    /** Carries on with what the engine has: knows its guests again, takes back those half made, forgets the gone. */
    adopt: enqueueActions(({ context, enqueue, self }, { found, all }: { found: readonly Found[]; all: boolean }) => {
      const bySlug = new Map(Object.values(context.guests).map((guest) => [guest.slug, guest]))
      for (const one of found) {
        const known = bySlug.get(one.slug)
        const state = one.running ? 'engine.running' : 'engine.stopped'
        if (known) enqueue.sendTo(known.ref, { type: one.whole ? state : 'engine.made' })
        else
          enqueue.assign(({ context: { guests, born }, spawn }) => {
            const key = `guest ${born}`
            const ref = spawn('container', { id: key, input: { key, parent: self, found: one } })
            return { born: born + 1, guests: { ...guests, [key]: entry(ref, adopted(one)) } }
          })
      }
      const here = new Set(found.map(({ slug }) => slug))
      for (const slug of all ? context.expected : []) {
        const gone = bySlug.get(slug)
        if (gone && !here.has(slug)) enqueue.sendTo(gone.ref, { type: 'engine.gone' })
      }
    }),
    passOn: enqueueActions(({ context, enqueue }, { slug, change }: Extract<LinkSays, { type: 'link.changed' }>) => {
      const guest = Object.values(context.guests).find((one) => one.slug === slug)
      if (guest) enqueue.sendTo(guest.ref, { type: `engine.${change}` })
    }),
    create: enqueueActions(({ context, enqueue, self }, command: CommandOf<'container.create'>) => {
      const [known, guest] = guestOf(context.guests, command.caller, command.requestId) ?? []
      const { maxContainers, defaultImage, guests, born } = context
      if (known && guest) {
        enqueue.assign({ guests: changed(guests, known, { askers: guest.askers + 1 }) })
        enqueue.sendTo(guest.ref, { type: 'ask' })
      } else if (Object.keys(guests).length >= maxContainers) {
        enqueue.emit(refusal(command, new Fault('limit_reached', { count: maxContainers })))
      } else {
        const { type: _, ...asked } = command
        const wish = { ...asked, image: asked.image || defaultImage }
        enqueue.assign(({ spawn }) => {
          const key = `guest ${born}`
          const ref = spawn('container', { id: key, input: { key, parent: self, wish } })
          return { born: born + 1, guests: { ...guests, [key]: entry(ref, { ...wish, askers: 1 }) } }
        })
      }
    }),
    remove: enqueueActions(({ context, enqueue }, command: CommandOf<'container.remove'>) => {
      const { requestId } = command
      const found = lookUp(context, command.caller, command.id)
      if (found instanceof Fault) enqueue.emit(refusal(command, found))
      else if (!found.guest) enqueue.emit({ type: 'container.removed', requestId, id: found.id })
      else {
        const removers = [...found.guest.removers, requestId]
        enqueue.assign({ guests: changed(context.guests, found.key, { removers }) })
        enqueue.sendTo(found.guest.ref, { type: 'remove' })
      }
    }),
    readLogs: enqueueActions(({ context, enqueue }, command: CommandOf<'container.logs'>) => {
      const { requestId, follow, tail, id } = command
      const found = lookUp(context, command.caller, id)
      if (found instanceof Fault) enqueue.emit(refusal(command, found))
      else if (!found.guest) enqueue.emit(refusal(command, new Fault('not_found', { kind: 'container', id })))
      else {
        enqueue.assign({ readers: [...context.readers, requestId] })
        enqueue.spawnChild('readLogs', { id: `logs ${requestId}`, input: { requestId, id: found.id, follow, tail } })
      }
    }),
    stopReading: enqueueActions(({ context, enqueue }, { requestId }: { requestId: string }) => {
      enqueue.stopChild(`logs ${requestId}`)
      enqueue.assign({ readers: context.readers.filter((id) => id !== requestId) })
    }),
    buildAhead: enqueueActions(({ context, enqueue }) => {
      if (context.background) enqueue.sendTo('shelf', { type: 'shelf.build', requestId: '' })
    }),
    abandon: enqueueActions(({ context, enqueue }, { requestId }: { requestId: string }) => {
      enqueue.sendTo('shelf', { type: 'shelf.abandon', requestId })
      for (const [key, guest] of Object.entries(context.guests)) {
        if (guest.requestId !== requestId || guest.askers === 0) continue
        enqueue.assign({ guests: changed(context.guests, key, { askers: guest.askers - 1 }) })
        if (guest.askers === 1) enqueue.sendTo(guest.ref, { type: 'abandon' })
      }
    }),
    /** Notes what a guest said, and publishes what follows from it. */
    guestSaid: enqueueActions(({ context, enqueue }, said: GuestSays) => {
      const guest = context.guests[said.key]
      const { facts, ...now } = afterGuestSaid(context, said)
      enqueue.assign(now)
      for (const fact of facts) enqueue.emit(fact)
      if (!guest) return
      if (said.type === 'guest.gone') enqueue.stopChild(guest.ref)
      if (said.type === 'guest.needsImage')
        enqueue.sendTo('shelf', { type: 'shelf.want', name: guest.image, again: said.again, guest: guest.ref })
    }),
  },
}).createMachine({
  id: 'containerManager',
  context: ({ input }) => ({
    ...input,
    failure: null,
    held: [],
    guests: {},
    born: 0,
    expected: [],
    removed: [],
    readers: [],
  }),
  invoke: {
    src: 'shelf',
    id: 'shelf',
    input: ({ context, self }) => ({ parent: self, defaultImage: context.defaultImage }),
  },
  initial: 'sleeping',
  states: {
    sleeping: {
      always: { guard: 'inBackground', target: 'linked' },
      on: {
        'container.*': { target: 'linked', actions: { type: 'hold', params: ({ event }) => event } },
        'image.build': { target: 'linked', actions: { type: 'hold', params: ({ event }) => event } },
      },
    },
    linked: {
      entry: 'expectAll',
      invoke: { src: 'link', id: 'link' },
      initial: 'connecting',
      on: {
        'link.lost': [
          {
            guard: 'engineUnknown',
            target: 'missing',
            actions: [
              assign({ failure: ({ event }) => event.failure }),
              emit(({ event }) => ({ type: 'engine.lost', ...event.failure })),
              'release',
            ],
          },
          { target: 'missing' },
        ],
      },
      states: {
        connecting: {
          on: {
            'link.ready': {
              target: 'lending',
              actions: [
                assign({ failure: null }),
                emit(({ event }) => ({ type: 'engine.connected', version: event.version })),
                { type: 'adopt', params: ({ event }) => ({ found: event.found, all: true }) },
                'buildAhead',
                'release',
              ],
            },
          },
        },
        lending: {
          on: {
            'link.made': {
              actions: { type: 'adopt', params: ({ event }) => ({ found: [event.found], all: false }) },
            },
            'link.changed': { actions: { type: 'passOn', params: ({ event }) => event } },
            'container.create': { actions: { type: 'create', params: ({ event }) => event } },
            'container.remove': { actions: { type: 'remove', params: ({ event }) => event } },
            'container.list': { actions: { type: 'list', params: ({ event }) => event } },
            'container.logs': [
              { guard: { type: 'reading', params: ({ event }) => event } },
              { actions: { type: 'readLogs', params: ({ event }) => event } },
            ],
            'image.build': {
              actions: sendTo('shelf', ({ event }) => ({ type: 'shelf.build', requestId: event.requestId })),
            },
          },
        },
      },
    },
    missing: { after: { engineRetry: 'linked' } },
  },
  on: {
    // Reached only while no engine is linked: until its first answer commands wait, later they are told at once.
    'container.*': [
      { guard: 'engineUnknown', actions: { type: 'hold', params: ({ event }) => event } },
      { actions: { type: 'refuse', params: ({ event }) => event } },
    ],
    'image.build': [
      { guard: 'engineUnknown', actions: { type: 'hold', params: ({ event }) => event } },
      { actions: { type: 'refuse', params: ({ event }) => event } },
    ],
    'request.abandoned': {
      actions: [
        { type: 'abandon', params: ({ event }) => event },
        { type: 'stopReading', params: ({ event }) => event },
        { type: 'drop', params: ({ event }) => event },
      ],
    },
    'shelf.said': { actions: emit(({ event }) => event.fact) },
    'guest.*': { actions: { type: 'guestSaid', params: ({ event }) => event } },
    'logs.line': {
      actions: emit(({ event: { requestId, stream, line } }) => ({
        type: 'container.logged',
        requestId,
        stream,
        line,
      })),
    },
    'logs.ended': {
      actions: [
        { type: 'stopReading', params: ({ event }) => event },
        emit(({ event }) => ({ type: 'container.logsEnded', requestId: event.requestId })),
      ],
    },
    'logs.failed': {
      actions: [
        { type: 'stopReading', params: ({ event }) => event },
        emit(({ event: { requestId, failure } }) => ({ type: 'container.logsFailed', requestId, ...failure })),
      ],
    },
  },
  options: { maxIterations: 1_000 },
})
