import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  createActor,
  createEmptyActor,
  fromPromise,
  getInitialSnapshot,
  getNextSnapshot,
  SimulatedClock,
  setup,
} from 'xstate'
import { containerMachine } from '../machines/container.ts'
import type { Found, GuestHears, GuestSays, Made, Prepared, Wish } from '../machines/containerManager/guest.ts'
import type { GuestImage } from '../machines/image.ts'
import type { ContainerReply, Port } from '../protocol/containerManager.ts'
import { ENGINE_RETRY_MS, PORT_TRIES } from '../protocol/defaults.ts'
import { Fault } from '../protocol/errors.ts'
import type { ContainerId } from '../protocol/ids.ts'
import { Secret } from '../protocol/secret.ts'
import { turn } from './harness.ts'

const wish: Wish = { requestId: 'r1', caller: 'owner', key: 'k', ports: 0, udpPorts: 0, gpu: false, image: 'ssh' }
const image: GuestImage = { name: 'ssh', tag: 'p2prc/ssh:1', digest: '1', ports: [], built: true }
const reply = {
  ID: 'a'.repeat(64),
  TagName: image.tag,
  Ports: { Port: [] as Port[] },
  GPU: 'false',
} as unknown as ContainerReply
const made: Made = { id: 'a'.repeat(64) as ContainerId, createdAt: 1, reply }
const prepared: Prepared = { slug: 'p2prc-1', publicKey: 'k', hostKey: { private: new Secret('s'), public: 'p' } }
const found: Found = { ...made, slug: 'p2prc-1', caller: 'owner', requestId: 'r1', whole: true, running: true }

test('tables: from a state, an event leads there', () => {
  const input = { key: 'g', parent: createEmptyActor() }
  const done = (src: string, output: unknown) => ({ type: `xstate.done.actor.${src}`, output }) as unknown as GuestHears
  const lent = getInitialSnapshot(containerMachine, { ...input, found })
  const stopped = getInitialSnapshot(containerMachine, { ...input, found: { ...found, running: false } })
  const half = getInitialSnapshot(containerMachine, { ...input, found: { ...found, whole: false } })
  const fresh = getInitialSnapshot(containerMachine, { ...input, wish })
  const waiting = getNextSnapshot(containerMachine, fresh, done('0.container.making.preparing', prepared))
  const choosing = getNextSnapshot(containerMachine, waiting, { type: 'image.ready', image })
  const table: [typeof lent, GuestHears, unknown][] = [
    [fresh, { type: 'abandon' }, 'undoing'],
    [fresh, { type: 'engine.stopped' }, { making: 'preparing' }],
    [waiting, { type: 'image.line', line: 'Step 1' }, { making: 'awaitingImage' }],
    [waiting, { type: 'image.ready', image }, { making: 'choosingPorts' }],
    [waiting, { type: 'image.failed', failure: new Fault('base_missing').toJSON() }, 'undoing'],
    [waiting, { type: 'remove' }, 'undoing'],
    [choosing, { type: 'abandon' }, 'undoing'],
    [choosing, { type: 'ask' }, { making: 'choosingPorts' }],
    [lent, { type: 'engine.stopped' }, { lent: { life: 'stopped', talk: 'quiet' } }],
    [lent, { type: 'engine.running' }, { lent: { life: 'running', talk: 'quiet' } }],
    [lent, { type: 'ask' }, { lent: { life: 'running', talk: 'answering' } }],
    [lent, { type: 'abandon' }, { lent: { life: 'running', talk: 'quiet' } }],
    [lent, { type: 'remove' }, 'removing'],
    [lent, { type: 'engine.gone' }, 'undoing'],
    [stopped, { type: 'engine.running' }, { lent: { life: 'running', talk: 'quiet' } }],
    [stopped, { type: 'remove' }, 'removing'],
    [half, { type: 'engine.running' }, 'undoing'],
    [half, { type: 'remove' }, 'undoing'],
  ]
  for (const [from, event, to] of table)
    assert.deepEqual(
      getNextSnapshot(containerMachine, from, event).value,
      to,
      `${JSON.stringify(from.value)} ${event.type}`,
    )
})

type Step = 'prepare' | 'choosePorts' | 'create' | 'fill' | 'start' | 'settle' | 'answer' | 'remove'

/** A guest with fake effects. `fail` says what a step throws, once for each entry; an entry of `undefined` lets it pass. */
function guest(
  fail: Partial<Record<Step, unknown[]>> = {},
  born: { wish: Wish } | { found: Found } = { wish },
  held?: Step,
) {
  const told: GuestSays[] = []
  const steps: Step[] = []
  let release = () => {}
  const step = <T, Input>(name: Step, output: T | Promise<T>) =>
    fromPromise<T, Input>(async () => {
      steps.push(name)
      if (held === name)
        await new Promise<void>((resolve) => {
          release = resolve
        })
      const error = fail[name]?.shift()
      if (error) throw error
      return output
    })
  const clock = new SimulatedClock()
  const machine = containerMachine.provide({
    actors: {
      prepare: step('prepare', prepared),
      choosePorts: step('choosePorts', [] as Port[]),
      create: step('create', made),
      fill: step('fill', Promise.resolve()),
      start: step('start', Promise.resolve()),
      settle: step('settle', reply),
      answer: step('answer', reply),
      remove: step('remove', Promise.resolve()),
    },
  })
  const ears = createActor(
    setup({ types: { events: {} as GuestSays } }).createMachine({
      on: { '*': { actions: ({ event }) => told.push(event) } },
    }),
  ).start()
  const actor = createActor(machine, { input: { key: 'g', parent: ears, ...born }, clock }).start()
  return {
    told,
    steps,
    actor,
    clock,
    release: () => release(),
    says: (type: GuestSays['type']) => told.filter((one) => one.type === type),
    async settled() {
      for (let turns = 0; turns < 40; turns += 1) await turn()
    },
  }
}

const whole: Step[] = ['prepare', 'choosePorts', 'create', 'fill', 'start', 'settle']

test('a wish becomes a guest: every step once, in order, then its answer', async () => {
  const { actor, steps, told, settled } = guest()
  await settled()
  actor.send({ type: 'image.ready', image })
  await settled()
  assert.deepEqual(steps, whole)
  assert.deepEqual(
    told.map((one) =>
      one.type === 'guest.changed' ? one.lent.state : one.type === 'guest.progress' ? one.step : one.type,
    ),
    ['guest.planned', 'guest.needsImage', 'create', 'creating', 'start', 'ssh', 'guest.made', 'running'],
  )
  assert.equal(actor.getSnapshot().context.prepared, null, 'the host key is forgotten')
})

for (const [index, broken] of whole.entries()) {
  test(`${broken} fails: all of it is taken back, then the failure is told, once`, async () => {
    const { actor, steps, says, told, settled } = guest({ [broken]: [new Fault('engine_failed', { why: broken })] })
    await settled()
    actor.send({ type: 'image.ready', image })
    await settled()
    assert.deepEqual(steps, [...whole.slice(0, index + 1), 'remove'])
    assert.equal(says('guest.made').length, 0)
    assert.deepEqual(
      told.slice(-2).map(({ type }) => type),
      ['guest.makeFailed', 'guest.gone'],
    )
    assert.match(JSON.stringify(says('guest.makeFailed')), new RegExp(`engine_failed.*${broken}`))
    assert.equal(actor.getSnapshot().status, 'done')
  })

  test(`nobody waits any more during ${broken}: it is taken back and told as abandoned`, async () => {
    const one = guest({}, { wish }, broken)
    await one.settled()
    one.actor.send({ type: 'image.ready', image })
    await one.settled()
    one.actor.send({ type: 'abandon' })
    one.release()
    await one.settled()
    assert.deepEqual(one.steps, [...whole.slice(0, index + 1), 'remove'])
    assert.equal(one.says('guest.made').length, 0)
    assert.match(JSON.stringify(one.says('guest.makeFailed')), /"abandoned"/)
    assert.equal(one.actor.getSnapshot().status, 'done')
  })
}

test('taken ports are tried again with others, and given up after PORT_TRIES', async () => {
  const taken = () => new Fault('ports_exhausted', { count: 1 })
  const lucky = guest({ start: [taken(), taken()] })
  await lucky.settled()
  lucky.actor.send({ type: 'image.ready', image })
  await lucky.settled()
  const again: Step[] = ['remove', 'choosePorts', 'create', 'fill', 'start']
  assert.deepEqual(lucky.steps, [...whole.slice(0, 5), ...again, ...again, 'settle'])
  const unlucky = guest({ start: Array.from({ length: PORT_TRIES + 5 }, taken) })
  await unlucky.settled()
  unlucky.actor.send({ type: 'image.ready', image })
  for (let rounds = 0; rounds < PORT_TRIES; rounds += 1) await unlucky.settled()
  assert.equal(unlucky.steps.filter((step) => step === 'start').length, PORT_TRIES)
  assert.match(JSON.stringify(unlucky.says('guest.makeFailed')), /ports_exhausted/)
})

test('an image that has gone is asked for again, once', async () => {
  const gone = () => new Fault('image_failed', { why: 'gone' })
  const { actor, says, settled } = guest({ create: [gone(), gone()] })
  await settled()
  actor.send({ type: 'image.ready', image })
  await settled()
  assert.deepEqual(
    says('guest.needsImage').map((one) => 'again' in one && one.again),
    [false, true],
  )
  actor.send({ type: 'image.ready', image })
  await settled()
  assert.match(JSON.stringify(says('guest.makeFailed')), /image_failed/)
})

test('what the engine will not take back is told at once and tried until it can', async () => {
  const down = () => new Fault('engine_missing', { why: 'cut' })
  const { actor, steps, says, clock, settled } = guest({ create: [down()], remove: [down(), down()] })
  await settled()
  actor.send({ type: 'image.ready', image })
  await settled()
  assert.equal(says('guest.makeFailed').length, 1)
  assert.equal(says('guest.gone').length, 0)
  clock.increment(ENGINE_RETRY_MS)
  await settled()
  assert.equal(says('guest.gone').length, 0)
  actor.send({ type: 'engine.made' })
  await settled()
  assert.equal(says('guest.gone').length, 1)
  assert.equal(says('guest.makeFailed').length, 1)
  assert.equal(steps.filter((step) => step === 'remove').length, 3)
})

test('a guest that ends while its SSH server is waited for has failed', async () => {
  const one = guest({}, { wish }, 'settle')
  await one.settled()
  one.actor.send({ type: 'image.ready', image })
  await one.settled()
  one.actor.send({ type: 'engine.stopped' })
  await one.settled()
  assert.match(JSON.stringify(one.says('guest.makeFailed')), /ssh_failed/)
  assert.equal(one.steps.at(-1), 'remove')
})

test('a found guest: adopted as it is, or taken back where it is half made', async () => {
  const running = guest({}, { found })
  assert.deepEqual(running.actor.getSnapshot().value, { lent: { life: 'running', talk: 'quiet' } })
  running.actor.send({ type: 'ask' })
  await running.settled()
  assert.deepEqual(running.steps, ['answer'])
  assert.equal(running.says('guest.made').length, 1)
  running.actor.send({ type: 'remove' })
  await running.settled()
  assert.deepEqual(running.told.at(-1), { type: 'guest.gone', key: 'g', id: made.id, unasked: false })

  const half = guest({}, { found: { ...found, whole: false } })
  await half.settled()
  assert.deepEqual(half.steps, ['remove'])
  assert.deepEqual(
    half.told.map(({ type }) => type),
    ['guest.gone'],
  )
})

test('a guest that another hand removed is gone unasked, its volume too; a failed removal keeps it', async () => {
  const { actor, steps, told, settled } = guest({}, { found })
  actor.send({ type: 'engine.stopped' })
  actor.send({ type: 'engine.gone' })
  await settled()
  assert.deepEqual(steps, ['remove'])
  assert.deepEqual(told.at(-1), { type: 'guest.gone', key: 'g', id: made.id, unasked: true })

  const kept = guest({ remove: [new Fault('engine_failed', { why: 'busy' })] }, { found })
  kept.actor.send({ type: 'remove' })
  await kept.settled()
  assert.equal(kept.says('guest.removeFailed').length, 1)
  assert.deepEqual(kept.actor.getSnapshot().value, { lent: { life: 'running', talk: 'quiet' } })
})
