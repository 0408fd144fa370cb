import assert from 'node:assert/strict'
import { test } from 'node:test'
import { onGossipFact } from '../../machines/ipTable/gossipChange.ts'
import { keyProved } from '../../machines/ipTable/peerChange.ts'
import { lookUp } from '../../machines/ipTable/peerLookUp.ts'
import { dialOrder, rowOf } from '../../machines/ipTable/peerRow.ts'
import { fileOf, loadTable, type Table } from '../../machines/ipTable/peerTable.ts'
import { ipTableFile, newEntry } from '../../protocol/files/ipTable.ts'
import type { NodeId } from '../../protocol/ids.ts'
import { type Endpoint, formatEndpoint, parseEndpoints } from '../../protocol/net/endpoint.ts'

const id = (letter: string) => `SHA256:${letter.repeat(43)}` as NodeId
const self = { id: id('s'), name: 'me', port: 8_088, addresses: [], advertisable: [], information: '' }
const kinds = [
  '[2001:db8::1]:8088',
  '20.0.0.1:8088',
  'mapped://20.0.0.2:9000',
  'punched://20.0.0.9:49737',
  'relayed://20.0.0.9:2001',
]
const at = (text: string) => parseEndpoints([text])[0] as Endpoint

function merged(table: Table, letter: string, endpoints: string[], seq = 1): Table {
  const record = {
    id: id(letter),
    key: `ssh-ed25519 ${letter}`,
    seq,
    name: letter,
    endpoints,
    port: 8_088,
    version: '',
    customInformation: '',
    capabilities: [],
    left: false,
  }
  return onGossipFact({ table, self, now: 0, links: new Map() }, { type: 'record.merged', record }).table
}
const proved = (table: Table, letter: string, text: string, now = 1) =>
  keyProved(table, { id: id(letter), name: letter, key: '', endpoint: at(text) }, self, now).table
const textsOf = (table: Table, letter: string) => (table.get(id(letter))?.endpoints ?? []).map(formatEndpoint)

test('endpoints are dialled best kind first, and one that is proved before those that are not', () => {
  const table = merged(new Map(), 'a', [...kinds].reverse())
  const order = (rows: Table, now = 0) => dialOrder(rows.get(id('a')) as never, now, 10).map(formatEndpoint)
  assert.deepEqual(order(table), kinds)
  const relayed = proved(table, 'a', 'relayed://20.0.0.9:2001')
  const [row] = [...relayed.values()]
  assert.ok(row)
  const failed = new Map([
    [
      row.key,
      { ...row, endpoints: row.endpoints.map((one) => ({ ...one, failedAt: one.provedAt === null ? 5 : null })) },
    ],
  ])
  assert.equal(order(failed, 14)[0], 'relayed://20.0.0.9:2001', 'the rung in use leads')
  assert.equal(order(failed, 15)[0], '[2001:db8::1]:8088', 'a better one is tried again at intervals')
})

test('the file keeps the kinds, Go finds an address that it can dial, and older files still read', () => {
  const table = merged(new Map(), 'a', kinds)
  const file = ipTableFile.parse(JSON.parse(JSON.stringify(fileOf(table, ipTableFile.parse({ ip_address: [] }), 0))))
  assert.deepEqual([file.ip_address[0]?.IPV4, file.ip_address[0]?.ServerPort], ['20.0.0.1', '8088'])
  assert.deepEqual(textsOf(loadTable(file, self), 'a').sort(), [...kinds].sort())
  const behind = merged(new Map(), 'b', ['relayed://20.0.0.9:2002', 'punched://20.0.0.9:49737'])
  const [entry] = fileOf(behind, file, 0).ip_address
  assert.deepEqual([entry?.IPV4, entry?.IPV6, entry?.ServerPort], ['20.0.0.9', '', '2002'])
  assert.deepEqual(rowOf(entry as never)?.endpoints.map(formatEndpoint), [
    'relayed://20.0.0.9:2002',
    'punched://20.0.0.9:49737',
  ])
  const old = newEntry({ Name: 'old', IPV4: '20.0.0.3', Addresses: ['20.0.0.4:1', 'onion://x', 'mapped://'] })
  assert.deepEqual(rowOf(old)?.endpoints.map(formatEndpoint), ['20.0.0.3:8088', '20.0.0.4:1'])
})

test('an address that becomes a mapped one stays one endpoint with its proof', () => {
  const before = proved(merged(new Map(), 'a', ['20.0.0.2:9000']), 'a', '20.0.0.2:9000')
  const after = merged(before, 'a', ['mapped://20.0.0.2:9000'], 2)
  assert.deepEqual(textsOf(after, 'a'), ['mapped://20.0.0.2:9000'])
  assert.equal(after.get(id('a'))?.endpoints[0]?.provedAt, 1)
  // A node that dials an observed address knows no kind.
  assert.deepEqual(textsOf(proved(after, 'a', '20.0.0.2:9000', 3), 'a'), ['mapped://20.0.0.2:9000'])
})

test('peers share the punched endpoint of their relay, but no TCP address', () => {
  const punched = 'punched://20.0.0.9:49737'
  let table = merged(merged(new Map(), 'a', [punched, 'relayed://20.0.0.9:2001']), 'b', [
    punched,
    'mapped://20.0.0.9:2002',
  ])
  table = merged(proved(proved(table, 'a', punched), 'b', punched), 'c', [punched])
  assert.deepEqual(
    ['a', 'b', 'c'].map((letter) => textsOf(table, letter)).map((texts) => texts.includes(punched)),
    [true, true, true],
  )
  table = merged(proved(table, 'a', 'relayed://20.0.0.9:2001'), 'b', [punched, '20.0.0.9:2001'], 2)
  assert.deepEqual(textsOf(table, 'b'), [punched])
  const file = fileOf(table, ipTableFile.parse({ ip_address: [] }), 0)
  assert.equal(loadTable(file, self).size, 3)
})

test('another port of a peer is one at its own addresses, not at those of its relay', () => {
  const rows = merged(merged(new Map(), 'a', kinds), 'b', ['relayed://20.0.0.9:2002'])
  const found = lookUp(rows, 'a:22')
  assert.deepEqual('found' in found && found.found.endpoints.map(formatEndpoint), [
    '[2001:db8::1]:22',
    '20.0.0.1:22',
    '20.0.0.2:22',
  ])
  const relayed = lookUp(rows, 'b:22')
  assert.equal('failure' in relayed && relayed.failure.code, 'unreachable')
})
