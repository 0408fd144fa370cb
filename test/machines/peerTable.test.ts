import assert from 'node:assert/strict'
import { test } from 'node:test'
import { onGossipFact, updateLinks } from '../../machines/ipTable/gossipChange.ts'
import { keyProved, legacyAnswered, probeFailed } from '../../machines/ipTable/peerChange.ts'
import { lookUp } from '../../machines/ipTable/peerLookUp.ts'
import { dialOrder, newRow, type Row, untried } from '../../machines/ipTable/peerRow.ts'
import { addPeer, fileOf, loadTable, type Self, seedsOf, type Table } from '../../machines/ipTable/peerTable.ts'
import { applyOutcome, dueRows, planProbes, stepOf } from '../../machines/ipTable/peerWatch.ts'
import { documentFor, publicRows, uploadOf } from '../../machines/ipTable/publicTable.ts'
import { addUnverified, mergeReported, namedIn } from '../../machines/ipTable/unverified.ts'
import { PEERS_MAX, PROBE, TABLE_TICK_MS } from '../../protocol/defaults/ipTable.ts'
import { emptyIpTable, ipTableFile, legacyFieldsOf, newEntry } from '../../protocol/files/ipTable.ts'
import type { NodeId } from '../../protocol/ids.ts'
import type { Address } from '../../protocol/net/address.ts'
import { directEndpoint, type Endpoint, formatEndpoint } from '../../protocol/net/endpoint.ts'
import type { NodeRecord } from '../../protocol/wire/record.ts'
import { receivedSpecs } from '../../protocol/wire/specs.ts'
import { startOwnTime } from '../support/ownTime.ts'
import { listOf, publicTableOf } from '../support/tableLists.ts'

const id = (letter: string) => `SHA256:${letter.repeat(43)}` as NodeId
/** The key of a node of these tests. */
const keyOf = (of: NodeId) => `ssh-ed25519 ${of.slice(7, 8)}`
const own = ['10.0.0.9', 'fd00::9']
const self = { id: id('s'), name: 'me', port: 8_088, addresses: own, advertisable: own, information: 'mine' }
const at = (where: string): Endpoint => {
  const [, host = '', port = ''] = /^\[?(.*?)\]?:(\d+)$/.exec(where) ?? []
  return directEndpoint({ host, port: Number(port) })
}
const contact = (letter: string, where: string, name = letter) => ({
  id: id(letter),
  name,
  key: `ssh-ed25519 ${letter}`,
  endpoint: at(where),
})
const recordOf = (letter: string): NodeRecord => ({
  id: id(letter),
  key: `ssh-ed25519 ${letter}`,
  seq: 9,
  name: letter,
  endpoints: [],
  port: 8_088,
  version: '',
  customInformation: '',
  capabilities: [],
  left: false,
})
const specs = receivedSpecs.parse({ Hostname: 'a', Cores: 8, RAM: 4_096, Load: [1, 2, 3] })
const empty: Table = new Map()
const mergeRecord = (table: Table, record: NodeRecord, at: Self) =>
  onGossipFact({ table, self: at, now: 0, links: new Map() }, { type: 'record.merged', record })
const proved = (table: Table, letter: string, where: string, now = 0, name = letter) =>
  keyProved(table, contact(letter, where, name), self, now)
const listed = (table: Table) =>
  listOf(table, 0).peers.map((peer) => [
    peer.id?.slice(7, 8) ?? '-',
    ...peer.endpoints.map(({ host, port }) => `${host}:${port}`),
  ])

test('a node is identified by its key: two addresses of one machine are one node, two keys at one address are two', () => {
  let { table } = proved(empty, 'a', '10.0.0.1:8088')
  ;({ table } = proved(table, 'a', 'fd00::1:8088'.replace('fd00::1:8088', '[fd00::1]:8088')))
  ;({ table } = proved(table, 'b', '10.0.0.1:8089'))
  assert.deepEqual(listed(table), [
    ['a', 'fd00::1:8088', '10.0.0.1:8088'],
    ['b', '10.0.0.1:8089'],
  ])
})

test('a peer without a key becomes the node that proves one there, and keeps its data', () => {
  const file = ipTableFile.parse({
    ip_address: [{ IPV4: '10.0.0.1', ServerPort: '8088', Latency: 5, Colour: 'red', Name: 'old' }],
  })
  const { table, emitted } = proved(loadTable(file, self), 'a', '10.0.0.1:8088', 0, 'new')
  assert.deepEqual(
    emitted.map(({ type }) => type),
    ['peer.joined'],
  )
  const [entry, ...rest] = fileOf(table, file, 0).ip_address
  assert.deepEqual(rest, [])
  assert.deepEqual([entry?.Name, entry?.Latency, entry?.NodeId, entry?.Colour], ['new', 5, id('a'), 'red'])
})

test('a proved key takes the address from the peer that had it', () => {
  let { table } = proved(empty, 'a', '10.0.0.1:8088')
  ;({ table } = proved(table, 'a', '10.0.0.2:8088'))
  const moved = proved(table, 'b', '10.0.0.1:8088')
  assert.deepEqual(listed(moved.table), [
    ['a', '10.0.0.2:8088'],
    ['b', '10.0.0.1:8088'],
  ])
  const gone = proved(moved.table, 'c', '10.0.0.2:8088')
  assert.deepEqual(
    gone.emitted.map(({ type, peer }) => [type, peer.name]),
    [
      ['peer.gone', 'a'],
      ['peer.joined', 'c'],
    ],
  )
})

test('peers without a key are told apart by address and port, and never speak for one with a key', () => {
  let { table } = legacyAnswered(empty, { at: at('10.0.0.1:8088') }, self, 0)
  ;({ table } = legacyAnswered(table, { at: at('10.0.0.1:8089') }, self, 0))
  ;({ table } = legacyAnswered(table, { at: at('10.0.0.1:8088'), fields: { Name: 'go' } }, self, 1))
  assert.deepEqual(listed(table).length, 2)
  ;({ table } = proved(table, 'a', '10.0.0.1:8088', 2))
  const before = table
  ;({ table } = legacyAnswered(table, { at: at('10.0.0.1:8088'), fields: { Name: 'liar' } }, self, 3))
  assert.equal(table, before)
})

test('a peer without a key has its other address, unless another peer has it', () => {
  const { table: first } = proved(empty, 'a', '[fd00::7]:8088')
  const { table } = legacyAnswered(
    first,
    { at: at('10.0.0.1:8088'), also: [at('[fd00::1]:8088'), at('[fd00::7]:8088'), at('10.0.0.9:8088')] },
    self,
    0,
  )
  assert.deepEqual(
    listed(table).find(([who]) => who === '-'),
    ['-', '10.0.0.1:8088', 'fd00::1:8088'],
  )
})

test('this node is never in its table, by key and by every address it has', () => {
  const own = [
    { NodeId: self.id, IPV4: '10.9.9.9' },
    { IPV4: '10.0.0.9' },
    { IPV6: 'FD00:0::9' },
    { IPV4: '1.1.1.1', Addresses: ['10.0.0.9:8088'] },
  ]
  assert.equal(loadTable(ipTableFile.parse({ ip_address: own }), self).size, 0)
  assert.equal(loadTable(ipTableFile.parse({ ip_address: [{ IPV4: '10.0.0.9', ServerPort: '8089' }] }), self).size, 1)
  const added = addPeer(empty, at('10.5.5.5:8088')).table
  const found = keyProved(added, contact('s', '10.5.5.5:8088'), self, 0)
  assert.equal(found.table.size, 0)
  assert.equal(legacyAnswered(empty, { at: at('10.0.0.9:8088') }, self, 0).table, empty)
  assert.equal(mergeRecord(empty, { ...recordOf('s'), endpoints: ['1.2.3.4:1'] }, self).table, empty)
  const everywhere = { ...self, addresses: ['0.0.0.0'] }
  assert.equal(
    loadTable(
      ipTableFile.parse({ ip_address: [{ IPV4: '127.0.0.1' }, { IPV6: '::1' }, { IPV4: 'localhost' }] }),
      everywhere,
    ).size,
    0,
  )
})

test('the table has no duplicates after reading, even if the file had some', () => {
  const entries = [
    { IPV4: '10.0.0.1' },
    { IPV4: '10.0.0.1' },
    { IPV6: 'fd00:0:0::1' },
    { IPV6: 'fd00::1' },
    { IPV4: '::ffff:10.0.0.1' },
    { NodeId: id('a'), IPV4: '10.0.0.2' },
    { NodeId: id('a'), IPV4: '10.0.0.3' },
    { IPV4: '10.0.0.3' },
  ]
  const table = loadTable(ipTableFile.parse({ ip_address: entries }), self)
  assert.deepEqual(
    listed(table)
      .map((row) => row.sort())
      .sort(),
    [
      ['-', '10.0.0.1:8088'],
      ['-', 'fd00::1:8088'],
      ['10.0.0.2:8088', '10.0.0.3:8088', 'a'],
    ]
      .map((row) => row.sort())
      .sort(),
  )
})

test('a silent peer is suspected, dropped, probed ever more rarely, and comes back by itself', () => {
  let { table } = proved(empty, 'a', '10.0.0.1:8088')
  const emitted: string[] = []
  const step = (change: { table: Table; emitted: { type: string }[] }) => {
    table = change.table
    emitted.push(...change.emitted.map(({ type }) => type))
  }
  let now = 0
  const pauses: number[] = []
  for (let failure = 1; failure <= 12; failure += 1) {
    const from = now
    while (dueRows(table, now).length === 0) now += 1
    pauses.push(now - from)
    step(probeFailed(table, id('a'), now))
    if (failure === 2) assert.equal(listOf(table, now).peers[0]?.state, 'suspected')
  }
  assert.deepEqual(emitted, ['peer.suspected', 'peer.gone'])
  assert.deepEqual(pauses, [30, 30, 30, 30, 60, 120, 240, 480, 960, 1920, 3600, 3600])
  assert.deepEqual(listOf(table, now).peers, [])
  // It is in the file, separate from the listed peers, and survives a restart.
  const file = fileOf(table, emptyIpTable(), 0)
  assert.equal(file.ip_address.length, 0)
  table = loadTable(ipTableFile.parse(JSON.parse(JSON.stringify(file))), self)
  assert.deepEqual(listOf(table, 0).peers, [])
  step(proved(table, 'a', '10.0.0.1:8088', now))
  assert.equal(emitted.at(-1), 'peer.joined')
  assert.equal(listOf(table, now).peers[0]?.state, 'answering')
})

test('a suspected peer that answers again never left; an evicted one has left for good, unless the owner added it', () => {
  const suspected = probeFailed(proved(empty, 'a', '10.0.0.1:8088').table, id('a'), 30).table
  assert.deepEqual(
    proved(suspected, 'a', '10.0.0.1:8088', 40).emitted.map(({ type }) => type),
    ['peer.recovered'],
  )
  let { table } = proved(addPeer(empty, at('10.0.0.2:8088')).table, 'b', '10.0.0.1:8088')
  for (let failure = 0; failure < PROBE.forgetAfter; failure += 1) {
    ;({ table } = probeFailed(table, id('b'), failure))
    ;({ table } = probeFailed(table, '10.0.0.2:8088', failure))
  }
  assert.deepEqual([...table.keys()], ['10.0.0.2:8088'])
})

test('records: only newer ones of the author count, and take no address from a peer that holds it', () => {
  const record = (seq: number, name: string, ...where: string[]) => ({
    ...recordOf('a'),
    seq,
    name,
    endpoints: where,
    customInformation: `text ${seq}`,
  })
  let { table } = proved(empty, 'b', '10.0.0.2:8088')
  ;({ table } = mergeRecord(table, record(3, 'three', '10.0.0.1:8088', '10.0.0.2:8088', '10.0.0.9:8088'), self))
  assert.deepEqual(
    listed(table).find(([who]) => who === 'a'),
    ['a', '10.0.0.1:8088'],
  )
  for (const seq of [3, 2, 0]) assert.equal(mergeRecord(table, record(seq, 'replayed', '6.6.6.6:1'), self).table, table)
  ;({ table } = mergeRecord(table, record(4, 'four', '10.0.0.4:8088'), self))
  const peer = listOf(table, 0).peers.find(({ name }) => name === 'four')
  assert.deepEqual([peer?.information, peer?.state, peer?.endpoints], ['text 4', 'unproved', [at('10.0.0.4:8088')]])
})

test('an idle node probes as often whatever number of peers gossip confirms, and those that it suspects at once', () => {
  const signal = new AbortController().signal
  const probesInFourHours = (peers: number, seenAt = Number.POSITIVE_INFINITY) => {
    let table: ReadonlyMap<string, Row> = new Map()
    for (let index = 0; index < peers; index += 1) {
      const endpoints = [untried(at(`10.0.${index >> 8}.${index & 255}:8088`))]
      const row = newRow(`peer ${index}`, newEntry({}), endpoints, 'answering')
      table = new Map(table).set(row.key, {
        ...row,
        alive: true,
        seq: 1,
        answeredAt: 0,
        measuredAt: 0,
        specs,
        probedAt: -60 * index,
      })
    }
    let [count, countSeen] = [0, 0]
    for (let now = 0; now < 14_400; now += 1) {
      const listedAt = now >= seenAt ? seenAt : null
      for (const { key } of planProbes({
        table,
        self,
        now,
        listedAt,
        unverified: new Map(),
        probing: new Set(),
        signal,
      }).probes) {
        count += 1
        if (now >= seenAt && now < seenAt + 300) countSeen += 1
        table = new Map(table).set(key, { ...(table.get(key) as Row), probedAt: now })
      }
    }
    return { count, countSeen, table }
  }
  assert.ok(probesInFourHours(2).count <= 2 * 120)
  for (const peers of [29, 199]) {
    const { count, table } = probesInFourHours(peers)
    assert.ok(count > 120 && count <= 240 + peers, `${count} probes of ${peers} peers`)
    const [key, row] = [...table][0] as [string, Row]
    const suspected = new Map([[key, { ...row, alive: false, status: 'suspected' as const, probedAt: 14_400 }]])
    assert.deepEqual(
      dueRows(suspected, 14_430).map((due) => due.key),
      [key],
    )
  }
  const { countSeen } = probesInFourHours(199, 3_600)
  assert.ok(
    countSeen >= 120 && countSeen <= 125,
    `${countSeen} probes in five minutes after somebody looked at the list`,
  )
})

test('of the members whose latency is not known yet one is measured at a time, also of those that came by themselves', () => {
  const signal = new AbortController().signal
  /** Plans probes as the chart does: each tick at first, and every few while nothing else is. */
  const measuredAfter = (peers: number, listedAt: number | null = null) => {
    let table: ReadonlyMap<string, Row> = new Map()
    for (let index = 0; index < peers; index += 1) {
      const endpoints = [untried(at(`10.0.${index >> 8}.${index & 255}:8088`))]
      const row = newRow(`peer ${index}`, newEntry({}), endpoints, 'answering')
      // Half of them dialled this node when they started, which proves that they live and says nothing of how near they are.
      table = new Map(table).set(row.key, {
        ...row,
        alive: true,
        seq: 1,
        answeredAt: index % 2 ? 0 : null,
        probedAt: 0,
      })
    }
    const busiest = { probes: 0, tick: 0 }
    const idle = { unverified: new Map(), probing: new Set<string>() }
    for (let [now, step, plans] = [1, 1, 1]; now <= 14_400; now += step, plans += 1) {
      const { probes } = planProbes({ table, self, now, step, listedAt, ...idle, signal })
      if (probes.length > busiest.probes) Object.assign(busiest, { probes: probes.length, tick: now })
      for (const probe of probes) {
        const row = { ...(table.get(probe.key) as Row), probedAt: now, answeredAt: now, measuredAt: now }
        table = new Map(table).set(probe.key, probe.specs ? { ...row, specs } : row)
      }
      if ([...table.values()].every(({ measuredAt }) => measuredAt !== null)) return { busiest, seconds: now, plans }
      step = stepOf({ table, now, listedAt, ...idle })
    }
    return assert.fail('some were never measured')
  }
  const few = measuredAfter(8)
  assert.equal(few.busiest.probes, 1)
  assert.ok(few.seconds <= 30 + 8, `8 took ${few.seconds} s`)
  const many = measuredAfter(199)
  assert.ok(many.busiest.probes <= 2, `${many.busiest.probes} probes in second ${many.busiest.tick}`)
  assert.ok(many.seconds >= 120 && many.seconds <= 120 + 199 * 61, `199 took ${many.seconds} s`)
  assert.ok(many.plans < many.seconds / 2, 'a node with members to measure sleeps as others do')
  const seen = measuredAfter(99, 60)
  assert.ok(seen.seconds <= 60 + 99 + 4, `99 took ${seen.seconds - 60} s from when somebody looked at the list`)
})

test('a node that starts requests no specifications of others, and soon after of all that it has met', () => {
  const idle = { self, unverified: new Map(), probing: new Set<string>(), signal: new AbortController().signal }
  let { table } = addPeer(empty, at('10.0.0.1:8088'))
  const requested: number[] = []
  for (let now = 0; now < 60; now += 1) {
    for (const { key, ...probe } of planProbes({ table, now, ...idle }).probes) {
      const outcome = { kind: 'node', contact: contact('a', '10.0.0.1:8088'), latencyNs: 7 } as const
      ;({ table } = applyOutcome({ table, self, now }, key, probe.specs ? { ...outcome, specs } : outcome))
      requested.push(...(probe.specs ? [now] : []))
    }
    if (now === 0) ({ table } = mergeRecord(table, recordOf('a'), self))
  }
  assert.equal(requested.length, 1)
  const [second = 0] = requested
  assert.ok(second >= 15 && second <= 20, `in second ${second}`)
  const later = planProbes({ table: addPeer(table, at('10.0.0.2:8088')).table, now: 60, ...idle })
  assert.deepEqual(
    later.probes.map((probe) => probe.specs),
    [true],
  )
})

test('IPv6 is dialled first if it works, and retried at intervals if it does not', () => {
  let { table } = proved(empty, 'a', '10.0.0.1:8088', 0)
  ;({ table } = proved(table, 'a', '[fd00::1]:8088', 0))
  const order = (now: number) => dialOrder([...table.values()][0] as never, now, 600).map(({ host }) => host)
  assert.deepEqual(order(1), ['fd00::1', '10.0.0.1'])
  ;({ table } = probeFailed(table, id('a'), 30))
  ;({ table } = proved(table, 'a', '10.0.0.1:8088', 31))
  assert.deepEqual(order(32), ['10.0.0.1', 'fd00::1'])
  assert.deepEqual(order(630), ['fd00::1', '10.0.0.1'])
})

test('other nodes learn which peers answer, and nothing that was measured or set here', () => {
  let { table } = proved(empty, 'a', '10.0.0.1:8088')
  ;({ table } = applyOutcome({ table, self, now: 1 }, id('a'), {
    kind: 'node',
    contact: contact('a', '10.0.0.1:8088'),
    latencyNs: 7_000,
  }))
  ;({ table } = addPeer(table, at('10.0.0.2:8088')))
  assert.equal(listOf(table, 1).peers[0]?.latencyNs, 7_000)
  const exchanged = JSON.parse(JSON.stringify(publicTableOf(table, self, 1)))
  assert.deepEqual(
    exchanged.ip_address.map((entry: { IPV4: string; Name: string }) => [entry.Name, entry.IPV4]),
    [
      ['me', '10.0.0.9'],
      ['a', '10.0.0.1'],
    ],
  )
  for (const entry of exchanged.ip_address) {
    assert.deepEqual([entry.Latency, entry.Download, entry.Upload, entry.PublicKey], [0, 0, 0, ''])
    for (const key of ['NodeId', 'Added', 'Trusted', 'Addresses']) assert.ok(!(key in entry), key)
  }
})

test('a known endpoint that the owner adds is trusted from then on, and becomes a seed', () => {
  const go = legacyAnswered(empty, { at: at('10.0.0.1:8088') }, self, 0).table
  assert.deepEqual(seedsOf(go), [])
  const { row, table } = addPeer(go, at('10.0.0.1:8088'))
  assert.deepEqual(row.endpoints, [{ ...at('10.0.0.1:8088'), provedAt: 0, failedAt: null, trusted: true }])
  assert.deepEqual(seedsOf(table), [{ endpoints: [at('10.0.0.1:8088')] }])
})

test('10,000 addresses of one host: 16 wait, and ten a tick are dialled', () => {
  const entries = Array.from({ length: 10_000 }, (_, index) => ({
    IPV4: '10.1.1.1',
    ServerPort: String(2_000 + index),
  }))
  const ownTime = startOwnTime()
  const named = namedIn(ipTableFile.parse({ ip_address: entries }))
  let unverified = addUnverified(new Map(), named, { table: empty, self, test: false })
  assert.equal(unverified.size, 16)
  const honest = Array.from({ length: 40 }, (_, index) => ({ endpoint: at(`10.2.0.${index}:8088`) }))
  unverified = addUnverified(unverified, honest, { table: empty, self, test: false })
  assert.equal(unverified.size, 56)
  const took = ownTime()
  assert.ok(took < 2_000, `it took ${took.toFixed()} ms`)
  const { probes, unverified: left } = planProbes({
    table: empty,
    self,
    now: 0,
    unverified,
    probing: new Set(),
    signal: new AbortController().signal,
  })
  assert.deepEqual([probes.length, left.size], [10, 46])
  const busy = new Set(Array.from({ length: PROBE.maxConcurrent }, (_, index) => `x${index}`))
  assert.equal(
    planProbes({ table: empty, self, now: 0, unverified, probing: busy, signal: new AbortController().signal }).probes
      .length,
    0,
  )
})

test('the table looks every tick at the start and while anything is due soon, else every four', () => {
  const { table } = legacyAnswered(empty, { at: at('10.0.0.1:8088') }, self, 100)
  const named = addUnverified(new Map(), [{ endpoint: at('10.2.0.1:8088') }], { table: empty, self, test: false })
  const [none, nobody] = [new Map(), new Set<string>()]
  const due = 100 + PROBE.intervalMs / TABLE_TICK_MS
  const rows = [
    ['at the start', { table: empty, now: 59, unverified: none, probing: nobody }, 1],
    ['a minute later', { table: empty, now: 60, unverified: none, probing: nobody }, 4],
    ['an address waits', { table: empty, now: 60, unverified: named, probing: nobody }, 1],
    ['a probe is under way', { table: empty, now: 60, unverified: none, probing: new Set(['x']) }, 1],
    ['a peer is due after the next look', { table, now: due - 5, unverified: none, probing: nobody }, 4],
    ['a peer is due before it', { table, now: due - 4, unverified: none, probing: nobody }, 1],
    ['a peer is overdue', { table, now: due + 9, unverified: none, probing: nobody }, 1],
  ] as const
  for (const [what, state, expected] of rows) assert.equal(stepOf(state), expected, what)
})

test('nodes announced on the LAN are probed slowly, more slowly beside a link, and not once gossip lists them', () => {
  const announced = Array.from({ length: 40 }, (_, index) => ({ endpoint: at(`10.2.0.${index}:8088`) }))
  const unverified = addUnverified(new Map(), announced, { table: empty, self, test: false })
  const { signal } = new AbortController()
  const plan = (now: number, linked: boolean, table = empty) =>
    planProbes({ table, self, now, unverified, probing: new Set(), linked, signal })
  assert.deepEqual(
    [0, 1, 2, 3, 4, 5].map((now) => plan(now, false).probes.length),
    [2, 2, 2, 2, 2, 2],
  )
  assert.deepEqual(
    [0, 1, 2, 3, 4, 5].map((now) => plan(now, true).probes.length),
    [2, 0, 0, 0, 0, 2],
  )
  const endpoints = announced.map(({ endpoint }) => untried(endpoint))
  const row = { ...newRow('peer', newEntry({}), endpoints, 'answering'), alive: true, answeredAt: 0, probedAt: 0 }
  const listedPlan = plan(0, true, new Map([[row.key, row]]))
  assert.deepEqual([listedPlan.probes.length, listedPlan.unverified.size], [0, 0])
})

test('addresses that anonymous callers name are checked before they are queued', () => {
  const named = [
    '127.0.0.1:8088',
    '169.254.169.254:80',
    '10.0.0.9:8088',
    '10.3.0.1:22',
    '10.3.0.1:8088',
    '10.0.0.1:8088',
  ].map((where) => ({ endpoint: at(where) }))
  const { table } = proved(empty, 'a', '10.0.0.1:8088')
  assert.deepEqual([...addUnverified(new Map(), named, { table, self, test: false }).keys()], ['10.3.0.1:8088'])
  assert.deepEqual(
    [...addUnverified(new Map(), named, { table, self, test: true }).keys()],
    ['127.0.0.1:8088', '10.3.0.1:8088'],
  )
})

test('a full table evicts silent peers, never those that answer', () => {
  const entries = Array.from({ length: PEERS_MAX }, (_, index) => ({
    IPV4: `10.${index >> 8}.${index & 255}.1`,
    ServerPort: '9000',
  }))
  const full = loadTable(ipTableFile.parse({ ip_address: entries }), self)
  assert.equal(full.size, PEERS_MAX)
  const { table } = proved(full, 'a', '192.168.0.1:8088')
  assert.deepEqual([table.size, table.has(id('a'))], [PEERS_MAX, true])
  const answering: Table = new Map([...full].map(([key, row]) => [key, { ...row, status: 'answering' }]))
  assert.equal(proved(answering, 'a', '192.168.0.1:8088').table.has(id('a')), false)
})

test('a full table evicts a peer of the fullest subnet, if none has been silent longer', () => {
  const office = (index: number) => ({ IPV4: `20.0.0.${index}`, ServerPort: '9000' })
  const elsewhere = (index: number) => ({ IPV4: `30.${index >> 8}.${index & 255}.1`, ServerPort: '9000' })
  const entries = Array.from({ length: PEERS_MAX }, (_, index) =>
    index % 16 === 5 ? office(index >> 4) : elsewhere(index),
  )
  const full = loadTable(ipTableFile.parse({ ip_address: entries }), self)
  const { table } = proved(full, 'a', '192.168.0.1:8088')
  const isOffice = (key: string) => key.startsWith('20.0.0.')
  const gone = [...full.keys()].filter((key) => !table.has(key))
  assert.deepEqual(gone.map(isOffice), [true])
  const silent = new Map(full)
  const [key, row] = [...full].find(([each]) => !isOffice(each)) as [string, Row]
  silent.set(key, { ...row, failures: 1 })
  assert.equal(proved(silent, 'a', '192.168.0.1:8088').table.has(key), false)
})

test('text of others cannot control a terminal', () => {
  const [peer] = listOf(proved(empty, 'a', '10.0.0.1:8088', 0, '\u001b[2Jevil\u202e').table, 0).peers
  assert.equal(peer?.name, '?[2Jevil?')
})

const names: [string, string, string | (Address & { id?: NodeId })][] = [
  ['a name', 'anna', { host: '10.0.0.1', port: 8088, id: id('a') }],
  ['a name is case-sensitive', 'Anna', 'not_found'],
  ['the beginning of an id', 'SHA256:bb', { host: '10.0.0.2', port: 8089, id: id('b') }],
  ['the same without SHA256:', 'bb', { host: '10.0.0.2', port: 8089, id: id('b') }],
  ['an id is case-sensitive', 'BB', 'not_found'],
  ['a whole id', id('a'), { host: '10.0.0.1', port: 8088, id: id('a') }],
  ['an id that nobody has', 'SHA256:zz', 'not_found'],
  ['one beginning of two', 'SHA256:', 'ambiguous'],
  ['a name of two', 'twin', 'ambiguous'],
  ['an ip', '10.7.7.7', { host: '10.7.7.7', port: 8088 }],
  ['an ip and port', '10.7.7.7:99', { host: '10.7.7.7', port: 99 }],
  ['the IP address of a known node means any node there', '10.0.0.1', { host: '10.0.0.1', port: 8088 }],
  ['a bare v6', 'fd00::5', { host: 'fd00::5', port: 8088 }],
  ['a v6 and port', '[FD00:0::5]:99', { host: 'fd00::5', port: 99 }],
  ['a v6 in brackets', '[::1]', { host: '::1', port: 8088 }],
  ['a host name', 'pc.example', { host: 'pc.example', port: 8088 }],
  ['a host name and port', 'pc:99', { host: 'pc', port: 99 }],
  ['a known name and port', 'anna:99', { host: '10.0.0.1', port: 99 }],
  ['a node that calls itself an address', '10.6.6.6', { host: '10.6.6.6', port: 8088 }],
  ['nonsense', '"; touch X; "', 'not_found'],
  ['a port too large', '10.0.0.1:99999', 'bad_address'],
  ['a slash', 'a/b', 'not_found'],
]

for (const [name, where, expected] of names) {
  test(`resolves ${name}`, () => {
    let { table } = proved(empty, 'a', '10.0.0.1:8088', 0, 'anna')
    ;({ table } = proved(table, 'b', '10.0.0.2:8089', 0, 'bert'))
    ;({ table } = proved(table, 'c', '10.0.0.3:8088', 0, 'twin'))
    ;({ table } = proved(table, 'd', '10.0.0.4:8088', 0, 'twin'))
    ;({ table } = proved(table, 'e', '10.0.0.5:8088', 0, '10.6.6.6'))
    const answer = lookUp(table, where)
    const outcome = 'resolveDns' in answer ? answer.fallback : answer
    if (typeof expected === 'string') assert.equal('failure' in outcome && outcome.failure.code, expected)
    else {
      const { id, ...address } = expected
      const found = { endpoints: [directEndpoint(address)], ...(id && { id, key: keyOf(id) }) }
      assert.deepEqual('found' in outcome && outcome.found, found)
    }
  })
}

test('a peer resolves to all its endpoints, best first, except those that a record may not name', () => {
  const { table } = proved(empty, 'a', '10.0.0.1:8088', 1, 'anna')
  const named = ['127.0.0.1:8088', '169.254.169.254:80', '10.0.0.1:8088', '[2001:db9::1]:8088', '10.0.0.7:8088']
  const merged = mergeRecord(table, { ...recordOf('a'), name: 'anna', endpoints: named }, self).table
  const found = (options?: { test: boolean }) => {
    const answer = lookUp(merged, 'anna', options)
    return 'found' in answer ? answer.found.endpoints.map(formatEndpoint) : []
  }
  assert.deepEqual(found(), ['10.0.0.1:8088', '[2001:db9::1]:8088', '10.0.0.7:8088'])
  assert.ok(found({ test: true }).includes('127.0.0.1:8088'))
})

test('a name with a dot is looked up in DNS before the table, a bare word in the table before DNS', () => {
  const { table } = proved(empty, 'a', '10.0.0.1:8088', 0, 'pc.example')
  assert.deepEqual(lookUp(table, 'pc.example'), {
    resolveDns: directEndpoint({ host: 'pc.example', port: 8088 }),
    fallback: {
      found: { endpoints: [directEndpoint({ host: '10.0.0.1', port: 8088 })], id: id('a'), key: keyOf(id('a')) },
    },
  })
  const answer = lookUp(table, 'printer')
  assert.deepEqual('resolveDns' in answer && answer.resolveDns, directEndpoint({ host: 'printer', port: 8088 }))
})

test('a peer is shown at the address where its key was proved, also by the next process, or from where it opened a link', () => {
  const addressOf = (table: Table) => listOf(table, 0).peers[0]?.endpoints[0]?.host
  const record = { ...recordOf('a'), endpoints: ['172.17.0.1:8088', '10.0.0.1:8088'] }
  const known = mergeRecord(proved(empty, 'a', '10.0.0.1:8088').table, record, self).table
  assert.equal(addressOf(known), '10.0.0.1')
  const unnamed = { ...record, endpoints: ['172.17.0.1:8088'] }
  const kept = mergeRecord(proved(empty, 'a', '10.0.0.1:8088').table, unnamed, self).table
  assert.equal(addressOf(kept), '10.0.0.1', 'also where the peer no longer advertises it')
  const file = ipTableFile.parse(JSON.parse(JSON.stringify(fileOf(known, emptyIpTable(), 0))))
  const [entry] = file.ip_address
  // As a file of an earlier version has it: the first address is not the one that was proved.
  const swapped = { ...entry, IPV4: '172.17.0.1', Addresses: ['10.0.0.1:8088'] }
  assert.equal(addressOf(loadTable(ipTableFile.parse({ ip_address: [swapped] }), self)), '10.0.0.1')
  const opened = { type: 'link.opened' as const, link: 'l', id: id('a'), dialled: false, address: '10.0.0.1:50000' }
  const links = updateLinks(new Map(), opened)
  const linked = onGossipFact({ table: empty, self, now: 0, links }, { type: 'record.merged', record }).table
  assert.equal(addressOf(linked), '10.0.0.1')
})

test('the file keeps what was measured: a command without a node lists it, and a node starts anew', () => {
  const observed = applyOutcome({ table: empty, self, now: 5 }, 'x', {
    ...{ kind: 'node', contact: contact('a', '10.0.0.1:8088'), latencyNs: 7, specs },
  }).table
  const startedAt = 1_000_000
  const file = ipTableFile.parse(JSON.parse(JSON.stringify(fileOf(observed, emptyIpTable(), startedAt))))
  const [peer] = listOf(loadTable(file, self, { startedAt: startedAt + 25_000, watch: false }), 0).peers
  assert.deepEqual(
    [peer?.state, peer?.answeredAgoMs, peer?.latencyNs, peer?.specs?.Cores, peer?.specs?.RAM, peer?.specs?.Load],
    ['answering', 20_000, 7, 8, 4_096, [1, 2, 3]],
  )
  const late = listOf(loadTable(file, self, { startedAt: startedAt + 1_000_000, watch: false }), 0).peers[0]
  assert.deepEqual([late?.state, late?.answeredAgoMs], ['unproved', 995_000])
  assert.equal(listOf(loadTable(file, self, { startedAt: startedAt + 25_000 }), 0).peers[0]?.state, 'unproved')
})

test('the row that Go writes of itself into its home is not listed, whatever address it names', () => {
  const own = { Name: self.name, IPV4: '93.184.1.1', ServerPort: '8088', EscapeImplementation: 'None' }
  const file = ipTableFile.parse({ ip_address: [own, { ...own, Name: 'other', IPV4: '93.184.1.2' }] })
  const oneShot = { ...self, port: 0, addresses: [], advertisable: [] }
  assert.deepEqual(
    listOf(loadTable(file, oneShot), 0).peers.map(({ name }) => name),
    ['other'],
  )
})

test('Go is never asked to take this node or a peer of ours for a relay, and gets no row without a name', () => {
  let { table } = proved(empty, 'a', '10.0.0.1:8088', 0, 'anna')
  table = legacyAnswered(table, { at: at('10.0.0.2:8088'), fields: { Name: 'go' } }, self, 0).table
  table = legacyAnswered(table, { at: at('10.0.0.3:8088') }, self, 0).table
  table = legacyAnswered(table, { at: at('10.0.0.4:8088'), fields: { Name: 'relay', NAT: false } }, self, 0).table
  const rows = publicTableOf(table, self, 0).ip_address.map(({ Name, NAT }) => [Name, NAT])
  assert.deepEqual(rows.sort(), [
    ['anna', true],
    ['go', false],
    ['me', true],
    ['relay', false],
  ])
  const upload = uploadOf(publicRows(table, self, 0))
  const document = JSON.parse(documentFor(upload, [at('10.0.0.2:8088')]))
  assert.deepEqual(document.ip_address.map(({ Name }: { Name: string }) => Name).sort(), ['anna', 'me', 'relay'])
})

test('what tables say of a peer without a key fills gaps, its own words replace, and nothing erases', () => {
  const endpoint = at('10.0.0.2:8088')
  const report = (Name: string, CustomInformation: string) => [
    { endpoint, fields: legacyFieldsOf(newEntry({ Name, CustomInformation })) },
  ]
  const textsOf = (table: Table) => {
    const [row] = table.values()
    return [row?.entry.Name, row?.entry.CustomInformation]
  }
  let { table } = legacyAnswered(empty, { at: endpoint }, self, 0)
  table = mergeReported(table, report('go', ''))
  assert.deepEqual(textsOf(table), ['go', ''])
  table = mergeReported(table, report('liar', 'hello'))
  assert.deepEqual(textsOf(table), ['go', 'hello'])
  table = mergeReported(table, report('gone', 'bye'), '10.0.0.2')
  assert.deepEqual(textsOf(table), ['gone', 'bye'])
  table = mergeReported(table, report('', ''), '10.0.0.2')
  assert.deepEqual(textsOf(legacyAnswered(table, { at: endpoint, fields: { Name: '' } }, self, 0).table), [
    'gone',
    'bye',
  ])
  const keyed = proved(empty, 'a', '10.0.0.2:8088').table
  assert.equal(mergeReported(keyed, report('liar', 'x'), '10.0.0.2'), keyed)
})
