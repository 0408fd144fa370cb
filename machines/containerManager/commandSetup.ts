import { assign, emit, enqueueActions, fromCallback, setup } from 'xstate'
import type {
  ContainerManagerAccepts,
  ContainerManagerCommand,
  ContainerManagerEmits,
} from '../../protocol/containerManager.ts'
import {
  ENGINE_RETRIES_FAST,
  ENGINE_RETRY_INTERVAL_MS,
  ENGINE_SLOW_RETRY_INTERVAL_MS,
} from '../../protocol/defaults/containerManager.ts'
import { AppError, toFailure } from '../../protocol/errors.ts'
import { containerMachine } from '../container.ts'
import { begin, childId, end, find, inPhase, join, leave } from '../requests.ts'
import {
  failedFact,
  findByRequest,
  lookUp,
  type ManagerRequest,
  newEntry,
  requestsOf,
  summariesFor,
} from './containers.ts'
import type { ContainerEmits, LinkEmits, LogsEmits } from './containerTypes.ts'
import { type ImageStoreEmits, imageStoreMachine } from './imageStore.ts'
import { logReaderMachine } from './logReader.ts'
import {
  type CommandOf,
  type ContainerManagerInput,
  type Context,
  type Create,
  inThe,
  queuedAs,
  type Reference,
  type RequestId,
} from './managerContext.ts'

const notProvided = toFailure(new Error('not provided'))

/** Holds the children and guards of the container manager's chart, and the actions for its commands. */
export const commandSetup = setup({
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
  delays: {
    engineRetry: ({ context: { attempts } }) =>
      attempts <= ENGINE_RETRIES_FAST ? ENGINE_RETRY_INTERVAL_MS : ENGINE_SLOW_RETRY_INTERVAL_MS,
  },
  guards: {
    engineUnknown: ({ context }) => context.failure === null,
    inBackground: ({ context }) => context.background,
    isQueued: ({ context }, command: ContainerManagerCommand) =>
      find(context.requests, queuedAs(command)) !== undefined,
    isRemoving: ({ context }, request: RequestId) => find(context.requests, inThe('removing', request)) !== undefined,
    isReading: ({ context }, request: RequestId) => find(context.requests, inThe('reading', request)) !== undefined,
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
  },
})
