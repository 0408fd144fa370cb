import { assign, emit, enqueueActions, fromCallback, sendTo, setup } from 'xstate'
import type {
  ContainerManagerAccepts,
  ContainerManagerCommand,
  ContainerManagerEmits,
} from '../../protocol/containerManager.ts'
import { ENGINE_RETRY_INTERVAL_MS } from '../../protocol/defaults/containerManager.ts'
import { AppError, toFailure } from '../../protocol/errors.ts'
import { containerMachine } from '../container.ts'
import { begin, childId, end, find, inPhase, join, leave } from '../requests.ts'
import {
  adoptedEntry,
  factsOfGone,
  failedFact,
  findByRequest,
  lookUp,
  type ManagerRequest,
  newEntry,
  requestsOf,
  summariesFor,
  withChanges,
  withoutGone,
} from './containers.ts'
import type { AdoptedContainer, ContainerEmits, LinkEmits, LogsEmits } from './containerTypes.ts'
import { type ImageStoreEmits, imageStoreMachine } from './imageStore.ts'
import { logReaderMachine } from './logReader.ts'
import {
  type CommandOf,
  type ContainerManagerInput,
  type Context,
  type Create,
  type EmitOf,
  inThe,
  type LinkChange,
  queuedAs,
  type Reference,
  type RequestId,
} from './managerContext.ts'

const notProvided = toFailure(new Error('not provided'))

/** Holds the guards, actions and children of the container manager's chart. */
export const managerSetup = setup({
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
    logReader: logReaderMachine,
    link: fromCallback<LinkEmits>(({ sendBack }) => sendBack({ type: 'link.lost', failure: notProvided })),
  },
  delays: { engineRetry: ENGINE_RETRY_INTERVAL_MS },
  guards: {
    engineUnknown: ({ context }) => context.failure === null,
    inBackground: ({ context }) => context.background,
    isQueued: ({ context }, command: ContainerManagerCommand) =>
      find(context.requests, queuedAs(command)) !== undefined,
    isRemoving: ({ context }, { requestId }: RequestId) =>
      inPhase(context.requests, 'removing').some((one) => one.requestId === requestId),
    isReading: ({ context }, { requestId }: RequestId) =>
      inPhase(context.requests, 'reading').some((one) => one.requestId === requestId),
    /** Whether the same caller has sent this request before, so that the container exists or is being created. */
    isCreated: ({ context }, { caller, requestId }: CommandOf<'container.create'>) =>
      findByRequest(context.containers, caller, requestId) !== undefined,
    isFull: ({ context }) => Object.keys(context.containers).length >= context.maxContainers,
    isHere: ({ context }, { caller, id }: Reference) => {
      const found = lookUp(context, caller, id)
      return !(found instanceof AppError) && found.container !== null
    },
    isRemoved: ({ context }, { caller, id }: Reference) => {
      const found = lookUp(context, caller, id)
      return !(found instanceof AppError) && found.container === null
    },
    isExternal: (_, { external }: { external: boolean }) => external,
  },
  actions: {
    queue: assign({
      requests: ({ context }, command: ContainerManagerCommand) =>
        begin<ManagerRequest>(context.requests, { requestId: command.requestId, phase: 'queued', command }),
    }),
    joinQueued: assign({
      requests: ({ context }, command: ContainerManagerCommand) => join(context.requests, queuedAs(command)),
    }),
    /** Handles queued commands as if they arrived now, once for each waiting client. */
    flush: enqueueActions(({ context, enqueue }) => {
      for (const { command, waiters } of inPhase(context.requests, 'queued')) {
        for (let count = 0; count < waiters; count += 1) enqueue.raise(command)
      }
      enqueue.assign({ requests: end(context.requests, ({ phase }) => phase === 'queued') })
    }),
    reject: emit(({ context }, command: ContainerManagerCommand) =>
      failedFact(command, context.failure ?? notProvided),
    ),
    rejectFull: emit(({ context }, command: ContainerManagerCommand) =>
      failedFact(command, new AppError('limit_reached', { count: context.maxContainers })),
    ),
    rejectUnknown: emit(({ context }, command: CommandOf<'container.remove' | 'container.logs'>) => {
      const found = lookUp(context, command.caller, command.id)
      const unknown = new AppError('not_found', { kind: 'container', id: command.id })
      return failedFact(command, found instanceof AppError ? found : unknown)
    }),
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
    /**
     * Reconciles with the engine: adopts its containers, rolls back those partly created, and forgets those that no
     * longer exist.
     */
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
    forward: enqueueActions(({ context, enqueue }, { containerName, change }: LinkChange) => {
      const container = Object.values(context.containers).find((one) => one.containerName === containerName)
      if (container) enqueue.sendTo(container.ref, { type: `engine.${change}` })
    }),
    create: assign(({ context: { requests, containers, nextId, defaultImage }, self, spawn }, command: Create) => {
      const { type: _, ...asked } = command
      const request = { ...asked, image: asked.image || defaultImage }
      const { requestId } = request
      const key = `container ${nextId}`
      const ref = spawn('container', { id: key, input: { key, parent: self, request } })
      return {
        nextId: nextId + 1,
        containers: { ...containers, [key]: newEntry(ref, request) },
        requests: begin<ManagerRequest>(requests, { requestId, phase: 'creating', container: key }),
      }
    }),
    /**
     * Repeats the reply for a repeated request. While the container is being created, one reply answers all requests.
     */
    requestAgain: enqueueActions(({ context: { containers, requests }, enqueue }, { caller, requestId }: Create) => {
      const [key, container] = findByRequest(containers, caller, requestId) ?? []
      if (!key || !container) return
      const [underWay] = requestsOf(requests, 'creating', key)
      enqueue.assign({
        requests: underWay
          ? join(requests, (one) => one === underWay)
          : begin<ManagerRequest>(requests, { requestId, phase: 'creating', container: key }),
      })
      enqueue.sendTo(container.ref, { type: 'request' })
    }),
    remove: enqueueActions(({ context, enqueue }, { requestId, caller, id }: Reference & RequestId) => {
      const found = lookUp(context, caller, id)
      if (found instanceof AppError || !found.container) return
      const { key, container } = found
      enqueue.assign({
        requests: begin<ManagerRequest>(context.requests, { requestId, phase: 'removing', container: key }),
      })
      enqueue.sendTo(container.ref, { type: 'remove' })
    }),
    joinRemoval: assign({
      requests: ({ context }, request: RequestId) => join(context.requests, inThe('removing', request)),
    }),
    joinReading: assign({
      requests: ({ context }, request: RequestId) => join(context.requests, inThe('reading', request)),
    }),
    emitRemoved: emit(({ context }, { requestId, caller, id }: Reference & RequestId) => {
      const found = lookUp(context, caller, id)
      return {
        type: 'container.removed',
        requestId,
        id: found instanceof AppError ? id : found.id,
      } as ContainerManagerEmits
    }),
    readLogs: assign(
      ({ context, self, spawn }, { requestId, caller, id, follow, tail }: CommandOf<'container.logs'>) => {
        const found = lookUp(context, caller, id)
        if (found instanceof AppError) return {}
        spawn('logReader', { id: childId(requestId), input: { parent: self, requestId, id: found.id, follow, tail } })
        return { requests: begin<ManagerRequest>(context.requests, { requestId, phase: 'reading' }) }
      },
    ),
    endReading: enqueueActions(({ context, enqueue }, request: RequestId) => {
      enqueue.stopChild(childId(request.requestId))
      enqueue.assign({ requests: end(context.requests, inThe('reading', request)) })
    }),
    clearFailure: assign({ failure: null }),
    emitConnected: emit((_, { version }: { version: string }) => ({ type: 'engine.connected', version })),
    prebuild: sendTo('imageStore', { type: 'imageStore.prepare' }),
    /** Cancels what nobody waits for any more. A removal is completed all the same. */
    abandon: enqueueActions(({ context: { requests, containers }, enqueue }, { requestId }: RequestId) => {
      const isAbandoned = (one: ManagerRequest) => one.requestId === requestId && one.waiters === 1
      for (const one of inPhase(requests, 'creating').filter(isAbandoned)) {
        const container = containers[one.container]
        if (container) enqueue.sendTo(container.ref, { type: 'abandon' })
      }
      if (inPhase(requests, 'reading').some(isAbandoned)) enqueue.stopChild(childId(requestId))
      const kept = end(requests, (one) => isAbandoned(one) && (one.phase === 'queued' || one.phase === 'reading'))
      enqueue.assign({ requests: leave(kept, requestId) })
    }),
    change: assign({
      containers: ({ context }, { key, ...now }: { key: string } & Parameters<typeof withChanges>[2]) =>
        withChanges(context.containers, key, now),
    }),
    requestImage: enqueueActions(({ context, enqueue }, { key, again }: EmitOf<'child.imageRequested'>) => {
      const container = context.containers[key]
      if (container)
        enqueue.sendTo('imageStore', {
          type: 'imageStore.request',
          name: container.image,
          again,
          container: container.ref,
        })
    }),
    emitProgress: emit(({ context }, { key, step, line }: EmitOf<'child.progress'>) => {
      const requestId = context.containers[key]?.requestId ?? ''
      return { type: 'container.progress', requestId, step, line }
    }),
    emitChanged: emit((_, { summary: { id, state } }: EmitOf<'child.stateChanged'>) => ({
      type: 'container.changed',
      id,
      state,
    })),
    emitCreated: emit(({ context }, { key, reply }: EmitOf<'child.created'>) => ({
      type: 'container.created',
      requestId: context.containers[key]?.requestId ?? '',
      container: reply,
    })),
    emitCreateFailed: emit(({ context }, { key, failure }: EmitOf<'child.createFailed'>) =>
      failedFact({ type: 'container.create', requestId: context.containers[key]?.requestId ?? '' }, failure),
    ),
    emitRemoveFailed: enqueueActions(({ context, enqueue }, { key, failure }: EmitOf<'child.removeFailed'>) => {
      for (const { requestId } of requestsOf(context.requests, 'removing', key))
        enqueue.emit(failedFact({ type: 'container.remove', requestId }, failure))
    }),
    endRequests: assign({
      requests: ({ context }, { key, phase }: { key: string; phase: 'creating' | 'removing' }) =>
        end(context.requests, (one) => one.phase === phase && one.container === key),
    }),
    forget: enqueueActions(({ context, enqueue }, event: EmitOf<'child.gone'>) => {
      for (const fact of factsOfGone(context.requests, event)) enqueue.emit(fact)
      enqueue.stopChild(event.key)
      enqueue.assign(withoutGone(context, event))
    }),
  },
})
