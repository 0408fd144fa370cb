import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createEmptyActor, getInitialSnapshot, getNextSnapshot } from 'xstate'
import { containerMachine } from '../../machines/container.ts'
import type { ContainerAccepts } from '../../machines/containerManager/containerTypes.ts'
import { ENGINE_RETRY_INTERVAL_MS, PORT_ATTEMPTS_MAX } from '../../protocol/defaults/containerManager.ts'
import { AppError } from '../../protocol/errors.ts'
import {
  adopted,
  allSteps,
  container,
  created,
  credentials,
  image,
  request,
  type Step,
} from '../support/fakeContainer.ts'

test('chart: each event leads from its state to the expected one', () => {
  const input = { key: 'g', parent: createEmptyActor() }
  const done = (src: string, output: unknown) =>
    ({ type: `xstate.done.actor.${src}`, output }) as unknown as ContainerAccepts
  const ready = getInitialSnapshot(containerMachine, { ...input, adopted })
  const stopped = getInitialSnapshot(containerMachine, { ...input, adopted: { ...adopted, running: false } })
  const half = getInitialSnapshot(containerMachine, { ...input, adopted: { ...adopted, complete: false } })
  const fresh = getInitialSnapshot(containerMachine, { ...input, request })
  const waiting = getNextSnapshot(
    containerMachine,
    fresh,
    done('0.container.provisioning.creatingCredentials', credentials),
  )
  const choosing = getNextSnapshot(containerMachine, waiting, { type: 'image.ready', image })
  const table: [typeof ready, ContainerAccepts, unknown][] = [
    [fresh, { type: 'abandon' }, 'rollingBack'],
    [fresh, { type: 'engine.stopped' }, { provisioning: 'creatingCredentials' }],
    [waiting, { type: 'image.line', line: 'Step 1' }, { provisioning: 'awaitingImage' }],
    [waiting, { type: 'image.ready', image }, { provisioning: 'allocatingPorts' }],
    [waiting, { type: 'image.failed', failure: new AppError('base_missing').toJSON() }, 'rollingBack'],
    [waiting, { type: 'remove' }, 'rollingBack'],
    [choosing, { type: 'abandon' }, 'rollingBack'],
    [choosing, { type: 'request' }, { provisioning: 'allocatingPorts' }],
    [ready, { type: 'engine.stopped' }, { ready: { runtime: 'stopped', reply: 'idle' } }],
    [ready, { type: 'engine.running' }, { ready: { runtime: 'running', reply: 'idle' } }],
    [ready, { type: 'request' }, { ready: { runtime: 'running', reply: 'replying' } }],
    [ready, { type: 'abandon' }, { ready: { runtime: 'running', reply: 'idle' } }],
    [ready, { type: 'remove' }, 'removing'],
    [ready, { type: 'engine.gone' }, 'rollingBack'],
    [stopped, { type: 'engine.running' }, { ready: { runtime: 'running', reply: 'idle' } }],
    [stopped, { type: 'remove' }, 'removing'],
    [half, { type: 'engine.running' }, 'rollingBack'],
    [half, { type: 'remove' }, 'rollingBack'],
  ]
  for (const [from, event, to] of table)
    assert.deepEqual(
      getNextSnapshot(containerMachine, from, event).value,
      to,
      `${JSON.stringify(from.value)} ${event.type}`,
    )
})

test('a request creates a container: every step runs once, in order, then the reply is emitted', async () => {
  const { actor, steps, emitted, settled } = container()
  await settled()
  actor.send({ type: 'image.ready', image })
  await settled()
  assert.deepEqual(steps, allSteps)
  assert.deepEqual(
    emitted.map((one) =>
      one.type === 'child.stateChanged' ? one.summary.state : one.type === 'child.progress' ? one.step : one.type,
    ),
    ['child.named', 'child.imageRequested', 'create', 'creating', 'start', 'ssh', 'child.created', 'running'],
  )
  assert.equal(actor.getSnapshot().context.credentials, null, 'the host key is forgotten')
})

for (const [index, broken] of allSteps.entries()) {
  test(`${broken} fails: all of it is rolled back, then the failure is emitted, once`, async () => {
    const { actor, steps, eventsOf, emitted, settled } = container({
      [broken]: [new AppError('engine_failed', { why: broken })],
    })
    await settled()
    actor.send({ type: 'image.ready', image })
    await settled()
    assert.deepEqual(steps, [...allSteps.slice(0, index + 1), 'remove'])
    assert.equal(eventsOf('child.created').length, 0)
    assert.deepEqual(
      emitted.slice(-2).map(({ type }) => type),
      ['child.createFailed', 'child.gone'],
    )
    assert.match(JSON.stringify(eventsOf('child.createFailed')), new RegExp(`engine_failed.*${broken}`))
    assert.equal(actor.getSnapshot().status, 'done')
  })

  test(`nobody waits any more during ${broken}: it is rolled back and reported as abandoned`, async () => {
    const one = container({}, { request }, broken)
    await one.settled()
    one.actor.send({ type: 'image.ready', image })
    await one.settled()
    one.actor.send({ type: 'abandon' })
    one.unblock()
    await one.settled()
    assert.deepEqual(one.steps, [...allSteps.slice(0, index + 1), 'remove'])
    assert.equal(one.eventsOf('child.created').length, 0)
    assert.match(JSON.stringify(one.eventsOf('child.createFailed')), /"abandoned"/)
    assert.equal(one.actor.getSnapshot().status, 'done')
  })
}

test('ports that are in use are replaced by others, and the request fails after PORT_ATTEMPTS_MAX', async () => {
  const taken = () => new AppError('ports_exhausted', { count: 1 })
  const lucky = container({ start: [taken(), taken()] })
  await lucky.settled()
  lucky.actor.send({ type: 'image.ready', image })
  await lucky.settled()
  const again: Step[] = ['remove', 'allocatePorts', 'create', 'injectKeys', 'start']
  assert.deepEqual(lucky.steps, [...allSteps.slice(0, 5), ...again, ...again, 'awaitSsh'])
  const unlucky = container({ start: Array.from({ length: PORT_ATTEMPTS_MAX + 5 }, taken) })
  await unlucky.settled()
  unlucky.actor.send({ type: 'image.ready', image })
  for (let rounds = 0; rounds < PORT_ATTEMPTS_MAX; rounds += 1) await unlucky.settled()
  assert.equal(unlucky.steps.filter((step) => step === 'start').length, PORT_ATTEMPTS_MAX)
  assert.match(JSON.stringify(unlucky.eventsOf('child.createFailed')), /ports_exhausted/)
})

test('an image that no longer exists is requested again, once', async () => {
  const gone = () => new AppError('image_failed', { why: 'gone' })
  const { actor, eventsOf, settled } = container({ create: [gone(), gone()] })
  await settled()
  actor.send({ type: 'image.ready', image })
  await settled()
  assert.deepEqual(
    eventsOf('child.imageRequested').map((one) => 'again' in one && one.again),
    [false, true],
  )
  actor.send({ type: 'image.ready', image })
  await settled()
  assert.match(JSON.stringify(eventsOf('child.createFailed')), /image_failed/)
})

test('a failed rollback is reported at once and retried until it succeeds', async () => {
  const down = () => new AppError('engine_missing', { why: 'cut' })
  const { actor, steps, eventsOf, clock, settled } = container({ create: [down()], remove: [down(), down()] })
  await settled()
  actor.send({ type: 'image.ready', image })
  await settled()
  assert.equal(eventsOf('child.createFailed').length, 1)
  assert.equal(eventsOf('child.gone').length, 0)
  clock.increment(ENGINE_RETRY_INTERVAL_MS)
  await settled()
  assert.equal(eventsOf('child.gone').length, 0)
  actor.send({ type: 'engine.created' })
  await settled()
  assert.equal(eventsOf('child.gone').length, 1)
  assert.equal(eventsOf('child.createFailed').length, 1)
  assert.equal(steps.filter((step) => step === 'remove').length, 3)
})

test('a container that ends while its SSH server is waited for has failed', async () => {
  const one = container({}, { request }, 'awaitSsh')
  await one.settled()
  one.actor.send({ type: 'image.ready', image })
  await one.settled()
  one.actor.send({ type: 'engine.stopped' })
  await one.settled()
  assert.match(JSON.stringify(one.eventsOf('child.createFailed')), /ssh_failed/)
  assert.equal(one.steps.at(-1), 'remove')
})

test('an existing container is adopted as it is, or rolled back if it is partly created', async () => {
  const running = container({}, { adopted })
  assert.deepEqual(running.actor.getSnapshot().value, { ready: { runtime: 'running', reply: 'idle' } })
  running.actor.send({ type: 'request' })
  await running.settled()
  assert.deepEqual(running.steps, ['renewReply'])
  assert.equal(running.eventsOf('child.created').length, 1)
  running.actor.send({ type: 'remove' })
  await running.settled()
  assert.deepEqual(running.emitted.at(-1), { type: 'child.gone', key: 'g', id: created.id, external: false })

  const half = container({}, { adopted: { ...adopted, complete: false } })
  await half.settled()
  assert.deepEqual(half.steps, ['remove'])
  assert.deepEqual(
    half.emitted.map(({ type }) => type),
    ['child.gone'],
  )
})

test('a container that another program removed is gone by an external change, with its volume; a failed removal keeps it', async () => {
  const { actor, steps, emitted, settled } = container({}, { adopted })
  actor.send({ type: 'engine.stopped' })
  actor.send({ type: 'engine.gone' })
  await settled()
  assert.deepEqual(steps, ['remove'])
  assert.deepEqual(emitted.at(-1), { type: 'child.gone', key: 'g', id: created.id, external: true })

  const kept = container({ remove: [new AppError('engine_failed', { why: 'busy' })] }, { adopted })
  kept.actor.send({ type: 'remove' })
  await kept.settled()
  assert.equal(kept.eventsOf('child.removeFailed').length, 1)
  assert.deepEqual(kept.actor.getSnapshot().value, { ready: { runtime: 'running', reply: 'idle' } })
})

test('a container that the engine finishes behind its removal is removed again', async () => {
  const one = container({}, { adopted: { ...adopted, complete: false } }, 'remove')
  await one.settled()
  // The engine still created it when the removal under way had already looked for it.
  one.actor.send({ type: 'engine.created' })
  await one.settled()
  assert.deepEqual(one.steps, ['remove', 'remove'])
  assert.equal(one.eventsOf('child.gone').length, 0, 'the first removal does not count any more')
  one.unblock()
  await one.settled()
  assert.equal(one.eventsOf('child.gone').length, 1)
})
