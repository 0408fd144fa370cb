import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createActor, emit, setup } from 'xstate'
import { acceptedTypes, bridge } from '../../actors/bridge.ts'
import type { ConcernParts } from '../../actors/supervise.ts'
import { createBus } from '../../protocol/bus.ts'
import type { BusEvent } from '../../protocol/index.ts'
import type { TrustCommand, TrustEmits } from '../../protocol/trust.ts'
import { record } from '../support/harness.ts'

const lister = setup({
  types: { events: {} as TrustCommand, emitted: {} as TrustEmits },
}).createMachine({
  entry: emit({ type: 'trust.changed', trusted: [] }),
  on: {
    'trust.list': { actions: emit(({ event }) => ({ type: 'trust.listed', requestId: event.requestId, peers: [] })) },
  },
})

test('connects both directions: accepted events reach the actor, and emitted ones reach the bus, also those on entry', () => {
  const bus = createBus<BusEvent>()
  const events = record(bus)
  const actor = createActor(lister)
  bridge(bus, actor, ['trust.list'])
  actor.start()
  bus.publish({ type: 'trust.list', requestId: 'r1', caller: 'owner' })
  assert.deepEqual(
    events.map((event) => event.type),
    ['trust.changed', 'trust.list', 'trust.listed'],
  )
})

test('disconnects both directions', () => {
  const bus = createBus<BusEvent>()
  const actor = createActor(lister).start()
  const events = record(bus)
  const undo = bridge(bus, actor, ['trust.list'])
  undo()
  bus.publish({ type: 'trust.list', requestId: 'r1', caller: 'owner' })
  actor.send({ type: 'trust.list', requestId: 'r2', caller: 'owner' })
  assert.deepEqual(
    events.map((event) => event.type),
    ['trust.list'],
  )
})

test('accepts the events that its machine handles and others emit, but not events that it does not handle or emits itself', () => {
  const handled = { actions: () => {} }
  const looping = setup({ types: { events: {} as BusEvent, emitted: {} as TrustEmits } }).createMachine({
    on: { 'trust.*': handled, 'request.abandoned': handled, 'child.ended': handled } as object,
    initial: 'idle',
    states: { idle: { on: { 'node.*': handled } } },
  })
  const accepted = acceptedTypes('trust', looping)
  assert.deepEqual(accepted.filter((type) => type.startsWith('trust.')).sort(), [
    'trust.add',
    'trust.list',
    'trust.remove',
  ])
  assert.ok(accepted.includes('request.abandoned') && accepted.includes('node.stopping'))
  assert.ok(!accepted.includes('specs.get'), 'the machine does not handle it')
  assert.ok(!accepted.includes('trust.changed'), 'it says that itself: a loop')
  assert.ok(!accepted.includes('child.ended' as never), 'the bus does not know it')
  assert.deepEqual(acceptedTypes('trust', lister), ['trust.list'])
})

test('the types reject a machine that emits an event unknown to the bus', () => {
  const unknown = setup({ types: { emitted: {} as { type: 'from.nowhere' } } }).createMachine({})
  const refusal = (): ConcernParts<typeof unknown> => ({
    name: 'trust',
    // @ts-expect-error the machine emits an event unknown to the bus
    logic: unknown,
    input: () => undefined,
  })
  assert.equal(typeof refusal, 'function')
})
