import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { json } from 'node:stream/consumers'
import { test } from 'node:test'
import { initialTransition, SimulatedClock, transition } from 'xstate'
import { readHardware } from '../../actors/hardware.ts'
import { createDialer, type Dialer, type DialTarget } from '../../actors/net/dialer.ts'
import { request as requestOnBus } from '../../actors/request.ts'
import { createSpecs, readSpecs } from '../../actors/specs.ts'
import { supervise } from '../../actors/supervise.ts'
import { type SpecsInput, specsMachine } from '../../machines/specs.ts'
import { createBus } from '../../protocol/bus.ts'
import { NDJSON } from '../../protocol/control.ts'
import { SPECS_READ_TIMEOUT_MS, SPECS_START_DELAY_MS } from '../../protocol/defaults/specs.ts'
import { AppError } from '../../protocol/errors.ts'
import type { BusEvent } from '../../protocol/index.ts'
import { directEndpoint } from '../../protocol/net/endpoint.ts'
import type { Specs } from '../../protocol/specs.ts'
import { receivedSpecs } from '../../protocol/wire/specs.ts'
import { fakeDialer } from '../support/fakeDialer.ts'
import { nextEvent, nextTick, record } from '../support/harness.ts'
import { newIdentity } from '../support/httpHarness.ts'

const specs: Specs = receivedSpecs.parse({ Hostname: 'here', RAM: 1024, Cores: 2 })
const get = (requestId: string) => ({ type: 'specs.get', requestId, caller: 'owner' }) as const
const requestCommand = (requestId: string, where = 'there') =>
  ({ type: 'specs.request', requestId, caller: 'owner', where }) as const

function emitted(actions: readonly { type: string; params?: unknown }[]): unknown[] {
  return actions.filter(({ type }) => type === 'xstate.emit').map(({ params }) => (params as { event: unknown }).event)
}

const background: SpecsInput = { intervalMs: 1_000, background: true }
const whenAsked: SpecsInput = { intervalMs: 1_000, background: false }
const done = { type: 'xstate.done.actor.0.specs.reading', output: specs, actorId: '0.specs.reading' } as never
const failed = {
  type: 'xstate.error.actor.0.specs.reading',
  error: new Error('no'),
  actorId: '0.specs.reading',
} as never
const interval = { type: 'xstate.after.interval.specs.idle' } as never
const startDelay = { type: 'xstate.after.startDelay.specs.waiting' } as never
const readTimeout = { type: 'xstate.after.readTimeout.specs.reading' } as never

test('chart: reads in advance, answers from the last reading, and keeps it when a later one fails', () => {
  const rows: [string, SpecsInput, never[], string, string[]][] = [
    ['rests at first', background, [], 'waiting', []],
    ['reads soon after the start', background, [startDelay], 'reading', []],
    ['or when somebody asks', background, [get('a') as never], 'reading', []],
    ['rests after a reading', background, [startDelay, done], 'idle', ['specs.changed']],
    ['reads again', background, [startDelay, done, interval], 'reading', []],
    ['answers at once', background, [startDelay, done, get('a') as never], 'idle', ['specs.got']],
    [
      'answers while it reads again',
      background,
      [startDelay, done, interval, get('a') as never],
      'reading',
      ['specs.got'],
    ],
    ['early askers wait', background, [get('a') as never, get('b') as never], 'reading', []],
    [
      'early askers are answered',
      background,
      [get('a') as never, get('b') as never, done],
      'idle',
      ['specs.changed', 'specs.got', 'specs.got'],
    ],
    ['early askers learn of a failure', background, [get('a') as never, failed], 'idle', ['specs.getFailed']],
    ['a hung reading ends', background, [get('a') as never, readTimeout], 'idle', ['specs.getFailed']],
    [
      'the former reading stays',
      background,
      [startDelay, done, interval, failed, get('a') as never],
      'idle',
      ['specs.got'],
    ],
    [
      'a gone asker is forgotten',
      background,
      [get('a') as never, { type: 'request.abandoned', requestId: 'a' } as never, done],
      'idle',
      ['specs.changed'],
    ],
    ['without a node nothing is read', whenAsked, [], 'idle', []],
    ['without a node it is read when asked', whenAsked, [get('a') as never], 'reading', []],
    ['and each time anew', whenAsked, [get('a') as never, done, get('b') as never], 'reading', []],
    ['and not at intervals', whenAsked, [get('a') as never, done, interval], 'idle', []],
  ]
  for (const [name, input, events, state, expected] of rows) {
    let [snapshot, actions] = initialTransition(specsMachine, input)
    for (const event of events) [snapshot, actions] = transition(specsMachine, snapshot, event)
    assert.equal(snapshot.value, state, name)
    assert.deepEqual(
      emitted(actions).map((fact) => (fact as { type: string }).type),
      expected,
      name,
    )
    assert.equal(snapshot.status, 'active', name)
  }
})

const there: DialTarget = { endpoints: [directEndpoint({ host: '127.0.0.9', port: 8088 })] }

/** Starts the concern on its own bus, with peers that give the specified answers. */
function stand(
  options: { answer?: () => Promise<unknown>; to?: DialTarget; dialer?: Dialer; read?: () => Promise<Specs> } = {},
) {
  const bus = createBus<BusEvent>()
  const clock = new SimulatedClock()
  const asked: { to: DialTarget; command: unknown; signal: AbortSignal | undefined }[] = []
  const dialer = fakeDialer(
    { id: 'SHA256:there' as never, name: 'there', key: '' },
    async (request, response) => {
      const last = asked.at(-1)
      if (last) last.command = await json(request)
      response.writeHead(200, { 'content-type': NDJSON })
      const error = (failure: AppError) => ({ error: failure.toJSON() })
      response.end(`${JSON.stringify(await options.answer?.().catch(error))}\n`)
    },
    (to, { signal }) => asked.push({ to, command: undefined, signal }),
  )
  const resolve = async (where: string) => {
    if (where === 'nobody') throw new AppError('not_found', { kind: 'peer', id: where })
    return options.to ?? there
  }
  const parts = createSpecs({ resolve, dialer: options.dialer ?? dialer, read: options.read ?? (async () => specs) })
  const concern = supervise(parts, { bus, clock })
  return { bus, clock, concern, asked, events: record(bus) }
}

test('actor: reads every interval, and a hung reading does not stop the next one', async () => {
  let readings = 0
  const { clock, concern, events } = stand({
    read: () => {
      readings += 1
      return readings === 1 ? new Promise(() => {}) : Promise.resolve(specs)
    },
  })
  concern.start()
  clock.increment(SPECS_START_DELAY_MS - 1)
  assert.equal(readings, 0)
  clock.increment(1)
  clock.increment(SPECS_READ_TIMEOUT_MS)
  await nextTick()
  assert.equal(readings, 1)
  for (let second = 0; second < 30; second += 1) clock.increment(1_000)
  await nextTick()
  assert.equal(readings, 2)
  assert.deepEqual(
    events.map(({ type }) => type),
    ['specs.changed'],
  )
  concern.stop()
})

test('actor: asks another node once per request, and replies with validated data', async () => {
  const { bus, concern, asked } = stand({
    answer: async () => ({
      type: 'specs.got',
      requestId: 'a',
      specs: { Hostname: 'evil\u001b[2J', RAM: 'many', extra: 1 },
    }),
  })
  concern.start()
  const got = nextEvent(bus, 'specs.got')
  bus.publish(requestCommand('a'))
  bus.publish(requestCommand('a'))
  // The client removes control sequences; the data of a Go node is only validated by the schema.
  assert.deepEqual((await got).specs, receivedSpecs.parse({ Hostname: 'evil' }))
  assert.equal(receivedSpecs.parse({ Hostname: 'evil\u001b[2J' }).Hostname, 'evil?[2J')
  assert.deepEqual(
    asked.map(({ to, command }) => [to, command]),
    [[there, { type: 'specs.get' }]],
  )
  concern.stop()
})

test('actor: reports why another node could not be asked', async () => {
  const refused = async () => {
    throw new AppError('unreachable', { where: 'there', why: 'refused' })
  }
  const rows: [string, Parameters<typeof stand>[0], string][] = [
    ['nobody', {}, 'not_found'],
    ['there', { answer: refused }, 'unreachable'],
    ['there', { answer: async () => ({ type: 'specs.got', specs: null }) }, 'protocol_error'],
    ['there', { answer: async () => ({ type: 'node.shown' }) }, 'protocol_error'],
  ]
  for (const [where, options, code] of rows) {
    const { bus, concern } = stand(options)
    concern.start()
    const failure = nextEvent(bus, 'specs.getFailed')
    bus.publish(requestCommand('a', where))
    assert.equal((await failure).code, code)
    concern.stop()
  }
})

test('actor: an abandoned request aborts its query, and the end of the concern aborts all queries', async () => {
  const { bus, concern, asked, events } = stand({ answer: () => new Promise(() => {}) })
  concern.start()
  bus.publish(requestCommand('a'))
  bus.publish(requestCommand('b'))
  await nextTick()
  bus.publish({ type: 'request.abandoned', requestId: 'a' })
  assert.deepEqual(
    asked.map(({ signal }) => signal?.aborted),
    [true, false],
  )
  concern.stop()
  assert.equal(asked[1]?.signal?.aborted, true)
  assert.ok(!events.some(({ type }) => type === 'specs.getFailed'))
})

function listen(server: Server): Promise<number> {
  return new Promise((done) => server.listen(0, '127.0.0.1', () => done((server.address() as AddressInfo).port)))
}

test('a Go node, which speaks plain HTTP alone, is asked for its /server_info', async () => {
  const bodies: Record<string, string> = {
    go: JSON.stringify({ Hostname: 'go', Platform: 'ubuntu', CPU: 'x', RAM: 7_000, Disk: 9, GPU: null }),
    text: 'hello',
    large: 'x'.repeat(3 * 1024 * 1024),
  }
  let body = ''
  const server = createServer((request, response) => response.end(request.url === '/server_info' ? body : 'no'))
  const port = await listen(server)
  const folder = await mkdtemp(join(tmpdir(), 'p2prc-specs-'))
  const dialer = createDialer({ identity: await newIdentity(folder, 'me') })
  try {
    const rows: [string, string | undefined, string][] = [
      ['go', undefined, 'specs.got'],
      ['go', 'SHA256:pinned', 'protocol_error'],
      ['text', undefined, 'protocol_error'],
      ['large', undefined, 'protocol_error'],
    ]
    for (const [name, id, expected] of rows) {
      body = bodies[name] as string
      const to = { endpoints: [directEndpoint({ host: '127.0.0.1', port })], ...(id && { id: id as never }) }
      const { bus, concern } = stand({ dialer, to })
      concern.start()
      const fact = await requestOnBus(bus, requestCommand('a')).catch((error: AppError) => error)
      assert.equal('code' in fact ? fact.code : fact.type, expected, name)
      if ('specs' in fact) assert.deepEqual([fact.specs.RAM, fact.specs.GPUs, fact.specs.Cores], [7_000, [], 0])
      concern.stop()
    }
  } finally {
    server.closeAllConnections()
    server.close()
    await rm(folder, { recursive: true })
  }
})

test('a reading starts no program but nvidia-smi, and that only where it is installed', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'p2prc-path-'))
  const { PATH } = process.env
  const started: ChildProcess[] = []
  const onStart = (message: unknown) => started.push((message as { process: ChildProcess }).process)
  await readSpecs()
  subscribe('child_process', onStart)
  try {
    // A fork of a node takes milliseconds, and every node reads twice a minute.
    process.env.PATH = folder
    await readSpecs()
    assert.deepEqual(started, [])
    await writeFile(join(folder, 'nvidia-smi'), '#!/bin/sh\nexit 9\n', { mode: 0o755 })
    await readSpecs()
    assert.deepEqual(
      started.map(({ spawnfile }) => spawnfile),
      ['nvidia-smi'],
    )
  } finally {
    process.env.PATH = PATH
    unsubscribe('child_process', onStart)
    await rm(folder, { recursive: true })
  }
})

test('the specifications of this machine are read', async () => {
  const real = await readSpecs()
  assert.deepEqual(receivedSpecs.parse(real), real)
  assert.ok(real.Hostname && real.Platform && real.CPU)
  assert.ok(real.RAM > 100 && real.RAM < 2 ** 26, `RAM ${real.RAM} MiB`)
  assert.ok(real.RAMFree > 0 && real.RAMFree <= real.RAM)
  assert.ok(real.Disk > real.DiskFree && real.DiskFree > 0)
  assert.ok(real.Cores >= 1 && real.CPUUsage >= 0 && real.CPUUsage <= 100)
})

test('what the first record says of the hardware is what a reading finds, so that it causes no second one', async () => {
  const { Cores, RAM, Disk } = await readSpecs()
  const { GPUs, ...hardware } = readHardware()
  assert.deepEqual(hardware, { Cores, RAM, Disk })
  assert.ok(RAM > 0 && Disk > 0)
  assert.deepEqual(GPUs, [])
})
