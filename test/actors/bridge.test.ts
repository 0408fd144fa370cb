import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createActor, emit, setup } from 'xstate'
import { bridge } from '../../actors/bridge.ts'
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

test('joins: what it hears reaches the actor, what it emits reaches the bus, on entry too', () => {
  const bus = createBus<BusEvent>()
  const events = record(bus)
  const actor = createActor(lister)
  bridge<typeof lister>(bus, actor, ['trust.list'])
  actor.start()
  bus.publish({ type: 'trust.list', requestId: 'r1', caller: 'owner' })
  assert.deepEqual(
    events.map((event) => event.type),
    ['trust.changed', 'trust.list', 'trust.listed'],
  )
})

test('unjoins in both directions', () => {
  const bus = createBus<BusEvent>()
  const actor = createActor(lister).start()
  const events = record(bus)
  const undo = bridge<typeof lister>(bus, actor, ['trust.list'])
  undo()
  bus.publish({ type: 'trust.list', requestId: 'r1', caller: 'owner' })
  actor.send({ type: 'trust.list', requestId: 'r2', caller: 'owner' })
  assert.deepEqual(
    events.map((event) => event.type),
    ['trust.list'],
  )
})

test('the types refuse what does not fit', () => {
  const unknown = setup({ types: { emitted: {} as { type: 'from.nowhere' } } }).createMachine({})
  const refusals = () => {
    const bus = createBus<BusEvent>()
    const actor = createActor(lister)
    // @ts-expect-error the machine does not handle it
    bridge<typeof lister>(bus, actor, ['specs.get'])
    // @ts-expect-error it says that itself: a loop
    bridge<typeof lister>(bus, actor, ['trust.changed'])
    // @ts-expect-error the bus does not know what it emits
    bridge<typeof unknown>(bus, createActor(unknown), [])
  }
  assert.equal(typeof refusals, 'function')
})
