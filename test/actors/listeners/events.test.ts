import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { after, test } from 'node:test'
import { createActor, createMachine } from 'xstate'
import { createEventStream } from '../../../actors/listeners/eventStream.ts'
import { createRegistry } from '../../../actors/registry.ts'
import { connect } from '../../../client/client.ts'
import { controlSocket } from '../../../client/controlSocket.ts'
import { createBus } from '../../../protocol/bus.ts'
import { EVENTS_PATH } from '../../../protocol/control.ts'
import type { BusEvent } from '../../../protocol/index.ts'
import { httpHarness, madeContainer } from '../../support/httpHarness.ts'

const harness = await httpHarness()
after(() => harness.close())

type Line = { type: string; [key: string]: unknown }

function reader() {
  const seen: Line[] = []
  return {
    seen,
    reader: { write: (event: object) => seen.push(event as Line) > 0, end: () => seen.push({ type: 'end' }) },
  }
}

const child = createMachine({ id: 'container', initial: 'pulling', states: { pulling: { on: { go: 'up' } }, up: {} } })
const parent = createMachine({
  id: 'containerManager',
  initial: 'idle',
  states: {
    idle: { on: { work: 'busy' } },
    busy: {
      initial: 'first',
      states: { first: { on: { next: 'second' } }, second: { type: 'final' } },
      invoke: { id: 'one', src: child },
      on: { stop: '#containerManager.over' },
    },
    over: { type: 'final' },
  },
})

test('events of the bus arrive unchanged and in order, with their time and with masked secrets', () => {
  const bus = createBus<BusEvent>()
  const stream = createEventStream({ bus, registry: createRegistry() })
  const { seen, reader: first } = reader()
  const undo = stream.open(first)
  const before = Date.now()
  bus.publish({ type: 'node.stopping' })
  bus.publish({ type: 'container.created', requestId: 'x', container: madeContainer() })
  undo()
  undo()
  bus.publish({ type: 'node.stopping' })
  assert.deepEqual(
    seen.map(({ type }) => type),
    ['node.stopping', 'container.created'],
  )
  assert.ok(Number(seen[0]?.at) >= before)
  assert.ok(!JSON.stringify(seen).includes('correct horse') && JSON.stringify(seen).includes('•••'))
})

test('state changes name the concern, the child, from, to and the event; a transition to the same state is not reported', () => {
  const registry = createRegistry()
  const stream = createEventStream({ bus: createBus<BusEvent>(), registry })
  const { seen, reader: one } = reader()
  stream.open(one)
  const actor = createActor(parent, { inspect: registry.inspect }).start()
  for (const type of ['work', 'nothing', 'next', 'stop']) actor.send({ type } as never)
  const shown = seen.map(({ type, concern, actor, from, to, event }) => {
    assert.equal(type, 'state.changed')
    return [concern, actor, from, to, event]
  })
  assert.deepEqual(shown, [
    ['containerManager', undefined, undefined, 'idle', 'xstate.init'],
    ['containerManager', 'one', undefined, 'pulling', 'xstate.init'],
    ['containerManager', undefined, 'idle', 'busy.first', 'work'],
    ['containerManager', undefined, 'busy.first', 'busy.second', 'next'],
    ['containerManager', 'one', 'pulling', 'stopped', 'xstate.stop'],
    ['containerManager', undefined, 'busy.second', 'done', 'stop'],
  ])
})

test('a reader that is too slow is dropped with a line that says so; the others continue', () => {
  const bus = createBus<BusEvent>()
  const stream = createEventStream({ bus, registry: createRegistry() })
  const quick = reader()
  const slow = reader()
  let room = 2
  const { reader: inner } = slow
  const full = { ...inner, write: (event: object) => inner.write(event) && --room > 0 }
  stream.open(full)
  stream.open(quick.reader)
  for (let number = 0; number < 4; number += 1) bus.publish({ type: 'node.stopping' })
  assert.deepEqual(
    slow.seen.map(({ type }) => type),
    ['node.stopping', 'node.stopping', 'stream.dropped', 'end'],
  )
  assert.equal(quick.seen.length, 4)
})

test('the owner follows the events over the control socket until they disconnect or the node stops', async () => {
  const client = connect({ transport: controlSocket({ path: harness.socketPath }) })
  const stop = new AbortController()
  const timer = setInterval(() => harness.bus.publish({ type: 'node.stopping' }), 10)
  const seen: string[] = []
  for await (const { type } of client.events({ signal: stop.signal })) {
    clearInterval(timer)
    seen.push(type)
    stop.abort()
  }
  assert.equal(seen[0], 'node.stopping')
})

test('an HTTP client that stops reading does not fill the memory', async () => {
  const asked = request({ socketPath: harness.socketPath, path: EVENTS_PATH, agent: false }).end()
  const [response] = (await once(asked, 'response')) as [IncomingMessage]
  response.pause()
  const line = 'x'.repeat(64 * 1024)
  for (let number = 0; number < 400; number += 1) {
    harness.bus.publish({ type: 'image.progress', requestId: 'x', line })
    if (number % 20 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  let text = ''
  let bytes = 0
  for await (const chunk of response) {
    bytes += chunk.length
    text = (text + chunk).slice(-1_000)
  }
  assert.match(text, /"type":"stream.dropped".*\n$/)
  assert.ok(bytes < 8 * 1024 * 1024, `${bytes} bytes`)
})
