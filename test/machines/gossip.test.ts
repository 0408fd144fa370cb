import assert from 'node:assert/strict'
import { test } from 'node:test'
import { packVersion } from '../../machines/gossip/digest.ts'
import { getEntry } from '../../machines/gossip/shardedMap.ts'
import { GOSSIP } from '../../protocol/defaults/gossip.ts'
import { parseEndpoints } from '../../protocol/net/endpoint.ts'
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

test('two nodes learn each other by their link, and a newer record replaces an older one but never the reverse', () => {
  const { node, others, links } = connectedNode(1)
  const [other, on] = [others[0] as GossipDriver, links[0] as string]
  assert.equal(seqAt(node, other.id), 1)
  const newer = other.record({ seq: 5, name: 'new name' })
  const facts = emittedFacts(receive(node, on, 'table/records', { records: [pair(newer)], hops: 0 }))
  assert.deepEqual(facts, [{ type: 'record.merged', record: newer.record }])
  for (const seq of [1, 4, 5])
    assert.deepEqual(
      emittedFacts(receive(node, on, 'table/records', { records: [pair(other.record({ seq }))], hops: 0 })),
      [],
    )
  assert.equal(seqAt(node, other.id), 5)
})

test('a forged record changes nothing, and its sender is banned', () => {
  const { node, others, links } = connectedNode(2)
  const victim = others[0] as GossipDriver
  const forged = { ...victim.record({ seq: 9 }), signature: victim.record().signature }
  let banned: unknown[] = []
  for (let penalties = 0; penalties < GOSSIP.maxPenalties; penalties += 1)
    banned = emittedFacts(receive(node, links[1] as string, 'table/records', { records: [pair(forged)], hops: 0 }))
  assert.equal(seqAt(node, victim.id), 1)
  assert.ok(banned.some((fact) => (fact as { type: string }).type === 'gossip.banned'))
  const back = node.do({
    type: 'opened',
    link: 'again',
    id: others[1]?.id as GossipDriver['id'],
    dialled: false,
    address: '',
  })
  assert.deepEqual(back, [{ type: 'close', link: 'again' }])
})

test('a hello must carry the record of the node that proved its key', () => {
  const node = makeGossipDriver()
  const [mallory, victim] = [makeGossipDriver(), makeGossipDriver()]
  link(node, mallory, victim.record())
  assert.ok(!isMember(node, victim))
  assert.ok(!isMember(node, mallory))
})

test('a new record is pushed at once to a few links, but not back to its sender', () => {
  const { node, links } = connectedNode(6)
  const author = makeGossipDriver()
  const effects = receive(node, links[0] as string, 'table/records', { records: [pair(author.record())], hops: 0 })
  const pushes = effects.filter((effect) => effect.type === 'send' && effect.message.kind === 'table/records')
  assert.equal(pushes.length, GOSSIP.fanout)
  assert.deepEqual(sent(effects, 'table/records', links[0]), [])
  assert.deepEqual(new Set(sent(effects, 'table/records').map(({ hops }) => hops)), new Set([1]))
})

test('a heartbeat with an equal root only gets an ack, and missing recent records are requested once', () => {
  const { node, others, links } = connectedNode(2)
  const root = node.tools.digest.root(node.state.members)
  const quiet = receive(node, links[0] as string, 'probe/ping', { nonce: 1, root, active: true })
  assert.deepEqual(
    quiet.map((effect) => effect.type === 'send' && effect.message.kind),
    ['probe/ack'],
  )
  const author = makeGossipDriver()
  const beat = {
    nonce: 2,
    root: 'AAAAAAAAAAA',
    recent: packVersion({ short: shortOf(author.id), seq: 1 }),
    active: true,
  }
  assert.deepEqual(sent(receive(node, links[0] as string, 'probe/ping', beat), 'table/request'), [
    { shortIds: shortOf(author.id) },
  ])
  assert.deepEqual(sent(receive(node, links[1] as string, 'probe/ping', beat), 'table/request'), [])
  assert.equal(others.length, 2)
})

test('a farewell removes a member at once, without a suspicion', () => {
  const { node, others, links } = connectedNode(3)
  const leaver = others[0] as GossipDriver
  const farewell = leaver.record({ seq: 2, left: true })
  const facts = emittedFacts(receive(node, links[1] as string, 'table/records', { records: [pair(farewell)], hops: 1 }))
  assert.ok(facts.some((fact) => fact.type === 'record.dropped' && fact.why === 'left'))
  assert.ok(!isMember(node, leaver))
  assert.equal(getEntry(node.state.tombstones, shortOf(leaver.id))?.signed.record.seq, 2)
})

test('a leaving node sends its farewell on all links and closes them', () => {
  const { node, links } = connectedNode(3)
  const effects = node.do({ type: 'leaving' })
  assert.equal(sent(effects, 'table/records').length, links.length)
  assert.equal(effects.filter(({ type }) => type === 'close').length, links.length)
  assert.deepEqual(node.do({ type: 'tick' }, 5_000), [])
})

test('a node supersedes the records of its earlier process, but ignores forged ones', () => {
  const { node, links } = connectedNode(2)
  const earlier = node.record({ seq: 40, name: 'before' })
  const forged = { ...node.record({ seq: 9_000 }), signature: earlier.signature }
  receive(node, links[0] as string, 'table/records', { records: [pair(forged)], hops: 255 })
  assert.equal(node.state.self.record.seq, 1)
  receive(node, links[0] as string, 'table/records', { records: [pair(earlier)], hops: 255 })
  assert.equal(node.state.self.record.seq, 41)
})

test('an address that leads back to this node is removed from the bootstrap addresses', () => {
  const node = makeGossipDriver()
  const [dial] = node
    .do({ type: 'addressDiscovered', endpoints: parseEndpoints(['10.9.9.9:1']) })
    .filter(({ type }) => type === 'dial')
  assert.ok(dial?.type === 'dial')
  node.do({ type: 'opened', link: dial.link, id: node.id, dialled: true, address: '10.9.9.9:1' })
  assert.deepEqual(node.state.bootstrapAddresses, [])
})

test('seed addresses of the table are dialled at once, and the latest are kept if there are too many', () => {
  const node = makeGossipDriver()
  const seeds = Array.from({ length: node.state.config.maxMembers + 5 }, (_, at) => ({
    endpoints: parseEndpoints([`10.9.9.9:${at + 1}`]),
  }))
  const dials = node.do({ type: 'seedsListed', seeds }).filter(({ type }) => type === 'dial')
  assert.ok(dials.length > 0)
  assert.equal(node.state.bootstrapAddresses.length, node.state.config.maxMembers)
  assert.deepEqual(node.state.bootstrapAddresses.at(-1), seeds.at(-1))
})

test('two nodes with one key report the conflict once and refute each other less and less often', () => {
  const { node, links } = connectedNode(1)
  let conflicts = 0
  let answers = 0
  for (let round = 0; round < 600; round += 1) {
    const { seq } = node.state.self.record
    const facts = emittedFacts(
      receive(node, links[0] as string, 'table/records', {
        records: [pair(node.record({ seq: seq + 1, name: 'twin' }))],
        hops: 0,
      }),
    )
    conflicts += facts.filter((fact) => (fact as { type: string }).type === 'gossip.identityConflict').length
    const effects = node.wait(1_000)
    answer(node, effects, links)
    if (node.state.self.record.seq > seq) answers += 1
  }
  assert.equal(conflicts, 1)
  assert.ok(answers >= 5 && answers <= 20, `${answers} answers in ten minutes`)
})
