import { assign, emit, enqueueActions, fromCallback, sendTo, setup } from 'xstate'
import type {
  ContainerManagerAccepts,
  ContainerManagerCommand,
  ContainerManagerEmits,
} from '../protocol/containerManager.ts'
import { ENGINE_RETRY_MS } from '../protocol/defaults/containerManager.ts'
import { AppError, toFailure } from '../protocol/errors.ts'
import type { Failure } from '../protocol/ids.ts'
import { containerMachine } from './container.ts'
import {
  adoptedEntry,
  afterChildEvent,
  type Containers,
  failedFact,
  findByRequest,
  lookUp,
  newEntry,
  type RemovedContainer,
  summariesFor,
  withChanges,
} from './containerManager/containers.ts'
import type {
  AdoptedContainer,
  ContainerEmits,
  LinkEmits,
  LogsEmits,
  LogsInput,
} from './containerManager/containerTypes.ts'
import { type ImageStoreEmits, imageStoreMachine } from './containerManager/imageStore.ts'

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
  queue: ContainerManagerCommand[]
  containers: Containers
  /** Number of the next container, so that each child gets an id of its own. */
  nextId: number
  /** Names whose absence in the engine's next list means that they are gone. */
  expected: string[]
  removed: readonly RemovedContainer[]
  /** Requests whose logs are being read; each is the id of a child. */
  readers: string[]
}

type CommandOf<T extends ContainerManagerCommand['type']> = Extract<ContainerManagerCommand, { type: T }>

const notProvided = toFailure(new Error('not provided'))

/** Lends containers: keeps the connection to the engine, one child for each container, and answers for them. */
export const containerManagerMachine = setup({
  types: {
    context: {} as Context,
    input: {} as ContainerManagerInput,
    events: {} as ContainerManagerAccepts | ContainerEmits | ImageStoreEmits | LinkEmits | LogsEmits,
    emitted: {} as ContainerManagerEmits,
    children: {} as { imageStore: 'imageStore'; link: 'link' },
  },
  actors: {
    container: containerMachine,
    imageStore: imageStoreMachine,
    link: fromCallback<LinkEmits>(({ sendBack }) => sendBack({ type: 'link.lost', failure: notProvided })),
    readLogs: fromCallback<LogsEmits, LogsInput>(({ input, sendBack }) =>
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
    queue: assign({ queue: ({ context }, command: ContainerManagerCommand) => [...context.queue, command] }),
    /** One of those that asked with this request has gone; another may still wait. */
    dequeue: assign({
      queue: ({ context: { queue } }, { requestId }: { requestId: string }) => {
        const index = queue.findIndex((command) => command.requestId === requestId)
        return index < 0 ? queue : queue.toSpliced(index, 1)
      },
    }),
    flush: enqueueActions(({ context, enqueue }) => {
      for (const command of context.queue) enqueue.raise(command)
      enqueue.assign({ queue: [] })
    }),
    reject: emit(({ context }, command: ContainerManagerCommand) =>
      failedFact(command, context.failure ?? notProvided),
    ),
    list: emit(({ context }, { requestId, caller }: CommandOf<'container.list'>) => ({
      type: 'container.listed',
      requestId,
      containers: summariesFor(context.containers, caller),
    })),
    expectAdopted: assign({
      expected: ({ context }) =>
        Object.values(context.containers)
          .filter(({ summary }) => summary?.state === 'running' || summary?.state === 'stopped')
          .map(({ containerName }) => containerName),
    }),
    /** Carries on with what the engine has: adopts its containers, rolls back those partly created, forgets the gone. */
    adopt: enqueueActions(
      ({ context, enqueue, self }, { found, all }: { found: readonly AdoptedContainer[]; all: boolean }) => {
        const byName = new Map(
          Object.values(context.containers).map((container) => [container.containerName, container]),
        )
        for (const one of found) {
          const known = byName.get(one.containerName)
          const state = one.running ? 'engine.running' : 'engine.stopped'
          if (known) enqueue.sendTo(known.ref, { type: one.complete ? state : 'engine.created' })
          else
            enqueue.assign(({ context: { containers, nextId }, spawn }) => {
              const key = `container ${nextId}`
              const ref = spawn('container', { id: key, input: { key, parent: self, adopted: one } })
              return { nextId: nextId + 1, containers: { ...containers, [key]: newEntry(ref, adoptedEntry(one)) } }
            })
        }
        const here = new Set(found.map(({ containerName }) => containerName))
        for (const containerName of all ? context.expected : []) {
          const gone = byName.get(containerName)
          if (gone && !here.has(containerName)) enqueue.sendTo(gone.ref, { type: 'engine.gone' })
        }
      },
    ),
    forward: enqueueActions(
      ({ context, enqueue }, { containerName, change }: Extract<LinkEmits, { type: 'link.changed' }>) => {
        const container = Object.values(context.containers).find((one) => one.containerName === containerName)
        if (container) enqueue.sendTo(container.ref, { type: `engine.${change}` })
      },
    ),
    create: enqueueActions(({ context, enqueue, self }, command: CommandOf<'container.create'>) => {
      const [known, container] = findByRequest(context.containers, command.caller, command.requestId) ?? []
      const { maxContainers, defaultImage, containers, nextId } = context
      if (known && container) {
        enqueue.assign({ containers: withChanges(containers, known, { waiters: container.waiters + 1 }) })
        enqueue.sendTo(container.ref, { type: 'ask' })
      } else if (Object.keys(containers).length >= maxContainers) {
        enqueue.emit(failedFact(command, new AppError('limit_reached', { count: maxContainers })))
      } else {
        const { type: _, ...asked } = command
        const request = { ...asked, image: asked.image || defaultImage }
        enqueue.assign(({ spawn }) => {
          const key = `container ${nextId}`
          const ref = spawn('container', { id: key, input: { key, parent: self, request } })
          return { nextId: nextId + 1, containers: { ...containers, [key]: newEntry(ref, { ...request, waiters: 1 }) } }
        })
      }
    }),
    remove: enqueueActions(({ context, enqueue }, command: CommandOf<'container.remove'>) => {
      const { requestId } = command
      const found = lookUp(context, command.caller, command.id)
      if (found instanceof AppError) enqueue.emit(failedFact(command, found))
      else if (!found.container) enqueue.emit({ type: 'container.removed', requestId, id: found.id })
      else {
        const removalRequests = [...found.container.removalRequests, requestId]
        enqueue.assign({ containers: withChanges(context.containers, found.key, { removalRequests }) })
        enqueue.sendTo(found.container.ref, { type: 'remove' })
      }
    }),
    readLogs: enqueueActions(({ context, enqueue }, command: CommandOf<'container.logs'>) => {
      const { requestId, follow, tail, id } = command
      const found = lookUp(context, command.caller, id)
      if (found instanceof AppError) enqueue.emit(failedFact(command, found))
      else if (!found.container) enqueue.emit(failedFact(command, new AppError('not_found', { kind: 'container', id })))
      else {
        enqueue.assign({ readers: [...context.readers, requestId] })
        enqueue.spawnChild('readLogs', { id: `logs ${requestId}`, input: { requestId, id: found.id, follow, tail } })
      }
    }),
    stopReading: enqueueActions(({ context, enqueue }, { requestId }: { requestId: string }) => {
      enqueue.stopChild(`logs ${requestId}`)
      enqueue.assign({ readers: context.readers.filter((id) => id !== requestId) })
    }),
    prebuild: enqueueActions(({ context, enqueue }) => {
      if (context.background) enqueue.sendTo('imageStore', { type: 'imageStore.build', requestId: '' })
    }),
    abandon: enqueueActions(({ context, enqueue }, { requestId }: { requestId: string }) => {
      enqueue.sendTo('imageStore', { type: 'imageStore.abandon', requestId })
      for (const [key, container] of Object.entries(context.containers)) {
        if (container.requestId !== requestId || container.waiters === 0) continue
        enqueue.assign({ containers: withChanges(context.containers, key, { waiters: container.waiters - 1 }) })
        if (container.waiters === 1) enqueue.sendTo(container.ref, { type: 'abandon' })
      }
    }),
    /** Applies a container's event, and publishes the facts that follow. */
    applyChildEvent: enqueueActions(({ context, enqueue }, event: ContainerEmits) => {
      const container = context.containers[event.key]
      const { facts, ...now } = afterChildEvent(context, event)
      enqueue.assign(now)
      for (const fact of facts) enqueue.emit(fact)
      if (!container) return
      if (event.type === 'child.gone') enqueue.stopChild(container.ref)
      if (event.type === 'child.imageRequested')
        enqueue.sendTo('imageStore', {
          type: 'imageStore.request',
          name: container.image,
          again: event.again,
          container: container.ref,
        })
    }),
  },
}).createMachine({
  id: 'containerManager',
  context: ({ input }) => ({
    ...input,
    failure: null,
    queue: [],
    containers: {},
    nextId: 0,
    expected: [],
    removed: [],
    readers: [],
  }),
  invoke: {
    src: 'imageStore',
    id: 'imageStore',
    input: ({ context, self }) => ({ parent: self, defaultImage: context.defaultImage }),
  },
  initial: 'idle',
  states: {
    idle: {
      always: { guard: 'inBackground', target: 'connection' },
      on: {
        'container.*': { target: 'connection', actions: { type: 'queue', params: ({ event }) => event } },
        'image.build': { target: 'connection', actions: { type: 'queue', params: ({ event }) => event } },
      },
    },
    connection: {
      entry: 'expectAdopted',
      invoke: { src: 'link', id: 'link' },
      initial: 'connecting',
      on: {
        'link.lost': [
          {
            guard: 'engineUnknown',
            target: 'disconnected',
            actions: [
              assign({ failure: ({ event }) => event.failure }),
              emit(({ event }) => ({ type: 'engine.lost', ...event.failure })),
              'flush',
            ],
          },
          { target: 'disconnected' },
        ],
      },
      states: {
        connecting: {
          on: {
            'link.ready': {
              target: 'connected',
              actions: [
                assign({ failure: null }),
                emit(({ event }) => ({ type: 'engine.connected', version: event.version })),
                { type: 'adopt', params: ({ event }) => ({ found: event.found, all: true }) },
                'prebuild',
                'flush',
              ],
            },
          },
        },
        connected: {
          on: {
            'link.created': {
              actions: { type: 'adopt', params: ({ event }) => ({ found: [event.found], all: false }) },
            },
            'link.changed': { actions: { type: 'forward', params: ({ event }) => event } },
            'container.create': { actions: { type: 'create', params: ({ event }) => event } },
            'container.remove': { actions: { type: 'remove', params: ({ event }) => event } },
            'container.list': { actions: { type: 'list', params: ({ event }) => event } },
            'container.logs': [
              { guard: { type: 'reading', params: ({ event }) => event } },
              { actions: { type: 'readLogs', params: ({ event }) => event } },
            ],
            'image.build': {
              actions: sendTo('imageStore', ({ event }) => ({ type: 'imageStore.build', requestId: event.requestId })),
            },
          },
        },
      },
    },
    disconnected: { after: { engineRetry: 'connection' } },
  },
  on: {
    // Reached only while no engine is connected: until its first answer commands wait, later they are told at once.
    'container.*': [
      { guard: 'engineUnknown', actions: { type: 'queue', params: ({ event }) => event } },
      { actions: { type: 'reject', params: ({ event }) => event } },
    ],
    'image.build': [
      { guard: 'engineUnknown', actions: { type: 'queue', params: ({ event }) => event } },
      { actions: { type: 'reject', params: ({ event }) => event } },
    ],
    'request.abandoned': {
      actions: [
        { type: 'abandon', params: ({ event }) => event },
        { type: 'stopReading', params: ({ event }) => event },
        { type: 'dequeue', params: ({ event }) => event },
      ],
    },
    'imageStore.emitted': { actions: emit(({ event }) => event.fact) },
    'child.*': { actions: { type: 'applyChildEvent', params: ({ event }) => event } },
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
