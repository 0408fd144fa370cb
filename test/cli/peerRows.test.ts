import assert from 'node:assert/strict'
import { test } from 'node:test'
import { peersText } from '../../cli/peerCommands.ts'
import { peerCells, peerHeadings, peerRows, readMemory, sortNames } from '../../cli/peerRows.ts'
import type { Peer } from '../../protocol/ipTable.ts'
import { receivedSpecs } from '../../protocol/wire/specs.ts'

const card = {
  GpuName: 'H200',
  BiosVersion: '',
  FanSpeed: '',
  Utilization: { GpuUsage: '', MemoryUsage: '' },
  Temperature: { GpuTemp: '' },
  Clock: { GpuClock: '', GpuMemClock: '' },
  MemoryTotal: '',
  MemoryUsed: '',
  Uuid: '',
}
const specs = (more: object) => receivedSpecs.parse({ Hostname: 'h', Cores: 4, RAM: 8_192, Load: [0.5, 0, 0], ...more })
const peer = (name: string, more: Partial<Peer> = {}): Peer => ({
  name,
  key: '',
  endpoints: [{ kind: 'direct', host: '10.0.0.1', port: 8_088 }],
  state: 'answering',
  answeredAgoMs: 4_000,
  linked: false,
  dialable: true,
  relays: 'nobody',
  showsDomains: false,
  path: null,
  latencyNs: null,
  download: null,
  upload: null,
  information: '',
  machine: null,
  specs: null,
  ...more,
})
const peers = [
  peer('far', {
    latencyNs: 80_000_000,
    download: 900,
    upload: 10,
    specs: specs({ GPUs: [card, card], RAM: 65_536, Cores: 32 }),
  }),
  peer('new'),
  peer('near', { latencyNs: 1_234_567, download: 93.5, specs: specs({}) }),
  peer('go', {
    latencyNs: 5_000_000,
    specs: receivedSpecs.parse({ Hostname: 'go', RAM: 16_000, GPU: { DriveVersion: '1', Gpu: card } }),
  }),
]
const names = (filter = {}) => peerRows(peers, filter).map(({ name }) => name)

test('sorted by nearness, what is not measured last', () => {
  assert.deepEqual(names(), ['near', 'go', 'far', 'new'])
})

test('other orders', () => {
  assert.deepEqual(names({ sort: 'name' }), ['far', 'go', 'near', 'new'])
  assert.deepEqual(names({ sort: 'down' }), ['far', 'near', 'go', 'new'])
  assert.deepEqual(names({ sort: 'memory' }), ['far', 'go', 'near', 'new'])
  assert.deepEqual(names({ sort: 'gpu' }), ['far', 'go', 'near', 'new'])
  for (const sort of sortNames) assert.equal(names({ sort }).length, 4)
  for (const sort of ['nonsense', 'constructor', '__proto__'])
    assert.throws(() => names({ sort }), { code: 'bad_request' })
})

test('filters pass only what is known to fit', () => {
  assert.deepEqual(names({ gpu: true }), ['go', 'far'])
  assert.deepEqual(names({ minRamMiB: readMemory('16G') }), ['far'])
  assert.deepEqual(names({ minCores: 4 }), ['near', 'far'])
  assert.deepEqual(names({ maxLatencyMs: 10 }), ['near', 'go'])
  assert.deepEqual(names({ minDownload: 90, minUpload: 5 }), ['far'])
})

test('cells: one for each head, ? for what nobody knows', () => {
  const [near, , far, fresh] = peerRows(peers)
  const cells = [near, far, fresh].map((row) => peerCells(row as never))
  for (const row of cells) assert.equal(row.length, peerHeadings.length)
  assert.deepEqual(cells[0], [
    'near',
    '10.0.0.1:8088',
    '1.23 ms',
    '4',
    '8.00 GiB',
    'none',
    '0.50',
    'answered 4 s ago',
    'direct IPv4',
    '93.5 Mbit/s',
    '?',
  ])
  assert.equal(cells[1]?.[peerHeadings.indexOf('GPU')], '2 × H200')
  const unknown = ['LATENCY', 'DOWN', 'UP', 'CPU', 'MEMORY', 'GPU', 'LOAD'].map(
    (heading) => cells[2]?.[peerHeadings.indexOf(heading)],
  )
  assert.deepEqual(unknown, ['?', '?', '?', '?', '?', '?', '?'])
})

test('on 60 columns, long names and addresses leave room for where a machine is, how near and how large', () => {
  const rows = peerRows([
    peer('a', {
      name: 'a-machine-with-a-name-that-alone-is-wider-than-a-narrow-screen-4f7gh2k',
      endpoints: [{ kind: 'direct', host: '2001:db8:1234:5678:9abc:def0:1234:5678', port: 8_091 }],
      latencyNs: 1_230_000,
    }),
  ])
  const [heading, line] = peersText(rows, 1, (_, text) => text, 60)
    .split('\n')
    .map((each) => each.slice(0, 60))
  assert.match(heading ?? '', /^NAME +ADDRESS +LATENCY +CPU/)
  assert.match(line ?? '', /^a-machine-with-a…? *\S* +\[2001:db8\S*…\S*:8091 +1\.23 ms/)
})

test('a suspected peer and one at an IPv6 address or a name say so', () => {
  const [six, named] = peerRows([
    peer('a', {
      endpoints: [{ kind: 'direct', host: 'fd00::1', port: 8_088 }],
      state: 'suspected',
      answeredAgoMs: 300_000,
      latencyNs: 1,
    }),
    peer('b', { endpoints: [{ kind: 'direct', host: 'pc.lan', port: 8_088 }], state: 'unproved', answeredAgoMs: null }),
  ])
  assert.deepEqual(
    [six?.address, six?.path, peerCells(six as never)[peerHeadings.indexOf('LAST SEEN')]],
    ['[fd00::1]:8088', 'direct IPv6', 'silent, answered 5 min ago'],
  )
  assert.deepEqual(
    [named?.path, peerCells(named as never)[peerHeadings.indexOf('LAST SEEN')]],
    ['by name', 'not answered yet'],
  )
})

test('amounts of memory', () => {
  const rows: [string, number][] = [
    ['512', 512],
    ['512M', 512],
    ['8G', 8_192],
    ['8GiB', 8_192],
    ['1.5g', 1_536],
    ['1T', 1_048_576],
  ]
  for (const [text, mib] of rows) assert.equal(readMemory(text), mib, text)
  for (const text of ['', 'G', '-1', '1e9', '8K', '8 Gs', '"; touch X; "'])
    assert.throws(() => readMemory(text), { code: 'bad_request' }, text)
})

test('the way of the last dial is what is shown, whatever the peer offers besides', () => {
  const relayed = { kind: 'relayed', host: '203.0.113.4', port: 20_000 } as const
  const used = peer('used', { path: { endpoint: relayed, since: 1 }, linked: true, dialable: false })
  const pathsOf = (...list: Peer[]) => peerRows(list).map(({ path }) => path)
  assert.deepEqual(pathsOf(used), ['relayed'])
  assert.deepEqual(pathsOf({ ...used, path: null }), ['its link'])
  assert.deepEqual(pathsOf({ ...used, path: null, dialable: true }), ['direct IPv4'])
})
