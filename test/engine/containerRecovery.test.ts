import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import { test } from 'node:test'
import Docker from 'dockerode'
import { createDockerEngine } from '../../actors/engine/dockerEngine.ts'
import { type AppError, toAppError } from '../../protocol/errors.ts'
import type { NodeId } from '../../protocol/ids.ts'
import { Secret } from '../../protocol/secret.ts'
import { type CutAt, createEngineProxy } from '../support/engineProxy.ts'
import { nextEvent } from '../support/harness.ts'
import {
  borrowerKey,
  commandOf,
  engine,
  fastClock,
  leftOf,
  logInByPassword,
  startLender,
  until,
} from '../support/lender.ts'

/** Containers after the engine has failed, or the node was stopped or killed, at any step of a creation. */

const docker = new Docker()

const is = (code: string) => (error: unknown) => {
  assert.equal((error as AppError).code, code, String(error))
  return true
}

const steps: [name: string, request: RegExp][] = [
  ['create', /^POST \/containers\/create/],
  ['put', /^PUT \/containers\/.*archive/],
  ['start', /^POST \/containers\/\w+\/start/],
  ['password', /^POST \/exec/],
  ['rename', /^POST \/containers\/\w+\/rename/],
]

for (const [name, request] of steps) {
  for (const [at, all] of [
    ['request', true],
    ['answer', true],
    ['middle', false],
    ['answer', false],
  ] as [CutAt, boolean][]) {
    test(`the engine's socket cut during ${name} (${at}${all ? ', and all others' : ''})`, async (t) => {
      const proxy = await createEngineProxy()
      t.after(() => proxy.close())
      const through = createDockerEngine({ socketPath: proxy.socketPath })
      const lender = startLender(t, { engine: through, clock: fastClock })
      await nextEvent(lender.bus, 'image.built')
      const cut = proxy.cut(request, at, { all })
      const outcome = lender.create({ requestId: 'create-1' }).then(
        () => assert.fail('it was created'),
        (error) => toAppError(error),
      )
      await cut
      assert.equal((await outcome).code, 'engine_missing')
      if (all) {
        if (!lender.received.some(({ type }) => type === 'engine.lost')) await nextEvent(lender.bus, 'engine.lost')
        await assert.rejects(lender.command('container.list'), is('engine_missing'))
        const back = nextEvent(lender.bus, 'engine.connected')
        proxy.restore()
        await back
      }
      await until(async () => (await leftOf(lender.nodeId)).length === 0)
      const { ID } = await lender.create({ requestId: 'create-1' })
      assert.equal((await leftOf(lender.nodeId)).length, 2)
      await lender.command('container.remove', { id: ID })
    })
  }
}

for (const [name, request] of steps) {
  test(`a clean stop during ${name}: a container in creation is rolled back before the node ends`, async (t) => {
    const proxy = await createEngineProxy()
    t.after(() => proxy.close())
    const lender = startLender(t, { engine: createDockerEngine({ socketPath: proxy.socketPath }) })
    const held = proxy.hold(request)
    lender.bus.publish(commandOf('container.create'))
    const pass = await held
    lender.stop()
    const settled = lender.settled()
    pass()
    await settled
    assert.deepEqual(await leftOf(lender.nodeId), [])
    // A complete container stays.
    const again = startLender(t, { nodeId: lender.nodeId })
    const { ID } = await again.create()
    again.stop()
    await again.settled()
    assert.deepEqual(
      (await engine.containers(`p2prc.node=${lender.nodeId}`)).map(({ id }) => id),
      [ID],
    )
  })
}

test('a clean stop waits 5 s at most for an engine that does not answer', async (t) => {
  const proxy = await createEngineProxy()
  t.after(() => proxy.close())
  const lender = startLender(t, { engine: createDockerEngine({ socketPath: proxy.socketPath }) })
  const stalled = proxy.stall(/^POST \/containers\/\w+\/start/, 'request')
  lender.bus.publish(commandOf('container.create'))
  await stalled
  lender.stop()
  const from = performance.now()
  await lender.settled()
  const ms = performance.now() - from
  // The timer may fire a little late.
  assert.ok(ms > 4_990 && ms < 6_000, `${ms} ms`)
})

const kills: [name: string, request: RegExp, at: 'request' | 'answer', kept: boolean][] = [
  ['before create', /^POST \/containers\/create/, 'request', false],
  ['after create', /^POST \/containers\/create/, 'answer', false],
  ['after the keys', /^PUT \/containers\/.*archive/, 'answer', false],
  ['after start', /^POST \/containers\/\w+\/start/, 'answer', false],
  ['before it is marked whole', /^POST \/containers\/\w+\/rename/, 'request', false],
  ['after it was marked whole', /^POST \/containers\/\w+\/rename/, 'answer', true],
]

for (const [name, request, at, kept] of kills) {
  test(`kill -9 of the node ${name}: the next start ${kept ? 'adopts' : 'removes'} it within 5 s`, async (t) => {
    const proxy = await createEngineProxy()
    t.after(() => proxy.close())
    const nodeId = `SHA256:killed-${randomBytes(8).toString('hex')}` as NodeId
    const reached = proxy.stall(request, at)
    const script = join(import.meta.dirname, '../support/lendingProcess.ts')
    const child = spawn(process.execPath, ['--import', 'tsx', script, nodeId, proxy.socketPath], { stdio: 'inherit' })
    await reached
    child.kill('SIGKILL')
    await once(child, 'exit')
    const before = await leftOf(nodeId)
    const from = performance.now()
    const lender = startLender(t, { nodeId })
    if (!kept) {
      if (at === 'answer')
        assert.ok(
          before.some((what) => what.endsWith('.pending')),
          before.join(),
        )
      await nextEvent(lender.bus, 'engine.connected')
      await until(async () => (await leftOf(nodeId)).length === 0, 5_000)
      return
    }
    assert.equal(before.length, 2)
    const listed = await lender.command('container.list')
    assert.ok(performance.now() - from < 5_000)
    const [adopted] = 'containers' in listed ? listed.containers : []
    assert.deepEqual([adopted?.state, adopted?.borrower, adopted?.ports.length], ['running', 'owner', 2])
    const again = await lender.create({ requestId: 'create-1', ports: 1 })
    assert.equal(again.ID, adopted?.id, 'the same request gives the same container')
    assert.ok(again.SSHPassword instanceof Secret)
    assert.equal(await logInByPassword(again, again.SSHPassword.reveal()), true)
  })
}

test('containers outlive the node, stopped ones too, and are adopted again with everything that the borrower was told', async (t) => {
  const key = await borrowerKey(t)
  const first = startLender(t)
  const reply = await first.create({ requestId: 'create-1', key: key.publicKey, ports: 2 })
  const still = await first.create({ requestId: 'other' })
  await docker.getContainer(still.ID).stop({ t: 0 })
  first.stop()
  const second = startLender(t, { nodeId: first.nodeId })
  assert.deepEqual(await second.create({ requestId: 'create-1', key: key.publicKey, ports: 2 }), reply)
  assert.equal(await key.ssh(reply, 'id -un'), 'root\n')
  const listed = await second.command('container.list')
  const states = 'containers' in listed ? listed.containers.map(({ id, state }) => [id, state]) : []
  assert.deepEqual(
    states.sort(),
    [
      [reply.ID, 'running'],
      [still.ID, 'stopped'],
    ].sort(),
  )
  await second.command('container.remove', { id: still.ID })
  await second.command('container.remove', { id: reply.ID })
  assert.deepEqual(await leftOf(first.nodeId), [])
})

test('the same request for a container that was stopped meanwhile gets a clear error, and the container stays', async (t) => {
  const first = startLender(t)
  const { ID } = await first.create({ requestId: 'create-1' })
  await docker.getContainer(ID).stop({ t: 0 })
  first.stop()
  const second = startLender(t, { nodeId: first.nodeId })
  await assert.rejects(second.create({ requestId: 'create-1' }), is('container_stopped'))
  const started = nextEvent(second.bus, 'container.changed', ({ state }) => state === 'running')
  await docker.getContainer(ID).start()
  await started
  assert.equal((await second.create({ requestId: 'create-1' })).ID, ID)
})

test('a missing engine is reported once, every command is rejected at once, and lending begins when an engine comes', async (t) => {
  const proxy = await createEngineProxy()
  t.after(() => proxy.close())
  proxy.down()
  const lender = startLender(t, { engine: createDockerEngine({ socketPath: proxy.socketPath }), clock: fastClock })
  await assert.rejects(lender.create(), is('engine_missing'))
  await assert.rejects(lender.command('image.build'), is('engine_missing'))
  const back = nextEvent(lender.bus, 'engine.connected')
  proxy.restore()
  await back
  const { ID } = await lender.create()
  const lost = nextEvent(lender.bus, 'engine.lost')
  proxy.down()
  await lost
  // A change of a container meanwhile is noticed when the engine is back.
  await engine.remove(ID)
  const gone = nextEvent(lender.bus, 'container.changed')
  proxy.restore()
  assert.deepEqual(await gone, { type: 'container.changed', id: ID, state: 'gone' })
  await until(async () => (await leftOf(lender.nodeId)).length === 0)
  assert.equal(lender.received.filter(({ type }) => type === 'engine.lost').length, 2)
})
