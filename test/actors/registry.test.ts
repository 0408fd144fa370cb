import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import {
  type AnyActorRef,
  assign,
  createActor,
  createMachine,
  fromCallback,
  fromPromise,
  type InspectionEvent,
  setup,
  spawnChild,
  stopChild,
} from 'xstate'
import { createRegistry, type StateChange } from '../../actors/registry.ts'
import { type ConcernParts, supervise } from '../../actors/supervise.ts'
import { createBus } from '../../protocol/bus.ts'
import { LINE_MAX_BYTES } from '../../protocol/defaults/net.ts'
import { ACTOR_LIST, CONTEXT_MAX_CHARS, TRANSITIONS_MAX } from '../../protocol/defaults/registry.ts'
import { type BusEvent, commandsByConcern } from '../../protocol/index.ts'
import { Secret } from '../../protocol/secret.ts'
import { nodeHere, request } from '../support/inProcess.ts'

const image = setup({
  actors: { build: fromPromise<void, { tag: string; password: Secret }>(() => new Promise(() => {})) },
}).createMachine({
  id: 'image',
  context: { lines: new Map([['first', 1]]) },
  initial: 'building',
  states: {
    building: {
      invoke: { id: 'build', src: 'build', input: { tag: 'ssh', password: new Secret('hunter2') } },
      on: { built: 'ready' },
    },
    ready: {},
  },
})

const manager = setup({ actors: { image, watch: fromCallback(() => {}) } }).createMachine({
  id: 'containerManager',
  context: { count: 0, big: 3n },
  invoke: { id: 'watch', src: 'watch' },
  initial: 'idle',
  on: {
    count: { actions: assign({ count: ({ context }) => context.count + 1 }) },
    spawn: { actions: spawnChild('image', { id: 'image 1' }) },
    drop: { actions: stopChild('image 1') },
  },
  states: {
    idle: { on: { work: 'busy' } },
    busy: {
      type: 'parallel',
      states: { one: { initial: 'a', states: { a: { on: { next: 'b' } }, b: {} } }, two: {} },
      on: { rest: 'idle' },
    },
  },
})

/** A registry with one concern, started. */
function started() {
  const registry = createRegistry()
  const actor = createActor(manager, { inspect: registry.inspect }).start()
  const concern: { actor: AnyActorRef | undefined } = { actor }
  registry.add(concern)
  const rows = (filter = '') =>
    registry.list({ filter, details: false }).actors.map(({ path, machine, state }) => [path, machine, state])
  return { registry, actor, concern, rows }
}

test('every living actor, children and leaves included, with its path, machine and state; none that has stopped', () => {
  const { actor, rows, concern } = started()
  assert.deepEqual(rows(), [
    ['containerManager', 'containerManager', 'idle'],
    ['containerManager/watch', 'watch', 'active'],
  ])
  actor.send({ type: 'spawn' })
  actor.send({ type: 'work' })
  assert.deepEqual(rows(), [
    ['containerManager', 'containerManager', 'busy.one.a|two'],
    ['containerManager/watch', 'watch', 'active'],
    ['containerManager/image 1', 'image', 'building'],
    ['containerManager/image 1/build', 'build', 'active'],
  ])
  actor.send({ type: 'drop' })
  assert.deepEqual(
    rows().map(([path]) => path),
    ['containerManager', 'containerManager/watch'],
  )
  concern.actor = undefined
  assert.deepEqual(rows(), [], 'a concern between two lives')
  concern.actor = actor
  actor.stop()
  assert.deepEqual(rows(), [])
})

test('a filter is one path, or part of a path, a machine or a state, in any case', () => {
  const { actor, rows } = started()
  actor.send({ type: 'spawn' })
  const paths = (filter: string) => rows(filter).map(([path]) => path)
  assert.deepEqual(paths('containerManager'), ['containerManager'])
  assert.deepEqual(paths('containerManager/image 1'), ['containerManager/image 1'])
  assert.deepEqual(paths('containermanager/').length, 3)
  assert.deepEqual(paths('BUILDING'), ['containerManager/image 1'])
  assert.deepEqual(paths('nonsense'), [])
  assert.deepEqual(paths('.*'), [])
})

test('details: the context redacted, the last transitions oldest first; without them the latest alone', () => {
  const { registry, actor } = started()
  actor.send({ type: 'spawn' })
  for (let round = 0; round < TRANSITIONS_MAX; round += 1)
    for (const type of ['work', 'next', 'rest'] as const) actor.send({ type })
  const [one] = registry.list({ filter: 'containerManager' }).actors
  assert.deepEqual(one?.context, { count: 0, big: '3n' })
  assert.equal(one?.transitions.length, TRANSITIONS_MAX)
  assert.deepEqual(
    one?.transitions.slice(-3).map(({ from, to, event }) => [from, to, event]),
    [
      ['idle', 'busy.one.a|two', 'work'],
      ['busy.one.a|two', 'busy.one.b|two', 'next'],
      ['busy.one.b|two', 'idle', 'rest'],
    ],
  )
  assert.ok(one.transitions.every(({ at }) => Math.abs(Date.now() - at) < 60_000))
  const [short] = registry.list({ filter: 'containerManager', details: false }).actors
  assert.deepEqual([short?.transitions, 'context' in (short as object)], [one.transitions.slice(-1), false])
  const [leaf] = registry.list({ filter: 'containerManager/image 1/build' }).actors
  assert.deepEqual([leaf?.context, leaf?.transitions], [{ input: { tag: 'ssh', password: '•••' } }, []])
  const [child] = registry.list({ filter: 'containerManager/image 1' }).actors
  assert.deepEqual(child?.context, { lines: { first: 1 } })
  assert.equal(child?.transitions[0]?.from, undefined)
})

test('a machine may name a view of its context', () => {
  const machine = createMachine({
    id: 'gossip',
    context: { members: 3, hidden: 'x' },
    meta: { view: ({ members }: { members: number }) => ({ members, ofWhich: new Set(['a']) }) },
  })
  const registry = createRegistry()
  registry.add({ actor: createActor(machine).start() })
  assert.deepEqual(registry.list().actors[0]?.context, { members: 3, ofWhich: ['a'] })
  const broken = createMachine({
    id: 'broken',
    meta: {
      view: () => {
        throw new Error('no')
      },
    },
  })
  registry.add({ actor: createActor(broken).start() })
  assert.deepEqual(registry.list({ filter: 'broken' }).actors[0]?.context, { viewFailed: 'Error: no' })
})

test('whoever watches receives every change of a state once, and nothing after the undo', () => {
  const { registry, actor } = started()
  const changes: StateChange[] = []
  const undo = registry.watch((change) => changes.push(change))
  for (const type of ['count', 'work', 'count', 'next', 'spawn'] as const) actor.send({ type })
  undo()
  undo()
  actor.send({ type: 'rest' })
  assert.deepEqual(
    changes.map(({ concern, actor: path, from, to, event }) => [concern, path, from, to, event]),
    [
      ['containerManager', undefined, 'idle', 'busy.one.a|two', 'work'],
      ['containerManager', undefined, 'busy.one.a|two', 'busy.one.b|two', 'next'],
      ['containerManager', 'image 1', undefined, 'building', 'xstate.init'],
    ],
  )
})

test('when nobody looks: of most events the type alone is read, of a snapshot never the context', () => {
  const registry = createRegistry()
  const only = (readable: Record<string, unknown>) =>
    new Proxy(readable, {
      get(target, key) {
        if (!(key in target)) assert.fail(`${String(key)} was read`)
        return target[key as string]
      },
    })
  for (const type of ['@xstate.actor', '@xstate.event', '@xstate.action', '@xstate.microstep'])
    registry.inspect(only({ type }) as unknown as InspectionEvent)
  const actorRef = only({ logic: { id: 'x' }, _parent: undefined })
  const snapshot = (value: unknown) => only({ value, status: 'active' })
  const check = (value: unknown) =>
    registry.inspect(
      only({ type: '@xstate.snapshot', actorRef, snapshot: snapshot(value), event: { type: 'e' } }) as never,
    )
  check({ busy: { one: 'a' } })
  // The same state again: not even the event is read.
  registry.inspect(only({ type: '@xstate.snapshot', actorRef, snapshot: snapshot({ busy: { one: 'a' } }) }) as never)
})

test('no context is retained: what an actor held is garbage once it has stopped, though the registry lives on', async () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const registry = createRegistry()
  const held: WeakRef<object>[] = []
  const machine = createMachine({
    id: 'containerManager',
    context: ({ input }: { input: { big: object } }) => ({ big: input.big }),
    initial: 'a',
    states: { a: { on: { go: 'b' } }, b: {} },
  })
  const concern: { actor: AnyActorRef | undefined } = { actor: undefined }
  registry.add(concern)
  ;(() => {
    const big = { bytes: new Array(10_000).fill(0) }
    held.push(new WeakRef(big))
    const actor = createActor(machine, { input: { big }, inspect: registry.inspect }).start()
    concern.actor = actor
    actor.send({ type: 'go' })
    assert.equal(registry.list().actors[0]?.state, 'b')
    actor.stop()
    concern.actor = undefined
  })()
  for (let round = 0; round < 10 && held[0]?.deref(); round += 1) {
    await new Promise((resolve) => setImmediate(resolve))
    collect()
  }
  assert.equal(held[0]?.deref(), undefined)
  assert.deepEqual(registry.list().actors, [])
})

test('a concern that crashed is listed again with its next life, and its orphans are not listed', () => {
  const bus = createBus<BusEvent>()
  const registry = createRegistry()
  const crashing = setup({ actors: { image } }).createMachine({
    id: 'trust',
    invoke: { id: 'image', src: 'image' },
    on: {
      'trust.list': {
        actions: () => {
          throw new Error('broken')
        },
      },
    },
  })
  let restart = () => {}
  const clock = { now: () => 0, setTimeout: (run: () => void) => (restart = run), clearTimeout: () => {} }
  const parts = { name: 'trust', logic: crashing, input: () => undefined }
  const concern = supervise(parts as unknown as ConcernParts<typeof crashing>, {
    bus,
    clock,
    inspect: registry.inspect,
  })
  registry.add(concern)
  concern.start()
  const paths = () => registry.list({ details: false }).actors.map(({ path }) => path)
  assert.deepEqual(paths(), ['trust', 'trust/image', 'trust/image/build'])
  bus.publish({ type: 'trust.list', requestId: 'x', caller: 'owner' })
  assert.deepEqual(paths(), [])
  restart()
  assert.deepEqual(paths(), ['trust', 'trust/image', 'trust/image/build'])
  concern.stop()
  assert.deepEqual(paths(), [])
})

test('a list of very many actors with large contexts stays one line that every reader takes', () => {
  const registry = createRegistry()
  const machine = createMachine({ id: 'x'.repeat(100), context: { list: new Array(100_000).fill('text') } })
  const actor = createActor(machine).start()
  for (let count = 0; count < ACTOR_LIST.maxActors + 7; count += 1) registry.add({ actor })
  const listed = registry.list()
  assert.deepEqual([listed.actors.length, listed.omitted], [ACTOR_LIST.maxActors, 7])
  const withContext = listed.actors.filter(({ context }) => context !== undefined).length
  assert.ok(withContext >= ACTOR_LIST.maxContextChars / CONTEXT_MAX_CHARS - 1, `${withContext} contexts`)
  assert.ok(withContext < 100, `${withContext} contexts`)
  const characters = JSON.stringify(listed).length
  assert.ok(characters < LINE_MAX_BYTES, `${characters} characters`)
})

test('every concern of a node appears, and the owner alone may ask', async (t) => {
  const node = await nodeHere(t)
  const { actors, omitted } = await request(node, { type: 'actor.list', filter: '', details: true })
  const roots = actors.filter(({ path }: { path: string }) => !path.includes('/'))
  // The composition root is no machine.
  const concerns = Object.keys(commandsByConcern).filter((concern) => concern !== 'node')
  assert.deepEqual(roots.map(({ concern }: { concern: string }) => concern).sort(), concerns.sort())
  for (const { path, machine, state, context, transitions } of roots) {
    assert.equal(machine, path)
    assert.ok(state.length > 0 && typeof context === 'object' && transitions.length > 0, path)
  }
  assert.equal(omitted, 0)
  assert.equal(commandsByConcern.node['actor.list'].action, 'administer')
  assert.doesNotMatch(JSON.stringify(actors), /PRIVATE KEY/)
})
