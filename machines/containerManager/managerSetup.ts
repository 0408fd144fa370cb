import { assign, emit, enqueueActions, sendTo } from 'xstate'
import { end } from '../requests.ts'
import { commandSetup } from './commandSetup.ts'
import { adoptedEntry, factsOfGone, failedFact, newEntry, requestsOf, withChanges, withoutGone } from './containers.ts'
import type { AdoptedContainer } from './containerTypes.ts'
import type { EmitOf, LinkChange } from './managerContext.ts'

/** Adds the actions for what the engine and the containers say. */
export const managerSetup = commandSetup.extend({
  actions: {
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
    clearFailure: assign({ failure: null }),
    emitConnected: emit((_, { version }: { version: string }) => ({ type: 'engine.connected', version })),
    prebuild: sendTo('imageStore', { type: 'imageStore.prepare' }),
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
    emitWeakKey: enqueueActions(({ context, enqueue }, { key, weakKeyBits: bits }: EmitOf<'child.named'>) => {
      const container = context.containers[key]
      if (container && bits) enqueue.emit({ type: 'container.weakKeyAccepted', borrower: container.caller, bits })
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
