import assert from 'node:assert/strict'
import { test } from 'node:test'
import { getEntry, SHARD_COUNT } from '../../machines/gossip/shardedMap.ts'
import { GOSSIP } from '../../protocol/defaults/gossip.ts'
import { shortOf } from '../../protocol/wire/record.ts'
import {
  answer,
  connectedNode,
  emittedFacts,
  type GossipDriver,
  isMember,
  link,
  makeGossipDriver,
  pair,
  receive,
  sent,
  seqAt,
} from '../support/gossipDriver.ts'

/** A node with answering peers, in a network where records grow old within seconds. */
const config = { renewIntervalMs: 10_000, maxRecordAgeMs: 30_000, roundMs: 250, targetLinks: 0, minOutboundLinks: 0 }

/** In each round a node looks for records that are too old in one shard. */
const ALL_SHARDS_S = Math.ceil((SHARD_COUNT * config.roundMs) / 1_000)

function waitAnswered(node: GossipDriver, links: readonly string[], seconds: number) {
  const effects = Array.from({ length: seconds * 4 }, () => {
    const done = node.wait(250)
    answer(node, done, links)
    return done
  })
  return effects.flat()
}

test('a member that nobody renews expires, its version stays out, and a newer one rejoins', () => {
  const { node, links } = connectedNode(2, config)
  const on = links[0] as string
  const ghost = makeGossipDriver({}, '')
  const records = [pair(ghost.record())]
  receive(node, on, 'table/records', { records, hops: 255 })
  waitAnswered(node, links, 25)
  assert.ok(isMember(node, ghost))
  const effects = waitAnswered(node, links, 6 + ALL_SHARDS_S)
  const dropped = emittedFacts(effects).filter(({ type }) => type === 'record.dropped')
  assert.deepEqual(dropped, [{ type: 'record.dropped', id: ghost.id, why: 'silent' }])
  receive(node, on, 'table/records', { records, hops: 255 })
  assert.ok(!isMember(node, ghost))
  receive(node, on, 'table/records', { records: [pair(ghost.record({ seq: 2 }))], hops: 255 })
  assert.ok(isMember(node, ghost))
  assert.equal(getEntry(node.state.renewedAt, shortOf(ghost.id)), node.now - node.state.startedAt)
})

test('a linked member is asked for a newer record in time, asked again if that gets lost, and never expires', () => {
  const { node, others, links } = connectedNode(2, config)
  const [peer, on] = [others[0] as GossipDriver, links[0] as string]
  const asked = (seconds: number) => sent(waitAnswered(node, links, seconds), 'probe/suspect', on)
  assert.deepEqual(asked(9), [])
  const messages = asked(120)
  assert.ok(messages.length > 1 && messages.length < 30, `asked ${messages.length} times`)
  const [subject, seq] = messages[0]?.suspects[0] ?? []
  assert.deepEqual([subject, seq], [shortOf(peer.id), 1])
  assert.ok(isMember(node, peer), 'the link proves that it is alive')
  assert.equal(node.state.suspects.size, 0, 'nobody suspects it')
  const facts = emittedFacts(receive(node, on, 'table/records', { records: [pair(peer.record({ seq: 2 }))], hops: 0 }))
  assert.deepEqual(facts, [], 'a record that only renews an older one is no news')
  assert.equal(seqAt(node, peer.id), 2)
  assert.deepEqual(asked(9), [])
})

test('a record travels with its age, which is that of its author only without a link to it', () => {
  const { node, others, links } = connectedNode(1, config)
  const [peer, on] = [others[0] as GossipDriver, links[0] as string]
  const [young, old, older] = Array.from({ length: 3 }, () => makeGossipDriver({}, '')) as [
    GossipDriver,
    GossipDriver,
    GossipDriver,
  ]
  const records = [young, old, older].map((one) => pair(one.record()))
  receive(node, on, 'table/records', { records, hops: 255, ages: [0, 20, 30] })
  assert.deepEqual(
    [young, old, older].map((one) => isMember(node, one)),
    [true, true, false],
  )
  waitAnswered(node, links, 5)
  const request = (those: readonly GossipDriver[]) => {
    const shortIds = those.map(({ id }) => shortOf(id)).join('')
    return sent(receive(node, on, 'table/request', { shortIds }), 'table/records').map(({ ages }) => ages)
  }
  assert.deepEqual(request([young, old, peer]), [[5, 25, 0]])
  assert.deepEqual(request([peer]), [undefined], 'all are new')
  waitAnswered(node, links, 5 + ALL_SHARDS_S)
  assert.ok(isMember(node, young) && !isMember(node, old))
  assert.deepEqual(request([old]), [[30]], 'the removed do not become young again')
})

test('a process that has stalled for an hour lets nobody expire', () => {
  const { node, links } = connectedNode(1)
  const other = makeGossipDriver({}, '')
  receive(node, links[0] as string, 'table/records', { records: [pair(other.record())], hops: 255 })
  node.do({ type: 'tick' }, 2 * GOSSIP.maxRecordAgeMs)
  answer(node, node.wait(2_000), links)
  assert.ok(isMember(node, other))
})

test('a banned peer is no member any more, and stays out until the ban ends', () => {
  const { node, others, links } = connectedNode(2, { banMs: 60_000 })
  const [other, mallory] = others as [GossipDriver, GossipDriver]
  const forged = { ...other.record({ seq: 9 }), signature: other.record().signature }
  for (let penalties = 0; penalties < GOSSIP.maxPenalties; penalties += 1)
    receive(node, links[1] as string, 'table/records', { records: [pair(forged)], hops: 0 })
  assert.ok(!isMember(node, mallory))
  assert.deepEqual(
    emittedFacts(node.effects).filter(({ type }) => type === 'record.dropped'),
    [{ type: 'record.dropped', id: mallory.id, why: 'banned' }],
  )
  const records = [pair(mallory.record({ seq: 2 }))]
  receive(node, links[0] as string, 'table/records', { records, hops: 0 })
  assert.ok(!isMember(node, mallory), 'a newer record does not bring it back')
  waitAnswered(node, links.slice(0, 1), 62)
  receive(node, links[0] as string, 'table/records', { records, hops: 0 })
  assert.ok(isMember(node, mallory))
})

test('a peer of an earlier version sends no ages, and its records count as new', () => {
  const { node, links } = connectedNode(1, config)
  const other = makeGossipDriver({}, '')
  link(node, other)
  receive(node, links[0] as string, 'table/records', { records: [pair(other.record({ seq: 2 }))], hops: 255 })
  assert.equal(getEntry(node.state.renewedAt, shortOf(other.id)), node.now - node.state.startedAt)
})
