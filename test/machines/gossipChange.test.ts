import assert from 'node:assert/strict'
import { test } from 'node:test'
import { peerRows } from '../../cli/peerRows.ts'
import {
  advertisedAddresses,
  type ObservedAddresses,
  observeAddress,
} from '../../machines/ipTable/advertisedAddresses.ts'
import { type Links, linkedTo, onGossipFact, onGossipLost, updateLinks } from '../../machines/ipTable/gossipChange.ts'
import { keyProved } from '../../machines/ipTable/peerChange.ts'
import { lookUp } from '../../machines/ipTable/peerLookUp.ts'
import { fileOf, loadTable, type Self, seedsOf, type Table } from '../../machines/ipTable/peerTable.ts'
import { applyOutcome, planProbes } from '../../machines/ipTable/peerWatch.ts'
import { PROBE } from '../../protocol/defaults/ipTable.ts'
import { emptyIpTable } from '../../protocol/files/ipTable.ts'
import type { NetworkFact } from '../../protocol/gossip.ts'
import type { NodeId } from '../../protocol/ids.ts'
import type { Peer } from '../../protocol/ipTable.ts'
import { directEndpoint, formatEndpoint, parseEndpoints } from '../../protocol/net/endpoint.ts'
import type { NodeRecord } from '../../protocol/wire/record.ts'
import { listOf } from '../support/tableLists.ts'

const id = (letter: string) => `SHA256:${letter.repeat(43)}` as NodeId
const own = ['10.0.0.9']
const self: Self = { id: id('s'), name: 'me', port: 8_088, addresses: own, advertisable: own, information: '' }

function record(letter: string, more: Partial<NodeRecord> = {}): NodeRecord {
  return {
    id: id(letter),
    key: `ssh-ed25519 ${letter}`,
    seq: 1,
    name: letter,
    endpoints: [`10.0.1.${letter.charCodeAt(0)}:8088`],
    port: 8_088,
    version: '',
    customInformation: '',
    capabilities: [],
    left: false,
    ...more,
  }
}

/** Applies facts to a table, one a millisecond, and returns the table and what the last fact emitted. */
function after(facts: NetworkFact[], begin: Table = new Map()) {
  let change = { table: begin, emitted: [] } as ReturnType<typeof onGossipFact>
  let links: Links = new Map()
  facts.forEach((fact, now) => {
    links = updateLinks(links, fact)
    change = onGossipFact({ table: change.table, self, now, links }, fact)
  })
  return { table: change.table, emitted: change.emitted.map(({ type }) => type), linked: linkedTo(links) }
}

const merged = (letter: string, more?: Partial<NodeRecord>): NetworkFact => ({
  type: 'record.merged',
  record: record(letter, more),
})
const proved = (letter: string) =>
  keyProved(
    new Map(),
    {
      id: id(letter),
      name: letter,
      key: '',
      endpoint: directEndpoint({ host: `10.0.1.${letter.charCodeAt(0)}`, port: 8_088 }),
    },
    self,
    0,
  ).table
const dropped = (why: 'left' | 'silent' | 'overSubnetQuota'): NetworkFact => ({
  type: 'record.dropped',
  id: id('a'),
  why,
})
const closed = (why: string): NetworkFact => ({ type: 'link.closed', link: 'l', id: id('a'), why })
const link = (dialled: boolean): NetworkFact => ({ type: 'link.opened', link: 'l', id: id('a'), dialled, address: '' })

test('facts of gossip change the IP table', () => {
  const suspected: NetworkFact = { type: 'record.suspected', id: id('a') }
  const cleared: NetworkFact = { type: 'record.cleared', id: id('a') }
  const rows: [name: string, begin: Table, facts: NetworkFact[], emitted: string[], state: string | undefined][] = [
    ['a record is listed, and proves nothing', new Map(), [merged('a')], [], 'unproved'],
    ['its own record is not', new Map(), [merged('s')], [], undefined],
    ['a record without an address is too', new Map(), [merged('a', { endpoints: [] })], [], 'unproved'],
    ['a suspicion', proved('a'), [suspected], ['peer.suspected'], 'suspected'],
    ['a suspicion again', proved('a'), [suspected, suspected], [], 'suspected'],
    ['a suspicion of one that never answered', new Map(), [merged('a'), suspected], [], 'unproved'],
    ['refuted', proved('a'), [suspected, cleared], ['peer.recovered'], 'answering'],
    ['it has left', proved('a'), [dropped('left')], ['peer.gone'], undefined],
    ['it is silent', proved('a'), [dropped('silent')], ['peer.gone'], undefined],
    ['it gave way to others', proved('a'), [dropped('overSubnetQuota')], [], 'answering'],
    [
      'it gave way to others and has no address',
      new Map(),
      [merged('a', { endpoints: [] }), dropped('overSubnetQuota')],
      ['peer.gone'],
      undefined,
    ],
    ['gone twice', proved('a'), [dropped('silent'), dropped('silent')], [], undefined],
    ['back by its record', proved('a'), [dropped('silent'), merged('a')], [], 'unproved'],
    ['it has dialled this node', new Map(), [merged('a'), link(false)], ['peer.joined'], 'answering'],
    ['this node has dialled it', new Map(), [merged('a'), link(true)], ['peer.joined'], 'answering'],
    ['the link comes first', new Map(), [link(false), merged('a')], ['peer.joined'], 'answering'],
    ['the link ends', new Map(), [merged('a'), link(false), closed('ephemeral')], [], 'answering'],
    ['it has left, and the link ends', proved('a'), [link(true), dropped('left'), closed('left')], [], undefined],
    ['one without a record has dialled', new Map(), [link(false)], [], undefined],
    ['nobody known', new Map(), [suspected, cleared, dropped('left')], [], undefined],
  ]
  for (const [name, begin, facts, emitted, state] of rows) {
    const result = after(facts, begin)
    assert.deepEqual(result.emitted, emitted, name)
    assert.equal(listOf(result.table, 9).peers.find((peer) => peer.id === id('a'))?.state, state, name)
  }
})

test('a live member that cannot be dialled stays listed while gossip runs; without gossip it is suspected and dropped', () => {
  const viewOf = (table: Table) => {
    let change = { table, emitted: [] } as ReturnType<typeof applyOutcome>
    const emitted: string[] = []
    for (let now = 1; now <= PROBE.dropAfter; now += 1) {
      change = applyOutcome({ table: change.table, self, now }, id('a'), { kind: 'silent' })
      emitted.push(...change.emitted.map(({ type }) => type))
    }
    return { table: change.table, emitted }
  }
  const { table, linked } = after([link(false), merged('a')])
  const viewed = viewOf(table)
  assert.deepEqual(viewed.emitted, [])
  const [peer] = listOf(viewed.table, 9, linked).peers
  assert.deepEqual([peer?.state, peer?.linked, peer?.dialable, peer?.answeredAgoMs], ['answering', true, false, 0])
  assert.equal(peerRows([peer as Peer])[0]?.path, 'its link')
  const alone = viewOf(onGossipLost(viewed.table).table)
  assert.deepEqual(alone.emitted, ['peer.suspected', 'peer.gone'])
})

test('two nodes behind two NATs may have the same private address, but none takes an address proved by another', () => {
  const same = { endpoints: ['192.168.50.2:8088'] }
  const { table } = after([merged('a', same), merged('b', same)])
  assert.equal(listOf(table, 0).peers.length, 2)
  const squat = after([merged('b', { endpoints: ['10.0.1.97:8088', '10.0.9.9:1'] })], proved('a'))
  const [holder, other] = ['a', 'b'].map((letter) =>
    listOf(squat.table, 0).peers.find((peer) => peer.id === id(letter)),
  )
  assert.deepEqual(holder?.endpoints, [directEndpoint({ host: '10.0.1.97', port: 8_088 })])
  assert.deepEqual(other?.endpoints, [directEndpoint({ host: '10.0.9.9', port: 1 })])
})

test('a peer without an address is listed, but not stored, and cannot be reached', () => {
  const { table } = after([merged('a', { endpoints: [], name: 'anna' })])
  assert.equal(peerRows(listOf(table, 0).peers)[0]?.path, 'none')
  assert.deepEqual(fileOf(table, emptyIpTable(), 0).ip_address, [])
  const found = lookUp(table, 'anna')
  assert.equal('failure' in found && found.failure.code, 'unreachable')
  assert.equal(onGossipLost(table).table.size, 0)
})

test('a record gives the hardware of the machine and the text of its owner', () => {
  const machine = { cores: 8, ramMiB: 32_768, diskMiB: 1, gpus: ['H200'] }
  const { table } = after([merged('a', { machine, customInformation: 'mine' })])
  const [peer] = listOf(table, 0).peers
  assert.deepEqual([peer?.machine, peer?.information, peer?.answeredAgoMs], [machine, 'mine', null])
})

test('seed addresses are those that the owner gave or where a key was proved, and no unverified ones', () => {
  const { table } = after([merged('b')], proved('a'))
  const seeds = [{ endpoints: parseEndpoints(['10.0.1.97:8088']), id: id('a') }]
  assert.deepEqual(seedsOf(table), seeds)
  assert.deepEqual(seedsOf(loadTable(fileOf(table, emptyIpTable(), 0), self)), seeds)
})

test('new members are probed one a tick, or one in several ticks if there are many, so that a starting network is not busy with that', () => {
  const watchState = {
    self,
    unverified: new Map(),
    probing: new Set<string>(),
    signal: new AbortController().signal,
  }
  const probesIn = (members: string) => {
    const { table } = after([...members].map((letter) => merged(letter)))
    return [0, 1, 2, 3, 4].map((now) => planProbes({ table, now, ...watchState }).probes.length)
  }
  assert.deepEqual(probesIn('abcd'), [1, 1, 1, 1, 1])
  assert.deepEqual(probesIn('abcdefghijklmnop'), [1, 0, 1, 0, 1])
})

test('this node advertises its own addresses, and a public one that two peers observe', () => {
  const observe = (...words: [by: string, address: string][]) =>
    words.reduce<ObservedAddresses>((observed, [by, address]) => observeAddress(observed, id(by), address), new Map())
  const rows: [string, ObservedAddresses, string[]][] = [
    ['nobody', new Map(), ['10.0.0.9:8088']],
    ['one peer alone', observe(['a', '93.184.1.1:5']), ['10.0.0.9:8088']],
    ['two peers', observe(['a', '93.184.1.1:5'], ['b', '93.184.1.1:99']), ['93.184.1.1:8088', '10.0.0.9:8088']],
    ['one peer twice', observe(['a', '93.184.1.1:5'], ['a', '93.184.1.1:6']), ['10.0.0.9:8088']],
    ['two that disagree', observe(['a', '93.184.1.1:5'], ['b', '93.184.1.2:5']), ['10.0.0.9:8088']],
    [
      'one that changed its mind',
      observe(['a', '93.184.1.1:5'], ['b', '93.184.1.1:5'], ['a', '1.2.3.4:5']),
      ['10.0.0.9:8088'],
    ],
    ['a private one', observe(['a', '192.168.1.1:5'], ['b', '192.168.1.1:5']), ['10.0.0.9:8088']],
    ['a metadata address', observe(['a', '169.254.169.254:5'], ['b', '169.254.169.254:5']), ['10.0.0.9:8088']],
    ['IPv6', observe(['a', '[2a00::7]:5'], ['b', '[2a00::7]:6']), ['[2a00::7]:8088', '10.0.0.9:8088']],
    ['nonsense', observe(['a', 'x y'], ['b', 'x y']), ['10.0.0.9:8088']],
  ]
  for (const [name, observed, advertised] of rows)
    assert.deepEqual(advertisedAddresses(self, observed), parseEndpoints(advertised), name)
})

test('an endpoint at a relay is advertised last, and always has its place', () => {
  const relayed = parseEndpoints(['relayed://20.0.0.8:20000'])
  assert.deepEqual(
    advertisedAddresses(self, new Map(), relayed),
    parseEndpoints(['10.0.0.9:8088', ...relayed.map(formatEndpoint)]),
  )
  const many = Array.from({ length: 9 }, (_, index) => `10.0.0.${index}`)
  const advertised = advertisedAddresses({ ...self, advertisable: many }, new Map(), relayed)
  assert.deepEqual([advertised.length, advertised.at(-1)], [8, relayed[0]])
})

test('the number of observers is bounded', () => {
  let observed: ObservedAddresses = new Map()
  for (let n = 0; n < 100; n += 1) observed = observeAddress(observed, `SHA256:${n}` as NodeId, '93.184.1.1:5')
  assert.equal(observed.size, 16)
})
