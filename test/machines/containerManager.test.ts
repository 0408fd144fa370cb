import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  ENGINE_RETRIES_FAST,
  ENGINE_RETRY_INTERVAL_MS,
  ENGINE_SLOW_RETRY_INTERVAL_MS,
} from '../../protocol/defaults/containerManager.ts'
import { AppError } from '../../protocol/errors.ts'
import type { Caller, NodeId } from '../../protocol/ids.ts'
import { adoptedContainer, create, manager } from '../support/fakeManager.ts'
import { commandOf } from '../support/lender.ts'

const alice = 'SHA256:alice' as NodeId
test('a create is answered once; the same request again gives the same container', async () => {
  const lender = await manager()
  await lender.send(create('r1'))
  assert.deepEqual(lender.about('r1'), ['container.created'])
  await lender.send(create('r1'))
  assert.deepEqual(lender.about('r1'), ['container.created', 'container.created'])
  await lender.send(create('r1', alice))
  assert.deepEqual(
    lender.effects,
    ['create p2prc-1', 'create p2prc-2'],
    'the same request of another caller is another request',
  )
})

test('a create is abandoned only when nobody waits for it any more', async () => {
  const lender = await manager()
  lender.block()
  await lender.send(create('r1'))
  await lender.send(create('r1'))
  lender.actor.send({ type: 'request.abandoned', requestId: 'r1' })
  lender.unblock()
  await lender.settled()
  assert.deepEqual(lender.about('r1'), ['container.created'])
  lender.block()
  await lender.send(create('r2'))
  lender.actor.send({ type: 'request.abandoned', requestId: 'r2' })
  lender.unblock()
  await lender.settled()
  assert.deepEqual(lender.about('r2'), ['container.createFailed abandoned'])
  assert.deepEqual(lender.effects.slice(-2), ['create p2prc-2', 'remove p2prc-2'])
  // A later repetition gets a new container, and a connection that closes afterwards rolls back nothing.
  await lender.send(create('r2'))
  lender.actor.send({ type: 'request.abandoned', requestId: 'r2' })
  await lender.settled()
  assert.deepEqual(lender.about('r2').at(-1), 'container.created')
  assert.equal(lender.effects.at(-1), 'create p2prc-3')
})

test('a bad key, an invalid image, and more containers than the limit are rejected', async () => {
  const lender = await manager({ maxContainers: 1 })
  await lender.send(create('r1', 'owner', { key: 'bad' }))
  await lender.send(create('r2', 'owner', { image: 'none' }))
  await lender.send(create('r3'))
  await lender.send(create('r4'))
  assert.deepEqual(
    ['r1', 'r2', 'r3', 'r4'].flatMap((id) => lender.about(id)),
    [
      'container.createFailed bad_key',
      'container.createFailed bad_image',
      'container.created',
      'container.createFailed limit_reached',
    ],
  )
})

test('a caller sees, reads and removes only its own containers, and the owner all', async () => {
  const lender = await manager({
    found: [
      adoptedContainer('p2prc-a1', { caller: alice }),
      adoptedContainer('p2prc-a2', { caller: 'anonymous' }),
      adoptedContainer('p2prc-b1'),
    ],
  })
  const list = async (caller: Caller) => {
    await lender.send(commandOf('container.list', { requestId: `l ${caller}`, caller }))
    const listed = lender.facts.find((fact) => fact.type === 'container.listed' && fact.requestId === `l ${caller}`)
    return listed?.type === 'container.listed' ? listed.containers.map(({ id }) => id.slice(0, 2)) : undefined
  }
  assert.deepEqual(await list('owner'), ['a1', 'a2', 'b1'])
  assert.deepEqual(await list(alice), ['a1'])
  assert.deepEqual(await list('anonymous'), ['a2'])
  assert.deepEqual(await list('SHA256:bob' as NodeId), [])
  const table: [Caller, string, string][] = [
    ['owner', 'a', 'container.removeFailed ambiguous'],
    ['owner', 'c', 'container.removeFailed not_found'],
    [alice, 'a2', 'container.removeFailed not_found'],
    [alice, 'b', 'container.removeFailed not_found'],
    [alice, 'a', 'container.removed'],
    [alice, 'a', 'container.removed'],
    ['anonymous', 'a1', 'container.removeFailed not_found'],
    ['owner', 'a1', 'container.removed'],
    ['owner', 'a', 'container.removed'],
  ]
  for (const [index, [caller, id, answer]] of table.entries()) {
    await lender.send(commandOf('container.remove', { requestId: `x${index}`, caller, id }))
    assert.deepEqual(lender.about(`x${index}`), [answer], `${caller} ${id}`)
  }
  assert.deepEqual(lender.effects, ['remove p2prc-a1', 'remove p2prc-a2'])
  await lender.send(commandOf('container.logs', { requestId: 'g1', caller: alice, id: 'b1' }))
  await lender.send(commandOf('container.logs', { requestId: 'g2', caller: alice, id: 'a1' }))
  assert.deepEqual(lender.about('g1'), ['container.logsFailed not_found'])
  assert.deepEqual(lender.about('g2'), ['container.logsFailed not_found'])
})

test('two concurrent removal requests are both answered by one removal', async () => {
  const lender = await manager({ found: [adoptedContainer('p2prc-a1')] })
  lender.actor.send(commandOf('container.remove', { requestId: 'x1', id: 'a1' }))
  lender.actor.send(commandOf('container.remove', { requestId: 'x2', id: 'a1' }))
  await lender.settled()
  assert.deepEqual([...lender.about('x1'), ...lender.about('x2')], ['container.removed', 'container.removed'])
  assert.deepEqual(lender.effects, ['remove p2prc-a1'])
})

test('an external change of a container is published, and a requested change is not published twice', async () => {
  const lender = await manager({
    found: [adoptedContainer('p2prc-a1'), adoptedContainer('p2prc-b1', { running: false })],
  })
  const changes = () =>
    lender.facts.flatMap((fact) => (fact.type === 'container.changed' ? [`${fact.id.slice(0, 2)} ${fact.state}`] : []))
  assert.deepEqual(changes(), [])
  lender.link({ type: 'link.changed', containerName: 'p2prc-a1', change: 'stopped' })
  lender.link({ type: 'link.changed', containerName: 'p2prc-b1', change: 'running' })
  lender.link({ type: 'link.changed', containerName: 'p2prc-zz', change: 'gone' })
  lender.link({ type: 'link.changed', containerName: 'p2prc-a1', change: 'gone' })
  await lender.settled()
  assert.deepEqual(changes(), ['a1 stopped', 'b1 running', 'a1 gone'])
  await lender.send(commandOf('container.remove', { requestId: 'x1', id: 'b1' }))
  lender.link({ type: 'link.changed', containerName: 'p2prc-b1', change: 'gone' })
  await lender.settled()
  assert.equal(changes().length, 3)
})

test('a lost engine is reported once, commands are rejected at once, it is retried, then all containers are checked again', async () => {
  const lender = await manager({ found: [adoptedContainer('p2prc-a1'), adoptedContainer('p2prc-b1')] })
  lender.link({ type: 'link.lost', failure: new AppError('engine_missing', { why: 'cut' }).toJSON() })
  await lender.send(create('r1'))
  await lender.send(commandOf('container.list', { requestId: 'l1' }))
  await lender.send(commandOf('image.build', { requestId: 'b1' }))
  assert.deepEqual(
    ['r1', 'l1', 'b1'].flatMap((id) => lender.about(id)),
    [
      'container.createFailed engine_missing',
      'container.listFailed engine_missing',
      'image.buildFailed engine_missing',
    ],
  )
  for (let rounds = 0; rounds < 3; rounds += 1) {
    lender.clock.increment(ENGINE_RETRY_INTERVAL_MS)
    await lender.send(create(`again${rounds}`))
    assert.deepEqual(lender.about(`again${rounds}`), ['container.createFailed engine_missing'])
    lender.link({ type: 'link.lost', failure: new AppError('engine_missing', { why: 'cut' }).toJSON() })
  }
  assert.equal(lender.links(), 4)
  assert.equal(lender.facts.filter(({ type }) => type === 'engine.lost').length, 1)
  lender.clock.increment(ENGINE_RETRY_INTERVAL_MS)
  const half = adoptedContainer('p2prc-c1', { complete: false, running: false })
  lender.link({ type: 'link.ready', version: '2', found: [adoptedContainer('p2prc-a1', { running: false }), half] })
  await lender.settled()
  assert.deepEqual(lender.effects.sort(), ['remove p2prc-b1', 'remove p2prc-c1'])
  assert.deepEqual(lender.facts.flatMap((fact) => (fact.type === 'container.changed' ? [fact.state] : [])).sort(), [
    'gone',
    'stopped',
  ])
  assert.equal(lender.facts.filter(({ type }) => type === 'engine.connected').length, 2)
})

test('an engine that is missing for a minute is looked for less often', async () => {
  const lender = await manager()
  const lost = () =>
    lender.link({ type: 'link.lost', failure: new AppError('engine_missing', { why: 'cut' }).toJSON() })
  for (let attempt = 1; attempt <= ENGINE_RETRIES_FAST; attempt += 1) {
    lost()
    lender.clock.increment(ENGINE_RETRY_INTERVAL_MS)
    assert.equal(lender.links(), attempt + 1)
  }
  lost()
  lender.clock.increment(ENGINE_SLOW_RETRY_INTERVAL_MS - 1)
  assert.equal(lender.links(), ENGINE_RETRIES_FAST + 1)
  lender.clock.increment(1)
  assert.equal(lender.links(), ENGINE_RETRIES_FAST + 2)
  lender.link({ type: 'link.ready', version: '2', found: [] })
  lost()
  lender.clock.increment(ENGINE_RETRY_INTERVAL_MS)
  assert.equal(lender.links(), ENGINE_RETRIES_FAST + 3, 'an engine that was there is looked for often again')
})

test('commands that arrive before the first answer of the engine wait for it', async () => {
  const lender = await manager({ background: false })
  assert.equal(lender.links(), 0, 'without a node nothing is begun')
  await lender.send(create('r1'))
  await lender.send(create('r2'))
  lender.actor.send({ type: 'request.abandoned', requestId: 'r2' })
  assert.deepEqual([lender.links(), lender.about('r1')], [1, []])
  lender.link({ type: 'link.ready', version: '1', found: [] })
  await lender.settled()
  assert.deepEqual(lender.about('r1'), ['container.created'])
  assert.deepEqual(lender.about('r2'), [])
  const hopeless = await manager({ background: false })
  await hopeless.send(create('r1'))
  hopeless.link({ type: 'link.lost', failure: new AppError('engine_missing', { why: 'none' }).toJSON() })
  await hopeless.settled()
  assert.deepEqual(hopeless.about('r1'), ['container.createFailed engine_missing'])
})

test('a partly created container that appears late is rolled back, unless its creation is in progress', async () => {
  const lender = await manager()
  lender.block()
  await lender.send(create('r1'))
  lender.link({ type: 'link.created', found: adoptedContainer('p2prc-1', { complete: false, running: false }) })
  lender.link({ type: 'link.created', found: adoptedContainer('p2prc-stray', { complete: false, running: false }) })
  await lender.settled()
  assert.deepEqual(lender.effects, ['create p2prc-1', 'remove p2prc-stray'])
  lender.unblock()
  await lender.settled()
  assert.deepEqual(lender.about('r1'), ['container.created'])
})

test('logs reach the request, and end by themselves, when abandoned, or when they fail', async () => {
  const lender = await manager({ found: [adoptedContainer('p2prc-a1')] })
  const read = (requestId: string) => lender.send(commandOf('container.logs', { requestId, id: 'a1', follow: true }))
  await read('g1')
  await read('g1')
  lender.logs({ type: 'logs.line', requestId: 'g1', stream: 'stdout', line: 'hello' })
  lender.logs({ type: 'logs.ended', requestId: 'g1' })
  assert.deepEqual(lender.about('g1'), ['container.logged', 'container.logsEnded'])
  await read('g2')
  lender.actor.send({ type: 'request.abandoned', requestId: 'g2' })
  await read('g3')
  lender.logs({ type: 'logs.failed', requestId: 'g3', failure: new AppError('engine_missing', { why: 'x' }).toJSON() })
  assert.deepEqual(lender.about('g3'), ['container.logsFailed engine_missing'])
  assert.deepEqual(lender.effects.filter((what) => what === 'logs stopped').length, 3)
  // A request id may be any text, even the id of a child of the machine.
  for (const requestId of ['link', 'imageStore', 'container 0'])
    lender.actor.send({ type: 'request.abandoned', requestId })
  await lender.send(commandOf('container.list', { requestId: 'l1' }))
  assert.deepEqual(lender.about('l1'), ['container.listed'])
  assert.deepEqual(Object.keys(lender.actor.getSnapshot().children).sort(), ['container 0', 'imageStore', 'link'])
})

test('a container that appears after a reconnect is adopted beside the others, which all stay', async () => {
  const whole = [adoptedContainer('p2prc-a1'), adoptedContainer('p2prc-b1')]
  const lender = await manager({ found: whole })
  lender.link({ type: 'link.lost', failure: new AppError('engine_missing', { why: 'cut' }).toJSON() })
  lender.clock.increment(ENGINE_RETRY_INTERVAL_MS)
  lender.link({ type: 'link.ready', version: '2', found: whole })
  await lender.settled()
  lender.link({ type: 'link.created', found: adoptedContainer('p2prc-c1') })
  await lender.settled()
  assert.deepEqual(lender.effects, [], 'nothing is removed')
  await lender.send(commandOf('container.list', { requestId: 'l1' }))
  const listed = lender.facts.find((fact) => fact.type === 'container.listed')
  assert.deepEqual(
    listed?.type === 'container.listed' && listed.containers.map(({ id, state }) => `${id.slice(0, 2)} ${state}`),
    ['a1 running', 'b1 running', 'c1 running'],
  )
})
