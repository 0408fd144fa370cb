import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { openStore } from '../../../actors/store.ts'
import { fileOf, loadTable } from '../../../machines/ipTable/peerTable.ts'
import type { AppError } from '../../../protocol/errors.ts'
import { emptyIpTable, IP_TABLE_INDENT, ipTableFile, parseIpTable } from '../../../protocol/files/ipTable.ts'
import type { NodeId } from '../../../protocol/ids.ts'

const self = {
  id: `SHA256:${'s'.repeat(43)}` as NodeId,
  name: 'me',
  port: 8_088,
  addresses: [],
  advertisable: [],
  information: '',
}

/** One entry of each historic version, as a node of that version wrote it. */
const shapes: [string, object, object][] = [
  [
    'v1.0.0: lower case, no port',
    { ipv4: '10.0.0.1', latency: 28172471, download: 0, upload: 0 },
    { IPV4: '10.0.0.1', Latency: 28172471, ServerPort: '8088' },
  ],
  [
    'the seeds: port no and quoted numbers',
    { ipv4: '10.0.0.1', latency: '28172471', download: '93.5', upload: '12', 'port no': '8099' },
    { Latency: 28172471, Download: 93.5, Upload: 12, ServerPort: '8099', 'port no': undefined },
  ],
  ['the seeds: a printed duration', { ipv4: '10.0.0.1', latency: '28.172471ms' }, { Latency: 28172471 }],
  ['the seeds: a port as a number', { ipv4: '10.0.0.1', 'port no': 8077 }, { ServerPort: '8077' }],
  [
    'v2.0.0: NAT as text, metadata as bytes',
    { Name: 'two', IPV4: '10.0.0.1', ServerPort: '8088', NAT: 'True', CustomInformation: btoa('hello') },
    { NAT: true, CustomInformation: 'hello' },
  ],
  [
    'v3.0.0: NAT and ProxyServer as text, metadata as text',
    {
      IPV4: '10.0.0.1',
      ServerPort: '1',
      NAT: 'False',
      ProxyServer: 'true',
      UnSafeMode: true,
      CustomInformation: 'aGk=',
    },
    { NAT: false, ProxyServer: true, UnSafeMode: true, CustomInformation: 'aGk=' },
  ],
  [
    'HEAD: booleans, null metadata, a key of tomorrow',
    { IPV4: '10.0.0.1', ServerPort: '8088', NAT: false, CustomInformation: null, Colour: { of: 'tomorrow' } },
    { NAT: false, CustomInformation: '', Colour: { of: 'tomorrow' } },
  ],
  [
    'wrong types: zero values, as Go does',
    { IPV4: '10.0.0.1', ServerPort: '8088', Name: 7, Latency: {}, Download: null, NAT: 'maybe' },
    { Name: '', Latency: 0, Download: 0, NAT: false },
  ],
]

for (const [name, entry, expected] of shapes) {
  test(`reads ${name}`, () => {
    const [read] = ipTableFile.parse({ ip_address: [entry] }).ip_address
    for (const [key, value] of Object.entries(expected)) assert.deepEqual(read?.[key as 'Name'], value, key)
  })
}

test('reads the list with keys in any case, as null, and with invalid entries', () => {
  assert.deepEqual(ipTableFile.parse({ ip_address: null }).ip_address, [])
  assert.deepEqual(ipTableFile.parse({}).ip_address, [])
  assert.equal(ipTableFile.parse({ IP_Address: [null, 4, 'x', [], { ipv4: '10.0.0.1' }] }).ip_address.length, 1)
})

test('writes the exact JSON types that Go reads, keeps unknown keys, and reads back what it wrote', () => {
  const file = ipTableFile.parse({
    ip_address: shapes.map(([, entry], at) => ({ ...entry, ipv4: `10.0.1.${at}`, IPV4: `10.0.0.${at}` })),
    X: 1,
  })
  const written = JSON.parse(JSON.stringify(fileOf(loadTable(file, self), file, 0), null, IP_TABLE_INDENT))
  assert.equal(written.ip_address.length, shapes.length)
  assert.equal(written.X, 1)
  assert.deepEqual(written.ip_address[6].Colour, { of: 'tomorrow' })
  const types = {
    string: ['Name', 'MachineUsername', 'IPV4', 'IPV6', 'ServerPort', 'UDPServerPort', 'BareMetalSSHPort', 'PublicKey'],
    number: ['Latency', 'Download', 'Upload'],
    boolean: ['NAT', 'ProxyServer', 'UnSafeMode'],
  }
  for (const entry of written.ip_address) {
    for (const [type, keys] of Object.entries(types)) for (const key of keys) assert.equal(typeof entry[key], type, key)
    assert.equal(typeof entry.CustomInformation, 'string')
    assert.equal(typeof entry.EscapeImplementation, 'string')
    assert.ok(Number.isInteger(entry.Latency))
  }
  assert.deepEqual(
    fileOf(loadTable(ipTableFile.parse(written), self), ipTableFile.parse(written), 0),
    ipTableFile.parse(written),
  )
})

test('a peer with many addresses is the same after writing and reading', () => {
  const id = `SHA256:${'p'.repeat(43)}`
  const entry = {
    IPV4: '10.0.0.1',
    IPV6: '2001:db9::1',
    ServerPort: '8088',
    NodeId: id,
    Addresses: ['10.0.0.2:9000', '[2001:db9::2]:7', 'junk:x'],
    Trusted: ['10.0.0.2:9000'],
  }
  const file = ipTableFile.parse({ ip_address: [entry] })
  const again = ipTableFile.parse(JSON.parse(JSON.stringify(fileOf(loadTable(file, self), file, 0))))
  const [row] = [...loadTable(again, self).values()]
  assert.deepEqual(row?.endpoints.map(({ host, port, trusted }) => [host, port, trusted]).sort(), [
    ['10.0.0.1', 8088, false],
    ['10.0.0.2', 9000, true],
    ['2001:db9::1', 8088, false],
    ['2001:db9::2', 7, false],
  ])
})

const hostile: [string, string, string][] = [
  ['not JSON', '{"ip_address":[', 'protocol_error'],
  ['a text', '"ip_address"', 'protocol_error'],
  ['null', 'null', 'protocol_error'],
  ['a list', '[]', 'protocol_error'],
  ['an error of Go', "request Content-Type isn't multipart/form-data", 'protocol_error'],
  ['a list that is none', '{"ip_address":{"0":1}}', 'protocol_error'],
  ['33 levels', `{"ip_address":${'['.repeat(40)}${']'.repeat(40)}}`, 'protocol_error'],
  ['a million open brackets', '['.repeat(1_000_000), 'protocol_error'],
  ['a million open quotes', '\\"'.repeat(500_000), 'protocol_error'],
  ['more than 2 MiB', ' '.repeat(2 * 1024 * 1024 + 1), 'too_large'],
  ['__proto__', '{"ip_address":[{"IPV4":"10.0.0.1","__proto__":{"polluted":true}}]}', 'protocol_error'],
]

for (const [name, body, code] of hostile) {
  test(`refuses ${name}`, () => {
    const from = performance.now()
    assert.throws(
      () => parseIpTable(body, 'x'),
      (error: AppError) => error.code === code,
    )
    assert.ok(performance.now() - from < 1_000)
    assert.equal(({} as { polluted?: boolean }).polluted, undefined)
  })
}

test('a half-written file is quarantined and reported, and a new table starts', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'p2prc-ip-table-'))
  try {
    const path = join(folder, 'ip_table.json')
    await writeFile(path, '{"ip_address":[{"IPV4":"10.0.0.1",')
    const quarantined: string[] = []
    const options = {
      schema: ipTableFile,
      empty: emptyIpTable,
      indent: IP_TABLE_INDENT,
      onDamaged: (at: string) => quarantined.push(at),
    }
    const store = await openStore(path, options)
    assert.deepEqual(store.data.ip_address, [])
    assert.equal(quarantined.length, 1)
    assert.equal(await readFile(quarantined[0] as string, 'utf8'), '{"ip_address":[{"IPV4":"10.0.0.1",')
    await store.write({ ...store.data, ip_address: [] })
    assert.equal(await readFile(path, 'utf8'), '{\n "Version": 1,\n "ip_address": []\n}\n')
  } finally {
    await rm(folder, { recursive: true })
  }
})
