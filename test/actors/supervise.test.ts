import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { assign, emit, fromCallback, type InspectionEvent, SimulatedClock, setup } from 'xstate'
import { type ConcernParts, supervise } from '../../actors/supervise.ts'
import { createBus } from '../../protocol/bus.ts'
import { RESTART } from '../../protocol/defaults/node.ts'
import type { BusEvent } from '../../protocol/index.ts'
import { formatEndpoint, parseEndpoints } from '../../protocol/net/endpoint.ts'
import type { TrustCommand, TrustEmits } from '../../protocol/trust.ts'
import { record } from '../support/harness.ts'

/** A concern that holds one resource per instance, answers `trust.list`, and crashes at `trust.remove`. */
function fragile(): { parts: ConcernParts<typeof machine>; open: () => number; instances: () => number } {
  let open = 0
  let instances = 0
  const parts: ConcernParts<typeof machine> = {
    name: 'trust',
    logic: machine.provide({
      actors: {
        hold: fromCallback(({ input }: { input: AbortSignal }) => {
          open += 1
          input.addEventListener('abort', () => {
            open -= 1
          })
        }),
      },
    }),
    input: (signal) => {
      instances += 1
      return signal
    },
  }
  return { parts, open: () => open, instances: () => instances }
}

const machine = setup({
  types: {
    context: {} as { signal: AbortSignal },
    input: {} as AbortSignal,
    events: {} as TrustCommand,
    emitted: {} as TrustEmits,
  },
  actors: {
    hold: fromCallback<{ type: 'none' }, AbortSignal>(() => {
      throw new Error('not provided')
    }),
  },
}).createMachine({
  context: ({ input }) => ({ signal: input }),
  invoke: { id: 'hold', src: 'hold', input: ({ context }) => context.signal },
  on: {
    'trust.list': { actions: emit(({ event }) => ({ type: 'trust.listed', requestId: event.requestId, peers: [] })) },
    'trust.remove': {
      actions: assign(() => {
        throw new Error('broken on purpose')
      }),
    },
  },
})

const die: BusEvent = { type: 'trust.remove', requestId: 'x', caller: 'owner', who: 'x' }
const list: BusEvent = { type: 'trust.list', requestId: 'y', caller: 'owner' }

test('a crash frees the resources of the instance and is published, and a new instance answers', () => {
  const bus = createBus<BusEvent>()
  const clock = new SimulatedClock()
  const { parts, open, instances } = fragile()
  const supervised = supervise(parts, { bus, clock })
  const events = record(bus)
  supervised.start()
  assert.deepEqual([open(), instances()], [1, 1])
  bus.publish(die)
  assert.deepEqual([open(), supervised.actor], [0, undefined])
  clock.increment(RESTART.initialBackoffMs)
  assert.deepEqual([open(), instances()], [1, 2])
  bus.publish(list)
  assert.deepEqual(
    events.map((event) => event.type),
    ['trust.remove', 'node.concernCrashed', 'node.concernRestarted', 'trust.list', 'trust.listed'],
  )
  supervised.stop()
  supervised.stop()
  assert.equal(open(), 0)
})

test('a command that arrives before the restart is answered once, by the next instance', () => {
  const bus = createBus<BusEvent>()
  const clock = new SimulatedClock()
  const supervised = supervise(fragile().parts, { bus, clock })
  const events = record(bus)
  const answers = () => events.filter((event) => event.type === 'trust.listed').length
  supervised.start()
  bus.publish(die)
  bus.publish(list)
  assert.equal(answers(), 0)
  clock.increment(RESTART.initialBackoffMs)
  assert.equal(answers(), 1)
  bus.publish(list)
  assert.equal(answers(), 2)
  supervised.stop()
})

test('the restart delay doubles up to its maximum, and is reset after a healthy uptime', () => {
  const bus = createBus<BusEvent>()
  const clock = new SimulatedClock()
  const waits: number[] = []
  bus.on('node.concernCrashed', ({ retryMs }) => waits.push(retryMs))
  const supervised = supervise(fragile().parts, { bus, clock })
  supervised.start()
  for (let crash = 0; crash < 10; crash += 1) {
    bus.publish(die)
    clock.increment(waits.at(-1) ?? 0)
  }
  assert.deepEqual(waits, [200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000])
  clock.increment(RESTART.healthyMs)
  bus.publish(die)
  assert.equal(waits.at(-1), RESTART.initialBackoffMs)
  supervised.stop()
})

test('each instance starts with the latest retained facts, including those from before the first instance', () => {
  const bus = createBus<BusEvent>()
  const clock = new SimulatedClock()
  const { parts } = fragile()
  const begun: (readonly string[] | undefined)[] = []
  const retaining: typeof parts = {
    ...parts,
    retains: ['table.selfAddressesChanged'],
    input: (signal, retained) => {
      begun.push(retained['table.selfAddressesChanged']?.endpoints.map(formatEndpoint))
      assert.equal(retained['table.changed'], undefined)
      return signal
    },
  }
  const publishAddresses = (...texts: string[]) =>
    bus.publish({ type: 'table.selfAddressesChanged', endpoints: parseEndpoints(texts), port: 1 })
  const none = supervise(retaining, { bus, clock })
  none.start()
  none.stop()
  const supervised = supervise(retaining, { bus, clock })
  bus.publish({ type: 'table.changed', count: 7 })
  publishAddresses('old:1')
  publishAddresses('new:1')
  supervised.start()
  bus.publish(die)
  publishAddresses('newest:1')
  clock.increment(RESTART.initialBackoffMs)
  assert.deepEqual(begun, [undefined, ['new:1'], ['newest:1']])
  supervised.stop()
})

test('stop before a restart is permanent', () => {
  const bus = createBus<BusEvent>()
  const clock = new SimulatedClock()
  const { parts, instances } = fragile()
  const supervised = supervise(parts, { bus, clock })
  supervised.start()
  bus.publish(die)
  supervised.stop()
  clock.increment(RESTART.maxBackoffMs)
  assert.equal(instances(), 1)
})

test('an inspector that throws affects nobody', () => {
  const bus = createBus<BusEvent>()
  const events = record(bus)
  const seen: InspectionEvent['type'][] = []
  const inspect = (event: InspectionEvent) => {
    seen.push(event.type)
    throw new Error('inspector')
  }
  const supervised = supervise(fragile().parts, { bus, inspect })
  supervised.start()
  bus.publish(list)
  supervised.stop()
  assert.ok(seen.includes('@xstate.snapshot'))
  assert.equal(events.at(-1)?.type, 'trust.listed')
})

test('any number of listeners on the signal of an instance causes no warning', async (t) => {
  const warnings: Error[] = []
  const onWarning = (warning: Error) => warnings.push(warning)
  process.on('warning', onWarning)
  t.after(() => process.off('warning', onWarning))
  const { parts } = fragile()
  const input = (signal: AbortSignal) => {
    for (let count = 0; count < 100; count += 1) signal.addEventListener('abort', () => {})
    return signal
  }
  const supervised = supervise({ ...parts, input }, { bus: createBus<BusEvent>(), clock: new SimulatedClock() })
  supervised.start()
  await turn()
  assert.deepEqual(warnings, [])
  supervised.stop()
})
