import assert from 'node:assert/strict'
import { test } from 'node:test'
import { takeTokens } from '../../machines/gossip/tokenBucket.ts'
import { GOSSIP } from '../../protocol/defaults/gossip.ts'
import { type Endpoint, formatEndpoint, parseEndpoints } from '../../protocol/net/endpoint.ts'
import { BATCH } from '../../protocol/wire/gossip.ts'
import { type SignedRecord, shortOf } from '../../protocol/wire/record.ts'
import {
  connectedNode,
  emittedFacts,
  type GossipDriver,
  isMember,
  link,
  makeGossipDriver,
  pair,
  receive,
  sent,
} from '../support/gossipDriver.ts'

test('a token bucket fills over time up to its burst', () => {
  const table: [left: number, passedMs: number, count: number, had: number][] = [
    [1, 0, 50, 50],
    [1, 0, 500, 200],
    [0, 0, 5, 0],
    [0, 500, 500, 100],
    [1, 60_000, 500, 200],
  ]
  for (const [left, passed, count, had] of table) assert.equal(takeTokens({ left, at: 0 }, passed, count, 200)[0], had)
})

test('the number of signatures that one peer can have verified in a second is limited', () => {
  const { node, links } = connectedNode(1)
  let checked = 0
  const { hasValidSignature } = node.tools
  Object.assign(node.tools, {
    hasValidSignature: (signed: SignedRecord) => {
      checked += 1
      return hasValidSignature(signed)
    },
  })
  const peers = Array.from({ length: 400 }, () => makeGossipDriver())
  for (let at = 0; at < peers.length; at += 50)
    receive(node, links[0] as string, 'table/records', {
      records: peers.slice(at, at + 50).map((one) => pair(one.record())),
      hops: 0,
    })
  assert.ok(checked <= GOSSIP.recordsPerSecond, `${checked} checked`)
})

test('a subnet has a quota of members in a table that is nearly full, and there a node that was dialled gets room', () => {
  const { node, links } = connectedNode(1, { quotaMinMembers: 0 })
  const peers = Array.from({ length: 40 }, (_, at) => makeGossipDriver({}, `21.0.0.${at + 1}:8088`))
  receive(node, links[0] as string, 'table/records', { records: peers.map((one) => pair(one.record())), hops: 255 })
  const members = peers.filter((one) => isMember(node, one))
  assert.equal(members.length, GOSSIP.subnetQuota)
  const [late, later] = peers.filter((one) => !isMember(node, one)) as [GossipDriver, GossipDriver]
  link(node, late)
  assert.ok(!isMember(node, late), 'a node that dialled this one gets no room')
  link(node, later, later.record(), true)
  assert.ok(isMember(node, later), 'a node that this one dialled gets room')
  assert.equal(peers.filter((one) => isMember(node, one)).length, GOSSIP.subnetQuota)
})

test('as long as the table has room, all nodes of one public subnet are members', () => {
  const { node, links } = connectedNode(1)
  const office = Array.from({ length: 60 }, (_, at) => makeGossipDriver({}, `21.0.0.${at + 1}:8088`))
  receive(node, links[0] as string, 'table/records', { records: office.map((one) => pair(one.record())), hops: 255 })
  assert.equal(office.filter((one) => isMember(node, one)).length, 60)
})

test('in a full table the fullest subnet gives way to an honest node, but not those whom the owner knows', () => {
  const { node, links } = connectedNode(1, { maxMembers: 40, quotaMinMembers: 30 })
  const on = links[0] as string
  const lan = Array.from({ length: 10 }, (_, at) => makeGossipDriver({}, `10.0.0.${at + 1}:8088`))
  const ghosts = Array.from({ length: 60 }, () => makeGossipDriver({}, ''))
  const [trusted, added] = ghosts as [GossipDriver, GossipDriver]
  node.do({ type: 'trustChanged', trusted: [trusted.id] })
  node.do({ type: 'addressDiscovered', endpoints: parseEndpoints(['10.9.9.9:1']), id: added.id })
  const spread = (peers: readonly GossipDriver[]) =>
    receive(node, on, 'table/records', { records: peers.map((one) => pair(one.record())), hops: 255 })
  spread(ghosts)
  assert.equal(node.state.members.size, 30, 'nodes without an address fill the table only until it is nearly full')
  spread(lan)
  assert.equal(lan.filter((one) => isMember(node, one)).length, lan.length, 'an invented node gives way to each')
  assert.ok(node.state.members.size <= 40)
  for (const known of [trusted, added]) assert.ok(isMember(node, known))
  const again = ghosts.filter((one) => !isMember(node, one))
  assert.deepEqual(emittedFacts(spread(again)), [], 'those that gave way are not admitted again')
})

test('a LAN may have many more members than the quota of a public subnet', () => {
  const { node, links } = connectedNode(1)
  const lan = Array.from({ length: 60 }, (_, at) => makeGossipDriver({}, `192.168.1.${at + 1}:8088`))
  receive(node, links[0] as string, 'table/records', { records: lan.map((one) => pair(one.record())), hops: 255 })
  assert.equal(lan.filter((one) => isMember(node, one)).length, 60)
})

test('a node with few links dials several members at the same time, and one with more dials one after the other', () => {
  const dialsOf = (links: number) => {
    const connected = connectedNode(links)
    const { node } = connected
    const peers = Array.from({ length: 20 }, () => makeGossipDriver())
    const records = peers.map((one) => pair(one.record()))
    receive(node, connected.links[0] as string, 'table/records', { records, hops: 255 })
    return node.wait(3_000).filter(({ type }) => type === 'dial').length
  }
  assert.deepEqual([2, 3].map(dialsOf), [3, 1])
})

test('many members to dial cause at most ten dials a second, and each address is dialled once in half a minute', () => {
  const { node, links } = connectedNode(1, {
    targetLinks: 60,
    maxLinks: 60,
    recordsPerSecond: 10_000,
    maxLinksPerSubnet: 99,
  })
  const peers = Array.from({ length: 600 }, () => makeGossipDriver())
  for (let at = 0; at < peers.length; at += 60)
    receive(node, links[0] as string, 'table/records', {
      records: peers.slice(at, at + 60).map((one) => pair(one.record())),
      hops: 255,
    })
  const seen = new Map<string, number>()
  for (let second = 0; second < 40; second += 1) {
    let dials = 0
    for (const effect of node.wait(1_000)) {
      if (effect.type !== 'dial') continue
      dials += 1
      const address = formatEndpoint(effect.endpoints[0] as Endpoint)
      assert.ok((seen.get(address) ?? -1e9) + GOSSIP.redialIntervalMs <= node.now + 1_000, 'again too soon')
      seen.set(address, node.now)
      node.do({ type: 'failed', link: effect.link, refused: false })
    }
    assert.ok(dials <= 2 * GOSSIP.dialsPerSecond, `${dials} dials in a second`)
  }
})

test('a peer is served at most so many records a second, also if it requests the same one again and again', () => {
  const { node, links } = connectedNode(2)
  const on = links[0] as string
  const shortIds = shortOf(node.id).repeat(BATCH.shortIds)
  const servedNow = () =>
    Array.from({ length: 5 }, () => receive(node, on, 'table/request', { shortIds }))
      .flatMap((effects) => sent(effects, 'table/records', on))
      .reduce((sum, { records }) => sum + records.length, 0)
  assert.ok(5 * BATCH.shortIds > GOSSIP.servedPerSecond)
  assert.equal(servedNow(), GOSSIP.servedPerSecond)
  assert.equal(servedNow(), 0)
  node.now += 1_000
  assert.equal(servedNow(), GOSSIP.servedPerSecond)
})

test('a peer that sends digests again and again is answered only at their rate', () => {
  const { node, links } = connectedNode(2)
  const on = links[0] as string
  const other = makeGossipDriver()
  const buckets = other.tools.digest.buckets(other.state.members)
  const answered = () =>
    Array.from({ length: 50 }, () => receive(node, on, 'table/buckets', { buckets })).flatMap((effects) =>
      sent(effects, 'table/versions', on),
    ).length
  assert.equal(answered(), GOSSIP.digestsPerSecond)
  node.now += 1_000
  assert.equal(answered(), GOSSIP.digestsPerSecond)
})

test('a peer whose frames cannot be read is banned at the last allowed one', () => {
  const { node, others, links } = connectedNode(1)
  const link = links[0] as string
  for (let frames = 1; frames < GOSSIP.maxPenalties; frames += 1)
    assert.deepEqual(node.do({ type: 'protocolError', link }), [])
  const effects = node.do({ type: 'protocolError', link })
  assert.ok(effects.some((effect) => effect.type === 'close' && effect.link === link))
  const why = 'it sent a message that cannot be decoded'
  assert.deepEqual(
    emittedFacts(effects).filter(({ type }) => type === 'gossip.banned'),
    [{ type: 'gossip.banned', id: others[0]?.id, why }],
  )
})
