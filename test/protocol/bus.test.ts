import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createBus } from '../../protocol/bus.ts'

type Event = { type: 'a'; n: number } | { type: 'b'; n: number }

test('1. order: every listener sees events in the order of publishing', () => {
  const bus = createBus<Event>()
  const seen: string[] = []
  bus.on('a', ({ n }) => seen.push(`a${n}`))
  bus.on('b', ({ n }) => seen.push(`b${n}`))
  bus.publish({ type: 'a', n: 1 })
  bus.publish({ type: 'b', n: 2 })
  bus.publish({ type: 'a', n: 3 })
  assert.deepEqual(seen, ['a1', 'b2', 'a3'])
})

test('2. no re-entrance: an event published during delivery waits until the present one has reached everybody', () => {
  const bus = createBus<Event>()
  const seen: string[] = []
  bus.on('a', () => bus.publish({ type: 'b', n: 0 }))
  bus.on('b', () => seen.push('b'))
  bus.on('a', () => seen.push('a'))
  bus.publish({ type: 'a', n: 0 })
  assert.deepEqual(seen, ['a', 'b'])
})

test('3. isolation: a listener that throws hurts nobody else, and onError is told', () => {
  const errors: unknown[] = []
  const bus = createBus<Event>({ onError: (error, type) => errors.push([(error as Error).message, type]) })
  const seen: string[] = []
  bus.tap(() => {
    throw new Error('tap')
  })
  bus.on('a', () => {
    throw new Error('listener')
  })
  bus.on('a', () => seen.push('after'))
  bus.publish({ type: 'a', n: 0 })
  bus.publish({ type: 'a', n: 1 })
  assert.deepEqual(seen, ['after', 'after'])
  assert.deepEqual(errors.slice(0, 2), [
    ['tap', 'a'],
    ['listener', 'a'],
  ])
})

test('4. undo: takes effect at once, even in the middle of a delivery, and may be called twice', () => {
  const bus = createBus<Event>()
  const seen: string[] = []
  bus.on('a', () => undo())
  const undo = bus.on('a', () => seen.push('undone'))
  bus.on('a', () => seen.push('kept'))
  bus.publish({ type: 'a', n: 0 })
  undo()
  bus.publish({ type: 'a', n: 1 })
  assert.deepEqual(seen, ['kept', 'kept'])
})

test('5. taps first: a tap sees every event, before its listeners do', () => {
  const bus = createBus<Event>()
  const seen: string[] = []
  bus.on('a', () => seen.push('listener'))
  bus.tap(({ type }) => seen.push(`tap ${type}`))
  bus.publish({ type: 'a', n: 0 })
  bus.publish({ type: 'b', n: 0 })
  assert.deepEqual(seen, ['tap a', 'listener', 'tap b'])
})

test('6. no history: a listener added during delivery hears the next event, not the present one', () => {
  const bus = createBus<Event>()
  const seen: number[] = []
  const stop = bus.tap(() => {
    stop()
    bus.on('a', ({ n }) => seen.push(n))
  })
  bus.publish({ type: 'a', n: 1 })
  bus.publish({ type: 'a', n: 2 })
  assert.deepEqual(seen, [2])
})

test('7. end: after close nothing is delivered, what is still queued included', () => {
  const bus = createBus<Event>()
  const seen: string[] = []
  bus.on('a', () => {
    bus.publish({ type: 'b', n: 0 })
    bus.close()
  })
  bus.on('a', () => seen.push('same event, later listener'))
  bus.on('b', () => seen.push('queued'))
  bus.publish({ type: 'a', n: 0 })
  bus.publish({ type: 'b', n: 0 })
  assert.deepEqual(seen, [])
})
