import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createBus } from '../../protocol/bus.ts'
import type { BusEvent } from '../../protocol/index.ts'
import { Secret } from '../../protocol/secret.ts'

type Event = { type: 'a'; n: number } | { type: 'b'; n: number }

/** The first seven guarantees hold for events of any type. */
const check = () => {}

test('1. order: every listener sees events in the order of publishing', () => {
  const bus = createBus<Event>({ check })
  const seen: string[] = []
  bus.on('a', ({ n }) => seen.push(`a${n}`))
  bus.on('b', ({ n }) => seen.push(`b${n}`))
  bus.publish({ type: 'a', n: 1 })
  bus.publish({ type: 'b', n: 2 })
  bus.publish({ type: 'a', n: 3 })
  assert.deepEqual(seen, ['a1', 'b2', 'a3'])
})

test('2. no re-entrance: an event published during a delivery waits until the current one has reached all listeners', () => {
  const bus = createBus<Event>({ check })
  const seen: string[] = []
  bus.on('a', () => bus.publish({ type: 'b', n: 0 }))
  bus.on('b', () => seen.push('b'))
  bus.on('a', () => seen.push('a'))
  bus.publish({ type: 'a', n: 0 })
  assert.deepEqual(seen, ['a', 'b'])
})

test('3. isolation: a listener that throws affects nobody else, and onError gets the error', () => {
  const errors: unknown[] = []
  const bus = createBus<Event>({ check, onError: (error, type) => errors.push([(error as Error).message, type]) })
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
  const bus = createBus<Event>({ check })
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
  const bus = createBus<Event>({ check })
  const seen: string[] = []
  bus.on('a', () => seen.push('listener'))
  bus.tap(({ type }) => seen.push(`tap ${type}`))
  bus.publish({ type: 'a', n: 0 })
  bus.publish({ type: 'b', n: 0 })
  assert.deepEqual(seen, ['tap a', 'listener', 'tap b'])
})

test('6. no history: a listener added during a delivery receives the next event, not the current one', () => {
  const bus = createBus<Event>({ check })
  const seen: number[] = []
  const stop = bus.tap(() => {
    stop()
    bus.on('a', ({ n }) => seen.push(n))
  })
  bus.publish({ type: 'a', n: 1 })
  bus.publish({ type: 'a', n: 2 })
  assert.deepEqual(seen, [2])
})

test('7. close: after close nothing is delivered, not even queued events', () => {
  const bus = createBus<Event>({ check })
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

/** The error that the bus reports for one event, and what a listener received. */
function published(event: { type: string; [key: string]: unknown }): {
  errors: [string, string][]
  received: unknown[]
} {
  const errors: [string, string][] = []
  const received: unknown[] = []
  const bus = createBus<BusEvent>({ onError: (error, type) => errors.push([(error as Error).message, type]) })
  bus.tap((each) => received.push(each))
  bus.publish(event as never)
  return { errors, received }
}

test('8. schemas: an event that does not fit is an error with type, path and reason, and is delivered nevertheless', () => {
  const cases: [event: { type: string; [key: string]: unknown }, pattern: RegExp][] = [
    [{ type: 'table.changed', count: 'three' }, /table\.changed does not fit: count: .*expected number/],
    [{ type: 'table.changed' }, /table\.changed does not fit: count: /],
    [{ type: 'table.changed', count: Number.NaN }, /count: .*number/],
    [{ type: 'table.changed', count: 1n }, /count: .*number/],
    [{ type: 'table.changed', count: 1, socket: {} }, /table\.changed does not fit: its schema has no socket/],
    [{ type: 'link.opened', link: 'l', id: 'me', dialled: true, address: '' }, /link\.opened does not fit: id: /],
    [
      { type: 'trust.listed', requestId: 'r', peers: [{ id: 'x', name: '', key: '' }] },
      /trust\.listed does not fit: peers\[0\]\.id: /,
    ],
    [{ type: 'trust.listed', peers: [] }, /trust\.listed does not fit: requestId: /],
    [{ type: 'trust.list', requestId: 'r' }, /trust\.list does not fit: caller: /],
    [{ type: 'table.update', requestId: 'r', caller: 'owner' }, /table\.update does not fit: it has no hops/],
    [{ type: 'table.update', requestId: 'r', caller: 'owner', hops: 0 }, /table\.update does not fit: hops: /],
    [{ type: 'toString' }, /toString does not fit: no slice declares it/],
  ]
  for (const [event, pattern] of cases) {
    const { errors, received } = published(event)
    assert.equal(errors.length, 1, `${event.type}: ${JSON.stringify(errors)}`)
    assert.match(errors[0]?.[0] as string, pattern)
    assert.equal(errors[0]?.[1], event.type)
    assert.deepEqual(received, [event])
  }
})

test('8. schemas: a password in plain text does not fit, and is not in the error', () => {
  const container = {
    SSHUsername: 'root',
    SSHPassword: 'hunter2' as Secret | string,
    SSHPublicKey: '',
    SSHHostKey: '',
    VNCUsername: '',
    VNCPassword: '',
    ID: 'a'.repeat(64),
    TagName: '',
    ImagePath: '',
    Ports: { Port: [] },
    GPU: 'false',
    TempPath: '',
    BaseImage: '',
    LogsPath: '',
    SSHCommand: '',
  }
  const { errors } = published({ type: 'container.created', requestId: 'r', container })
  assert.match(errors[0]?.[0] as string, /container\.created does not fit: container\.SSHPassword: /)
  assert.doesNotMatch(errors[0]?.[0] as string, /hunter2/)
  container.SSHPassword = new Secret('hunter2')
  assert.deepEqual(published({ type: 'container.created', requestId: 'r', container }).errors, [])
})

test('8. schemas: an event that does not fit, during a delivery, loses neither queued events nor a pending request', () => {
  const errors: string[] = []
  const seen: string[] = []
  const bus = createBus<BusEvent>({ onError: (_error, type) => errors.push(type) })
  bus.on('node.stopping', () => {
    bus.publish({ type: 'table.changed', count: '1' } as never)
    bus.publish({ type: 'table.changed', count: 2 })
  })
  bus.on('table.changed', ({ count }) => seen.push(String(count)))
  bus.publish({ type: 'node.stopping' })
  assert.deepEqual(errors, ['table.changed'])
  assert.deepEqual(seen, ['1', '2'])
})
