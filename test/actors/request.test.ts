import assert from 'node:assert/strict'
import { test } from 'node:test'
import { request } from '../../actors/request.ts'
import { createBus } from '../../protocol/bus.ts'
import type { BusEvent, Command } from '../../protocol/index.ts'
import { record } from '../support/harness.ts'

const command: Command = { type: 'specs.get', requestId: 'r1', caller: 'owner' }

test('resolves with the finishing fact of its own request and passes on every fact of it', async () => {
  const bus = createBus<BusEvent>()
  const facts: string[] = []
  const id = 'a'.repeat(64) as never
  const answer = request(
    bus,
    { type: 'container.remove', requestId: 'r1', caller: 'owner', id: 'a' },
    { onFact: (fact) => facts.push(fact.type) },
  )
  bus.publish({ type: 'container.removed', requestId: 'somebody else', id })
  bus.publish({ type: 'container.progress', requestId: 'r1', step: 'create', line: 'x' })
  bus.publish({ type: 'container.removed', requestId: 'r1', id })
  bus.publish({ type: 'container.progress', requestId: 'r1', step: 'create', line: 'too late' })
  assert.deepEqual(await answer, { type: 'container.removed', requestId: 'r1', id })
  assert.deepEqual(facts, ['container.progress', 'container.removed'])
})

test('a failed answer rejects with its own code and words', async () => {
  const bus = createBus<BusEvent>()
  const answer = request(bus, command)
  bus.publish({
    type: 'specs.getFailed',
    requestId: 'r1',
    code: 'protocol_error',
    message: 'x does not answer as a node',
  })
  await assert.rejects(answer, { code: 'protocol_error', message: 'x does not answer as a node' })
})

test('a concern that crashes in the middle rejects what waits for it, and only that', async () => {
  const bus = createBus<BusEvent>()
  const answer = request(bus, command)
  const crash = { type: 'node.concernCrashed', message: 'boom', retryMs: 200 } as const
  bus.publish({ ...crash, concern: 'trust' })
  bus.publish({ ...crash, concern: 'specs' })
  await assert.rejects(answer, { code: 'internal', message: /specs failed: boom/ })
})

test('an abort tells the concerns and rejects; one that came before asks nothing', async () => {
  const bus = createBus<BusEvent>()
  const events = record(bus)
  const abort = new AbortController()
  const answer = request(bus, command, { signal: abort.signal })
  abort.abort()
  await assert.rejects(answer, { code: 'abandoned' })
  assert.deepEqual(
    events.map((event) => event.type),
    ['specs.get', 'request.abandoned'],
  )
  await assert.rejects(request(bus, command, { signal: abort.signal }), { code: 'abandoned' })
  assert.equal(events.filter((event) => event.type === 'specs.get').length, 1)
})

test('a command that no slice declares is refused', async () => {
  const bus = createBus<BusEvent>()
  await assert.rejects(request(bus, { ...command, type: 'moon.orbit' } as unknown as Command), {
    code: 'unknown_command',
  })
})
