import assert from 'node:assert/strict'
import { test } from 'node:test'
import { packVersion } from '../../machines/gossip/digest.ts'
import type { GossipEffect } from '../../machines/gossip/gossipState.ts'
import { getEntry } from '../../machines/gossip/shardedMap.ts'
import { expectedConfirmations, nextLocalHealth, suspicionTimeout } from '../../machines/gossip/suspicion.ts'
import { takeTokens } from '../../machines/gossip/tokenBucket.ts'
import { GOSSIP } from '../../protocol/defaults/gossip.ts'
import { type Endpoint, formatEndpoint, parseEndpoints } from '../../protocol/net/endpoint.ts'
import { type SignedRecord, shortOf } from '../../protocol/wire/record.ts'
import {
  emittedFacts,
  type GossipDriver,
  link,
  makeGossipDriver,
  receive,
  sent,
  seqAt,
} from '../support/gossipDriver.ts'

const pair = ({ text, signature }: SignedRecord): [string, string] => [text, signature]

/** A node with active links to some others. */
function connectedNode(count: number, config = {}): { node: GossipDriver; others: GossipDriver[]; links: string[] } {
  const node = makeGossipDriver(config)
  const others = Array.from({ length: count }, () => makeGossipDriver())
  return { node, others, links: others.map((other) => link(node, other)) }
}

const isMember = (node: GossipDriver, other: GossipDriver) => seqAt(node, other.id) !== undefined

test('the suspicion timeout falls with the number of independent confirmations', () => {
  const at = (members: number, others: number) =>
    Math.round(suspicionTimeout({ members, others, confirmations: 3, shortestMs: 1_000, maxMultiplier: 3 }))
  const table: [members: number, others: number, ms: number][] = [
    [2, 0, 1_000], // No other node could confirm.
    [3, 0, 3_000],
    [3, 1, 1_000],
    [10, 0, 3_000],
    [10, 1, 2_000],
    [10, 3, 1_000],
    [10, 9, 1_000],
    [100, 0, 6_000],
    [100, 3, 2_000],
    [1_000, 3, 3_000],
  ]
  for (const [members, others, ms] of table)
    assert.equal(at(members, others), ms, `${members} members, ${others} others`)
  assert.deepEqual(
    [1, 2, 3, 5, 100].map((members) => expectedConfirmations(members, 3)),
    [0, 0, 1, 3, 3],
  )
})

test('local health stays within its bounds', () => {
  assert.deepEqual([nextLocalHealth(0, -1, 8), nextLocalHealth(3, 1, 8), nextLocalHealth(7, 1, 8)], [0, 4, 7])
})

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

test('a suspected node refutes with a newer record on all its links', () => {
  const { node, links } = connectedNode(5)
  const suspects: [ReturnType<typeof shortOf>, number, ReturnType<typeof shortOf>][] = [
    [shortOf(node.id), 1, shortOf(makeGossipDriver().id)],
  ]
  const effects = receive(node, links[0] as string, 'probe/suspect', { suspects })
  assert.equal(node.state.self.record.seq, 2)
  assert.equal(sent(effects, 'table/records').length, 5)
  receive(node, links[1] as string, 'probe/suspect', { suspects })
  assert.equal(node.state.self.record.seq, 2, 'a suspicion of an old seq has no effect')
})

test('a suspicion raises the own seq by one at most, and no faster than the refute interval', () => {
  const { node, links } = connectedNode(1)
  for (let run = 0; run < 100; run += 1)
    receive(node, links[0] as string, 'probe/suspect', {
      suspects: [[shortOf(node.id), 0xffff_ffff, shortOf(node.id)]],
    })
  assert.equal(node.state.self.record.seq, 2)
  node.wait(GOSSIP.refuteIntervalMs)
  assert.equal(node.state.self.record.seq, 3)
})

test('false suspicions in any number of invented names never remove a member that answers', () => {
  const { node, others, links } = connectedNode(4, { targetLinks: 0 })
  const [victim, liar] = [others[0] as GossipDriver, links[3] as string]
  for (let second = 0; second < 60; second += 1) {
    const suspects = Array.from({ length: 10 }, () => [shortOf(victim.id), 1, shortOf(makeGossipDriver().id)] as never)
    const effects = [...receive(node, liar, 'probe/suspect', { suspects }), ...node.wait(200)]
    // The victim and the others answer every probe, but no node refutes.
    answer(node, effects, links)
    answer(node, node.wait(800), links)
    assert.ok(isMember(node, victim), `second ${second}`)
  }
})

test('suspicions from other nodes alone remove no member: one without a link is dialled first, and its answer counts', () => {
  const { node, links } = connectedNode(3, { targetLinks: 0, minOutboundLinks: 0, ephemeralIntervalMs: 1e9 })
  const victim = makeGossipDriver()
  receive(node, links[0] as string, 'table/records', { records: [pair(victim.record())], hops: 255 })
  const suspects = Array.from({ length: 10 }, () => [shortOf(victim.id), 1, shortOf(makeGossipDriver().id)] as never)
  receive(node, links[1] as string, 'probe/suspect', { suspects })
  let dialled = ''
  for (let waited = 0; waited < 1_500 && dialled === ''; waited += 50) {
    const dial = node.wait(50).find((effect) => effect.type === 'dial' && effect.id === victim.id)
    if (dial?.type === 'dial') dialled = dial.link
  }
  node.wait(500)
  assert.ok(isMember(node, victim), 'the dial is still in progress')
  const effects = node.do({ type: 'opened', link: dialled, id: victim.id, dialled: true, address: '' })
  assert.ok(isMember(node, victim), 'the member has answered')
  assert.deepEqual(
    sent(effects, 'probe/suspect', dialled).flatMap((message) => message.suspects.map(([who, seq]) => [who, seq])),
    [[shortOf(victim.id), 1]],
  )
})

test('a suspect that does not answer is removed after its timeout, and rejoins only with a newer record', () => {
  const { node, others, links } = connectedNode(4, { targetLinks: 0, ephemeralIntervalMs: 1e9 })
  const [victim, on] = [others[0] as GossipDriver, links[0] as string]
  const silent = links.slice(1)
  for (let half = 0; half < 30 && isMember(node, victim); half += 1) answer(node, node.wait(500), silent, false)
  assert.ok(!isMember(node, victim))
  assert.ok(emittedFacts(node.effects).some((fact) => fact.type === 'record.dropped' && fact.why === 'silent'))
  for (const from of silent) {
    receive(node, from, 'table/records', { records: [pair(victim.record())], hops: 0 })
    assert.ok(!isMember(node, victim), 'removed members do not rejoin')
  }
  receive(node, silent[0] as string, 'table/records', { records: [pair(victim.record({ seq: 2 }))], hops: 0 })
  assert.equal(seqAt(node, victim.id), 2)
  assert.ok(!node.state.links.has(on))
})

test('a removed member that answers this node itself rejoins with its old record', () => {
  const { node, others, links } = connectedNode(3, { targetLinks: 0, ephemeralIntervalMs: 1e9 })
  const victim = others[0] as GossipDriver
  for (let half = 0; half < 30 && isMember(node, victim); half += 1) answer(node, node.wait(500), links.slice(1), false)
  assert.ok(!isMember(node, victim))
  link(node, victim)
  assert.ok(isMember(node, victim))
})

test('after a closed socket the peer is dialled at once, and an answer ends the probe', () => {
  const { node, others, links } = connectedNode(3)
  const victim = others[0] as GossipDriver
  const effects = node.do({ type: 'closed', link: links[0] as string })
  const dial = effects.find((effect) => effect.type === 'dial' && effect.id === victim.id)
  assert.ok(dial?.type === 'dial')
  assert.equal(sent(effects, 'probe/request').length, 2)
  node.do({ type: 'opened', link: dial.link, id: victim.id, dialled: true, address: '' }, 20)
  assert.equal(node.state.probes.size, 0)
  assert.equal(node.state.suspects.size, 0)
})

test('a link that is closed on purpose starts no probe', () => {
  const { node, others, links } = connectedNode(3)
  receive(node, links[0] as string, 'link/bye', { why: 'ephemeral' })
  const effects = node.do({ type: 'closed', link: links[0] as string })
  assert.ok(!effects.some((effect) => effect.type === 'dial' && effect.id === others[0]?.id))
  assert.equal(node.state.probes.size, 0)
})

test('a refused connection and one confirmation remove a member fast, but a refused connection alone does not', () => {
  const { node, others, links } = connectedNode(6, { targetLinks: 0 })
  const victim = others[0] as GossipDriver
  const dial = node.do({ type: 'closed', link: links[0] as string }).find((effect) => effect.type === 'dial')
  assert.ok(dial?.type === 'dial')
  node.do({ type: 'failed', link: dial.link, refused: true }, 5)
  node.wait(GOSSIP.refusedTimeoutMs + 50)
  assert.ok(isMember(node, victim))
  receive(node, links[1] as string, 'probe/suspect', {
    suspects: [[shortOf(victim.id), 1, shortOf(others[1]?.id as never)]],
  })
  node.wait(GOSSIP.refusedTimeoutMs + 50)
  assert.ok(!isMember(node, victim))
})

test('a process that has stalled removes no member', () => {
  const { node, others } = connectedNode(6, { targetLinks: 0 })
  node.wait(1_100)
  node.do({ type: 'tick' }, 30_000)
  node.do({ type: 'tick' }, 10)
  for (const other of others) assert.ok(isMember(node, other))
  assert.ok(node.state.localHealth > 0)
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

test('a subnet has a quota of members, in which a node that was dialled gets room', () => {
  const { node, links } = connectedNode(1)
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

test('a LAN may have many more members than the quota of a public subnet', () => {
  const { node, links } = connectedNode(1)
  const lan = Array.from({ length: 60 }, (_, at) => makeGossipDriver({}, `192.168.1.${at + 1}:8088`))
  receive(node, links[0] as string, 'table/records', { records: lan.map((one) => pair(one.record())), hops: 255 })
  assert.equal(lan.filter((one) => isMember(node, one)).length, 60)
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

test('a peer that accepts links and sends nothing is suspected, not dialled again and again', () => {
  const { node, links } = connectedNode(3)
  const silentPeer = makeGossipDriver()
  receive(node, links[0] as string, 'table/records', { records: [pair(silentPeer.record())], hops: 1 })
  let dials = 0
  /** Each dial of it opens a link that closes at once, and so do those that this causes. */
  function take(effects: readonly GossipEffect[]): void {
    for (const effect of effects) {
      if (effect.type !== 'dial' || effect.id !== silentPeer.id || dials > 100) continue
      dials += 1
      const address = formatEndpoint(effect.endpoints[0] as Endpoint)
      take(node.do({ type: 'opened', link: effect.link, id: silentPeer.id, dialled: true, address }))
      take(node.do({ type: 'closed', link: effect.link }))
    }
  }
  for (let round = 0; round < 200; round += 1) {
    const effects = node.wait(50)
    take(effects)
    answer(node, effects, links, false)
  }
  assert.ok(dials > 0 && dials <= 10, `${dials} dials in ten seconds`)
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

/** Answers the pings in `effects` on the given links, and the indirect probes with `truth`. */
function answer(node: GossipDriver, effects: Parameters<typeof sent>[0], links: readonly string[], truth = true): void {
  const root = node.tools.digest.root(node.state.members)
  for (const on of links) {
    for (const { nonce } of sent(effects, 'probe/ping', on))
      receive(node, on, 'probe/ack', { nonce, root, active: true })
    for (const { nonce } of sent(effects, 'probe/request', on))
      receive(node, on, 'probe/report', { nonce, alive: truth })
  }
}
