import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SimulatedClock } from 'xstate'
import { request } from '../../actors/request.ts'
import { createBus } from '../../protocol/bus.ts'
import { DEADLINES_MS, deadlineOf } from '../../protocol/defaults/requests.ts'
import { type BusEvent, type Command, commands } from '../../protocol/index.ts'
import { nextTick, record } from '../support/harness.ts'

const command: Command = { type: 'specs.get', requestId: 'r1', caller: 'owner' }

test('resolves with the terminal event of its own request, and forwards every fact of the request', async () => {
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

test('a failed command rejects with its code and message', async () => {
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

test('the crash of a concern rejects the requests to it, and no others', async () => {
  const bus = createBus<BusEvent>()
  const answer = request(bus, command)
  const crash = { type: 'node.concernCrashed', message: 'boom', retryMs: 200 } as const
  bus.publish({ ...crash, concern: 'trust' })
  bus.publish({ ...crash, concern: 'specs' })
  await assert.rejects(answer, { code: 'internal', message: /specs failed: boom/ })
})

test('an abort publishes request.abandoned and rejects; an earlier abort publishes nothing', async () => {
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
  assert.equal(events.length, 2, 'what was never asked for is not abandoned either')
})

test('a forgotten answer is timed_out after the deadline of its command, and the concern is informed', async () => {
  const bus = createBus<BusEvent>()
  const events = record(bus)
  const clock = new SimulatedClock()
  const answer = request(bus, command, { clock })
  const deadlineMs = deadlineOf(command) as number
  clock.increment(deadlineMs - 1)
  assert.equal(events.at(-1)?.type, 'specs.get')
  clock.increment(1)
  await assert.rejects(answer, { code: 'timed_out', message: /specs \(specs\.get\) did not answer within 30000 ms/ })
  assert.deepEqual(events.at(-1), { type: 'request.abandoned', requestId: 'r1' })
  bus.publish({ type: 'specs.getFailed', requestId: 'r1', code: 'internal', message: 'too late' })
  clock.increment(deadlineMs)
  assert.equal(events.filter(({ type }) => type === 'request.abandoned').length, 1)
})

test('the deadline counts from the latest fact of the same request', async () => {
  const bus = createBus<BusEvent>()
  const clock = new SimulatedClock()
  const build: Command = { type: 'image.build', requestId: 'r1', caller: 'owner' }
  const deadlineMs = deadlineOf(build) as number
  const answer = request(bus, build, { clock })
  let settled = false
  answer
    .catch(() => {})
    .finally(() => {
      settled = true
    })
  for (let lines = 0; lines < 3; lines += 1) {
    clock.increment(deadlineMs - 1)
    bus.publish({ type: 'image.progress', requestId: 'r1', line: 'still at work' })
  }
  await nextTick()
  assert.equal(settled, false)
  clock.increment(deadlineMs - 1)
  bus.publish({ type: 'image.progress', requestId: 'somebody else', line: 'x' })
  clock.increment(1)
  await assert.rejects(answer, { code: 'timed_out' })
})

test('an answer, an abort and a crash stop the deadline', async () => {
  const bus = createBus<BusEvent>()
  const clock = new SimulatedClock()
  const events = record(bus)
  const abort = new AbortController()
  const failure = { code: 'internal', message: 'x' }
  const ends: [() => void, RegExp][] = [
    [() => bus.publish({ type: 'specs.getFailed', requestId: 'r1', ...failure }), /internal/],
    [() => bus.publish({ type: 'node.concernCrashed', concern: 'specs', message: 'x', retryMs: 1 }), /internal/],
    [() => abort.abort(), /abandoned/],
  ]
  for (const [end, code] of ends) {
    const answer = request(bus, command, { clock, signal: abort.signal })
    end()
    await assert.rejects(answer, (error: { code: string }) => code.test(error.code))
  }
  clock.increment(3_600_000)
  assert.equal(events.filter(({ type }) => type === 'request.abandoned').length, 1, 'that of the abort')
})

test('every command has a deadline, or the reason why it has none', () => {
  const shortest = 10_000
  const longest = 86_400_000 + 60_000
  const payloads = [{ follow: true }, { follow: false }, { containers: true }, { timeoutMs: 86_400_000 }]
  const endless = new Set<string>()
  for (const type of commands.keys()) {
    assert.ok(type in DEADLINES_MS, `${type} has no row in protocol/defaults/requests.ts`)
    for (const payload of payloads) {
      const deadlineMs = deadlineOf({ timeoutMs: 3_600_000, ...payload, type } as unknown as Command)
      if (deadlineMs === null) endless.add(type)
      else assert.ok(deadlineMs >= shortest && deadlineMs <= longest, `${type}: ${deadlineMs} ms`)
    }
  }
  assert.deepEqual(Object.keys(DEADLINES_MS).sort(), [...commands.keys()].sort(), 'no row without a command')
  // A person reads these streams, or runs this program, for as long as they like.
  assert.deepEqual([...endless].sort(), ['container.logs', 'group.exec', 'loan.logs'])
})

test('an abort after the answer publishes nothing', async () => {
  const bus = createBus<BusEvent>()
  const events = record(bus)
  const abort = new AbortController()
  const answer = request(bus, command, { signal: abort.signal })
  bus.publish({ type: 'specs.getFailed', requestId: 'r1', code: 'internal', message: 'x' })
  await assert.rejects(answer)
  abort.abort()
  assert.deepEqual(
    events.map(({ type }) => type),
    ['specs.get', 'specs.getFailed'],
  )
})

test('a command that no slice declares is rejected', async () => {
  const bus = createBus<BusEvent>()
  await assert.rejects(request(bus, { ...command, type: 'moon.orbit' } as unknown as Command), {
    code: 'unknown_command',
  })
})

test('a command with the id of a pending one of another type fails at once, and the pending one is not disturbed', async () => {
  const bus = createBus<BusEvent>()
  const events = record(bus)
  const first = request(bus, command)
  const again = request(bus, command)
  const other: Command = { type: 'specs.request', requestId: 'r1', caller: 'owner', where: 'x' }
  await assert.rejects(request(bus, other), {
    code: 'request_id_in_use',
    message:
      'specs.request has the same request id as specs.get, which has no answer yet. ' +
      'Give it a request id of its own; only a repetition of the same command has the same one.',
  })
  // `request.abandoned` names only the id, so that a command of another concern would share it too.
  const elsewhere: Command = { type: 'trust.list', requestId: 'r1', caller: 'owner' }
  await assert.rejects(request(bus, elsewhere), { code: 'request_id_in_use' })
  assert.deepEqual(
    events.map(({ type }) => type),
    ['specs.get', 'specs.get'],
    'neither the command nor its abandonment is published',
  )
  bus.publish({ type: 'specs.getFailed', requestId: 'r1', code: 'internal', message: 'x' })
  await assert.rejects(first, { code: 'internal' })
  await assert.rejects(again, { code: 'internal' })
})

test('an id is free again once every request with it has ended: by an answer, a crash, the deadline or an abort', async () => {
  const bus = createBus<BusEvent>()
  const clock = new SimulatedClock()
  const other: Command = { type: 'trust.list', requestId: 'r1', caller: 'owner' }
  const answer = () => bus.publish({ type: 'specs.getFailed', requestId: 'r1', code: 'internal', message: 'x' })
  const ends: [string, (abort: AbortController) => void][] = [
    ['an answer', answer],
    ['a crash', () => bus.publish({ type: 'node.concernCrashed', concern: 'specs', message: 'x', retryMs: 1 })],
    ['the deadline', () => clock.increment(deadlineOf(command) as number)],
    ['an abort', (abort) => abort.abort()],
  ]
  for (const [name, end] of ends) {
    const abort = new AbortController()
    const options = { clock, signal: abort.signal }
    const waiting = [request(bus, command, options), request(bus, command, options)]
    end(abort)
    for (const one of waiting) await assert.rejects(one, name)
    const free = request(bus, other, { clock })
    bus.publish({ type: 'trust.listed', requestId: 'r1', peers: [] })
    assert.equal((await free).type, 'trust.listed', name)
  }

  const abort = new AbortController()
  const gone = request(bus, command, { clock, signal: abort.signal })
  const stays = request(bus, command, { clock })
  abort.abort()
  await assert.rejects(gone, { code: 'abandoned' })
  await assert.rejects(request(bus, other), { code: 'request_id_in_use' }, 'the repetition still waits')
  answer()
  await assert.rejects(stays, { code: 'internal' })
})

test('an abort by the receiver of the terminal event abandons nothing', async () => {
  const bus = createBus<BusEvent>()
  const events = record(bus)
  const abort = new AbortController()
  const answer = request(bus, command, { signal: abort.signal, onFact: () => abort.abort() })
  bus.publish({ type: 'specs.getFailed', requestId: 'r1', code: 'protocol_error', message: 'x' })
  await assert.rejects(answer, { code: 'protocol_error' })
  assert.deepEqual(
    events.map(({ type }) => type),
    ['specs.get', 'specs.getFailed'],
  )
})
