import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fromCallback, fromPromise, initialTransition, SimulatedClock, transition } from 'xstate'
import { acceptTable, publicTable } from '../../actors/ipTable/publicExchange.ts'
import { createIpTable, type IpTableDependencies } from '../../actors/ipTable.ts'
import { createDialer } from '../../actors/net/dialer.ts'
import { createResolve } from '../../actors/net/resolve.ts'
import { request } from '../../actors/request.ts'
import { openStore, type Store } from '../../actors/store.ts'
import { supervise } from '../../actors/supervise.ts'
import type { IpTableInput } from '../../machines/ipTable/ipTableContext.ts'
import type { IpTableInternalEvent, Outcome, ProbeInput, SaveInput } from '../../machines/ipTable/ipTablePorts.ts'
import { isSelfAt } from '../../machines/ipTable/peerTable.ts'
import { ipTableMachine } from '../../machines/ipTable.ts'
import { createBus } from '../../protocol/bus.ts'
import { PROBE, TABLE_SAVE_DELAY_MS } from '../../protocol/defaults/ipTable.ts'
import { AppError } from '../../protocol/errors.ts'
import {
  emptyIpTable,
  IP_TABLE_INDENT,
  type IpTableFile,
  ipTableFile,
  legacyFieldsOf,
  newEntry,
} from '../../protocol/files/ipTable.ts'
import type { NodeId } from '../../protocol/ids.ts'
import type { BusEvent } from '../../protocol/index.ts'
import { directEndpoint, parseEndpoints } from '../../protocol/net/endpoint.ts'
import { fakeDialer } from '../support/fakeDialer.ts'
import { nextEvent, nextTick, record } from '../support/harness.ts'
import { newIdentity } from '../support/httpHarness.ts'

const id = (letter: string) => `SHA256:${letter.repeat(43)}` as NodeId
const self = {
  id: id('s'),
  name: 'me',
  port: 8_088,
  addresses: ['10.0.0.9'],
  advertisable: ['10.0.0.9'],
  information: '',
}
const owner = <T extends string>(type: T, requestId: string) => ({ type, requestId, caller: 'owner' as const })
const contact = (letter: string, host: string, name = letter) => ({
  type: 'dial.succeeded' as const,
  purpose: 'command' as const,
  ms: 1,
  at: 1,
  id: id(letter),
  name,
  key: 'ssh-ed25519 AAAA',
  endpoint: directEndpoint({ host, port: 8_088 }),
})

function emitted(actions: readonly { type: string; params?: unknown }[]): { type: string; [key: string]: unknown }[] {
  return actions
    .filter(({ type }) => type === 'xstate.emit')
    .map(({ params }) => (params as { event: { type: string } }).event)
}

const plain: IpTableInput = {
  file: emptyIpTable(),
  self,
  startedAt: 0,
  watch: false,
  test: false,
  signal: new AbortController().signal,
}

const advertised = self.advertisable.map((host) => directEndpoint({ host, port: self.port }))

test('chart: each event emits its facts at once', () => {
  const known = contact('a', '10.0.0.1', 'anna')
  const rows: [string, object[], string[]][] = [
    ['a contact joins', [known], ['peer.joined', 'peer.addressDiscovered', 'table.changed']],
    ['the same contact again says nothing', [known, known], []],
    ['this node itself does not join', [contact('s', '10.0.0.1')], []],
    ['a name is found', [known, { ...owner('peer.resolve', 'r'), where: 'anna' }], ['peer.resolved']],
    ['an address needs no entry', [{ ...owner('peer.resolve', 'r'), where: '10.1.1.1' }], ['peer.resolved']],
    ['a word is asked of the resolver', [{ ...owner('peer.resolve', 'r'), where: 'word' }], []],
    [
      'and is not found there',
      [
        { ...owner('peer.resolve', 'r'), where: 'word' },
        { type: 'resolveDns.ended', requestId: 'r', found: null },
      ],
      ['peer.resolveFailed'],
    ],
    [
      'nobody waits for an abandoned one',
      [
        { ...owner('peer.resolve', 'r'), where: 'word' },
        { type: 'request.abandoned', requestId: 'r' },
        { type: 'resolveDns.ended', requestId: 'r', found: null },
      ],
      [],
    ],
    [
      'adding waits for the disk',
      [{ ...owner('peer.add', 'r'), where: '10.1.1.1', replace: false }],
      ['table.changed', 'peer.addressDiscovered'],
    ],
    ['nonsense is not added', [{ ...owner('peer.add', 'r'), where: 'a b', replace: false }], ['peer.addFailed']],
    ['this node is not added', [{ ...owner('peer.add', 'r'), where: '10.0.0.9', replace: false }], ['peer.addFailed']],
    ['the list', [known, owner('peer.list', 'r')], ['peer.page', 'peer.listed']],
    ['an empty list', [owner('peer.list', 'r')], ['peer.listed']],
    [
      'what others said',
      [{ ...owner('table.addUnverified', 'r'), unverified: [], from: 'x' }],
      ['table.unverifiedAdded'],
    ],
    ['the public table', [owner('table.show', 'r')], ['table.page', 'table.shown']],
  ]
  for (const [name, events, expected] of rows) {
    let [snapshot, actions] = initialTransition(ipTableMachine, plain)
    for (const event of events) [snapshot, actions] = transition(ipTableMachine, snapshot, event as never)
    assert.deepEqual(
      emitted(actions).map(({ type }) => type),
      expected,
      name,
    )
    assert.equal(snapshot.status, 'active', name)
  }
})

test('chart: gossip receives the seed addresses when it starts, and the own addresses when they change', () => {
  const known = contact('a', '10.0.0.1', 'anna')
  const publicAddress = { type: 'node.addressFound', address: '93.184.1.1' }
  const moved = { type: 'self.addressesChanged', addresses: ['10.0.0.8'], advertisable: ['10.0.0.8'] }
  const rows: [string, object[], { type: string }[]][] = [
    ['an empty table', [{ type: 'gossip.started' }], [{ type: 'table.seedsListed', seeds: [] } as never]],
    [
      'a proved address',
      [known, { type: 'gossip.started' }],
      [{ type: 'table.seedsListed', seeds: [{ endpoints: parseEndpoints(['10.0.0.1:8088']), id: id('a') }] } as never],
    ],
    [
      'a public address comes first',
      [publicAddress],
      [
        {
          type: 'table.selfAddressesChanged',
          endpoints: [...parseEndpoints(['93.184.1.1:8088']), ...advertised],
          port: 8_088,
        } as never,
      ],
    ],
    ['the same again says nothing', [publicAddress, publicAddress], []],
    [
      'and stays where the interfaces change',
      [publicAddress, moved],
      [
        {
          type: 'table.selfAddressesChanged',
          endpoints: parseEndpoints(['93.184.1.1:8088', '10.0.0.8:8088']),
          port: 8_088,
        } as never,
      ],
    ],
  ]
  for (const [name, events, expected] of rows) {
    let [snapshot, actions] = initialTransition(ipTableMachine, plain)
    for (const event of events) [snapshot, actions] = transition(ipTableMachine, snapshot, event as never)
    assert.deepEqual(emitted(actions), expected, name)
  }
  // A later scope receives it in its input.
  const [, actions] = initialTransition(ipTableMachine, { ...plain, publicAddress: '93.184.1.1' })
  const [first] = emitted(actions)
  assert.deepEqual(first?.endpoints, [...parseEndpoints(['93.184.1.1:8088']), ...advertised])
})

test('chart: a damaged table is reported at the start', () => {
  const [, actions] = initialTransition(ipTableMachine, { ...plain, quarantined: '/x.damaged-1' })
  assert.deepEqual(emitted(actions), [
    { type: 'table.damaged', quarantined: '/x.damaged-1' },
    { type: 'table.selfAddressesChanged', endpoints: advertised, port: self.port },
  ])
})

interface Fakes {
  input?: Partial<IpTableInput>
  save?: (file: IpTableFile) => Promise<void>
  probe?: (input: ProbeInput) => Outcome | undefined
}

/** Starts the machine on a simulated clock with a fake disk and a fake network. */
function run({ input, save = () => Promise.resolve(), probe }: Fakes = {}) {
  const bus = createBus<BusEvent>()
  const clock = new SimulatedClock()
  const probes: string[] = []
  const concern = supervise(
    {
      name: 'ipTable',
      logic: ipTableMachine.provide({
        actors: {
          save: fromPromise<void, SaveInput>(({ input: { file } }) => save(file)),
          probe: fromCallback<IpTableInternalEvent, ProbeInput>(({ input: probeInput, sendBack }) => {
            probes.push(probeInput.key)
            const outcome = probe?.(probeInput)
            if (outcome) sendBack({ type: 'probe.ended', key: probeInput.key, outcome })
          }),
        },
      }),
      input: (signal) => ({ ...plain, watch: true, signal, ...input }),
    },
    { bus, clock },
  )
  const facts = record(bus)
  concern.start()
  const seconds = async (count: number) => {
    for (let second = 0; second < count; second += 1) {
      clock.increment(1_000)
      await nextTick()
    }
  }
  return { bus, facts, probes, seconds, types: () => facts.map(({ type }) => type), stop: () => concern.stop() }
}

/** Facts on a peer's state; `peer.addressDiscovered` accompanies them and is for gossip. */
const isPeerChange = (type: string) => /^peer\.(joined|recovered|suspected|gone)$/.test(type)

test('a peer that stops answering is suspected, dropped and comes back by itself', async () => {
  let alive = true
  const { bus, types, seconds, probes, stop } = run({
    probe: () => (alive ? { kind: 'node', contact: contact('a', '10.0.0.1') } : { kind: 'silent' }),
  })
  bus.publish(contact('a', '10.0.0.1'))
  await seconds(100)
  assert.equal(probes.length, 3)
  alive = false
  await seconds(120)
  assert.deepEqual(types().filter(isPeerChange), ['peer.joined', 'peer.suspected', 'peer.gone'])
  alive = true
  await seconds(60)
  assert.equal(types().filter(isPeerChange).at(-1), 'peer.joined')
  stop()
})

test('while somebody looks at the list, a member that was not measured yet is probed each second', async () => {
  const { bus, probes, seconds, stop } = run({ probe: () => undefined })
  const letters = [...'abcdefghijklmnopqrtuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789']
  for (const [index, letter] of letters.entries()) {
    const record = {
      id: id(letter),
      key: `ssh-ed25519 ${'A'.repeat(68)}`,
      seq: 1,
      name: letter,
      endpoints: [`10.0.1.${index}:8088`],
    }
    const more = { port: 8_088, version: '', customInformation: '', capabilities: [], left: false }
    bus.publish({ type: 'record.merged', record: { ...record, ...more } })
  }
  await seconds(80)
  const before = probes.length
  await seconds(12)
  assert.equal(probes.length, before)
  bus.publish(owner('peer.list', 'r'))
  await seconds(12)
  assert.ok(probes.length >= before + 8, `${probes.length - before} in twelve seconds`)
  stop()
})

test('ages stay right while nothing is due, when the table looks every four seconds', async () => {
  const { bus, facts, seconds, stop } = run()
  await seconds(84)
  bus.publish(contact('a', '10.0.0.1'))
  for (const passed of [0, 4, 12]) {
    bus.publish(owner('peer.list', `after ${passed}`))
    await nextTick()
    const page = facts.find((fact) => fact.type === 'peer.page' && fact.requestId === `after ${passed}`)
    assert.ok(page?.type === 'peer.page')
    assert.deepEqual(
      page.peers.map(({ answeredAgoMs }) => answeredAgoMs),
      [passed * 1_000],
    )
    await seconds(passed === 0 ? 4 : 8)
  }
  stop()
})

test('the wall clock jumping a day either way kills nobody', async (t) => {
  const { bus, types, seconds, stop } = run({ probe: () => ({ kind: 'node', contact: contact('a', '10.0.0.1') }) })
  bus.publish(contact('a', '10.0.0.1'))
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 86_400_000 })
  await seconds(100)
  t.mock.timers.setTime(Date.now() - 2 * 86_400_000)
  await seconds(100)
  assert.deepEqual(types().filter(isPeerChange), ['peer.joined'])
  stop()
})

test('a thousand unverified addresses cost ten dials a second and thirty at one time, and peers are still probed', async () => {
  const { bus, probes, seconds, stop } = run({ probe: () => undefined })
  bus.publish(contact('a', '10.0.0.1'))
  const unverified = Array.from({ length: 1_000 }, (_, index) => ({
    endpoint: directEndpoint({ host: `10.8.${index >> 8}.${index & 255}`, port: 8_088 }),
    fields: legacyFieldsOf(newEntry({})),
  }))
  bus.publish({ type: 'table.addUnverified', requestId: 'o', caller: 'anonymous', from: 'x', unverified })
  await seconds(1)
  assert.equal(probes.length, 10)
  await seconds(20)
  assert.equal(probes.length, PROBE.maxConcurrent)
  stop()
  const other = run({
    probe: (input) => (input.keyed ? { kind: 'node', contact: contact('a', '10.0.0.1') } : { kind: 'silent' }),
  })
  other.bus.publish(contact('a', '10.0.0.1'))
  other.bus.publish({ type: 'table.addUnverified', requestId: 'o', caller: 'anonymous', from: 'x', unverified })
  await seconds(0)
  for (let second = 1; second <= 40; second += 1) {
    await other.seconds(1)
    assert.ok(other.probes.length <= second * PROBE.dialsPerSecond)
  }
  assert.ok(other.probes.includes(id('a')))
  other.stop()
})

test('a change that a request waits for is written at once, and any other one with a delay', async () => {
  const writes: number[] = []
  const { bus, facts, seconds, stop } = run({
    save: async (file) => void writes.push(file.ip_address.length),
    probe: () => ({ kind: 'node', contact: contact('a', '10.0.0.1'), latencyNs: 5 }),
  })
  bus.publish(contact('a', '10.0.0.1'))
  await nextTick()
  assert.deepEqual(writes, [1])
  bus.publish({ ...owner('peer.add', 'add'), where: '10.0.0.2', replace: false })
  await nextTick()
  assert.deepEqual(writes, [1, 2])
  assert.ok(facts.some((fact) => fact.type === 'peer.added' && fact.peer.endpoints[0]?.host === '10.0.0.2'))
  await seconds(31 + TABLE_SAVE_DELAY_MS / 1_000)
  assert.ok(writes.length > 2)
  bus.publish({ ...owner('peer.add', 'only'), where: '10.0.0.3', replace: true })
  await nextTick()
  assert.equal(writes.at(-1), 1)
  stop()
})

test('a full disk is reported and fails waiting requests, and the table is written when there is space', async () => {
  let full = true
  const written: IpTableFile[] = []
  const { bus, facts, seconds, stop } = run({
    save: async (file) => {
      if (full) throw new AppError('disk_failed', { path: 'x', why: 'no space' })
      written.push(file)
    },
  })
  bus.publish({ ...owner('peer.add', 'add'), where: '10.0.0.2', replace: false })
  await nextTick()
  assert.ok(facts.some((fact) => fact.type === 'peer.addFailed' && fact.code === 'disk_failed'))
  assert.ok(facts.some((fact) => fact.type === 'table.saveFailed'))
  assert.ok(facts.filter((fact) => fact.type === 'table.saveFailed').length <= 2)
  full = false
  await seconds(TABLE_SAVE_DELAY_MS / 1_000 + 1)
  assert.equal(written[0]?.ip_address[0]?.IPV4, '10.0.0.2')
  await seconds((3 * TABLE_SAVE_DELAY_MS) / 1_000)
  assert.equal(written.length, 1, 'what is on the disk is not written again')
  stop()
})

async function real(dependencies: Partial<IpTableDependencies> = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'p2prc-table-'))
  const dialer = createDialer({
    identity: await newIdentity(folder, 'me'),
    test: dependencies.test ?? false,
    isSelf: (at) => isSelfAt(self, at),
  })
  const path = join(folder, 'ip_table.json')
  const store: Store<IpTableFile> = await openStore(path, {
    schema: ipTableFile,
    empty: emptyIpTable,
    indent: IP_TABLE_INDENT,
  })
  const bus = createBus<BusEvent>()
  const concern = supervise(createIpTable({ store, self: () => self, dialer, ...dependencies }), { bus })
  concern.start()
  return {
    bus,
    path,
    document: async () => JSON.parse(await readFile(path, 'utf8')),
    async stop() {
      concern.stop()
      // This write follows the one in progress.
      await store.write(store.data)
      await rm(folder, { recursive: true })
    },
  }
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)))
}

test('for real: a Go node that was added answers, joins, and is in the file as Go writes it', async () => {
  const server = createServer((_, response) => response.end('{"Hostname":"go"}'))
  const port = await listen(server)
  const node = await real()
  try {
    const joined = nextEvent(node.bus, 'peer.joined')
    await request(node.bus, { ...owner('peer.add', 'a'), where: `127.0.0.1:${port}`, replace: false })
    const { peer } = await joined
    assert.deepEqual([peer.id, peer.endpoints], [undefined, [directEndpoint({ host: '127.0.0.1', port })]])
    const [entry, ...others] = (await node.document()).ip_address
    assert.deepEqual(others, [])
    assert.deepEqual([entry.IPV4, entry.ServerPort, entry.Added], ['127.0.0.1', String(port), true])
  } finally {
    await node.stop()
    server.close()
  }
})

test('for real: a node that proves its key at an added address is found by name, pinned to its key', async () => {
  const server = createServer((_, response) => response.end('{}'))
  const port = await listen(server)
  const proven = { id: id('a'), name: 'anna', key: 'ssh-ed25519 AAAA' }
  const node = await real({ dialer: fakeDialer(proven, (_, response) => response.end('{}')) })
  try {
    const joined = nextEvent(node.bus, 'peer.joined', ({ peer }) => peer.id === id('a'))
    await request(node.bus, { ...owner('peer.add', 'a'), where: `127.0.0.1:${port}`, replace: false })
    await joined
    assert.deepEqual(await createResolve(node.bus)('anna'), {
      endpoints: [directEndpoint({ host: '127.0.0.1', port })],
      id: id('a'),
    })
    await assert.rejects(createResolve(node.bus)('"; touch X; "'), { code: 'not_found' })
  } finally {
    await node.stop()
    server.close()
  }
})

test('for real: a table from an anonymous caller is answered, and its loopback addresses are not dialled', async () => {
  let dials = 0
  const server = createServer((_, response) => {
    dials += 1
    response.end('{}')
  })
  server.on('connection', () => {
    dials += 1
  })
  const port = await listen(server)
  const node = await real()
  try {
    const body = JSON.stringify({
      ip_address: [
        { IPV4: '127.0.0.1', ServerPort: String(port) },
        { IPV4: 'localhost', ServerPort: String(port) },
      ],
    })
    const received = await acceptTable(node.bus, body, '10.0.0.1')
    const { signal } = new AbortController()
    let text = ''
    for await (const piece of publicTable(node.bus, { received, from: '10.0.0.1', signal })) text += piece
    const answer = JSON.parse(text)
    assert.deepEqual(
      answer.ip_address.map(({ Name }: { Name: string }) => Name),
      ['me'],
    )
    await assert.rejects(acceptTable(node.bus, 'junk', '10.0.0.1'), { code: 'protocol_error' })
    // The named addresses have been checked when the tick after the next one arrives.
    await receivedTicks(node.bus, 2)
    assert.equal(dials, 0)
  } finally {
    await node.stop()
    server.close()
  }
})

test('for real: with Test, an anonymous caller may name loopback', async () => {
  const server = createServer((_, response) => response.end('{}'))
  const port = await listen(server)
  const node = await real({ test: true })
  try {
    const joined = nextEvent(node.bus, 'peer.joined')
    await acceptTable(node.bus, JSON.stringify({ ip_address: [{ ipv4: '127.0.0.1', 'port no': port }] }), '127.0.0.1')
    assert.deepEqual((await joined).peer.endpoints, [directEndpoint({ host: '127.0.0.1', port })])
  } finally {
    await node.stop()
    server.close()
  }
})

/** Waits for `count` ticks, by addresses that no node has and that are probed after all earlier ones. */
async function receivedTicks(bus: ReturnType<typeof createBus<BusEvent>>, count: number): Promise<void> {
  for (let mark = 0; mark < count; mark += 1) {
    const server = createServer((_, response) => response.end('{}'))
    const port = await listen(server)
    const joined = nextEvent(bus, 'peer.joined')
    bus.publish({ ...owner('peer.add', `mark ${mark}`), where: `127.0.0.1:${port}`, replace: false })
    await joined
    server.close()
  }
}
