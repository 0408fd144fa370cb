import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { GossipEffect } from '../../machines/gossip/gossipState.ts'
import { expectedConfirmations, nextLocalHealth, suspicionTimeout } from '../../machines/gossip/suspicion.ts'
import { GOSSIP } from '../../protocol/defaults/gossip.ts'
import { type Endpoint, formatEndpoint } from '../../protocol/net/endpoint.ts'
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

test('a dial that this node itself withheld says nothing of the member', () => {
  const { node, links } = connectedNode(6, { targetLinks: 0 })
  const dial = node.do({ type: 'closed', link: links[0] as string }).find((effect) => effect.type === 'dial')
  assert.ok(dial?.type === 'dial')
  assert.equal(node.state.probes.size, 1)
  node.do({ type: 'failed', link: dial.link, refused: false, withheld: true }, 5)
  assert.deepEqual([node.state.probes.size, node.state.suspects.size], [0, 0])
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

test('a message that is handled late judges nobody, because the answer of another may be next in the queue', () => {
  const { node, others, links } = connectedNode(6, { targetLinks: 0 })
  const [ping] = node.wait(1_100).filter((effect) => effect.type === 'send' && effect.message.kind === 'probe/ping')
  assert.ok(ping?.type === 'send')
  const late = links.find((link) => link !== ping.link) as string
  node.now += GOSSIP.pingTimeoutMs + 50
  const effects = receive(node, late, 'probe/report', { nonce: 0, alive: false })
  assert.deepEqual(sent(effects, 'probe/ping'), [], 'no second ping before the queue is empty')
  assert.equal(node.state.localHealth, 0)
  receive(node, ping.link, 'probe/report', { nonce: 0, alive: false })
  assert.deepEqual([...node.wait(0)], [])
  for (const other of others) assert.ok(isMember(node, other))
})

test('answers that are later than the timeout make this node more patient, and punctual ones less', () => {
  const { node, links } = connectedNode(6, { targetLinks: 0 })
  for (let rounds = 0; rounds < 4; rounds += 1) {
    for (let pinged = ''; pinged === ''; ) {
      const first = node.wait(50).find((effect) => effect.type === 'send' && effect.message.kind === 'probe/ping')
      if (first?.type === 'send') pinged = first.link
      if (pinged === '') continue
      node.wait(GOSSIP.pingTimeoutMs * (1 + node.state.localHealth / 2) + 100)
      receive(node, pinged, 'probe/report', { nonce: 0, alive: false })
    }
  }
  assert.ok(node.state.localHealth >= 3, `${node.state.localHealth}`)
  for (let steps = 0; steps < 200; steps += 1) answer(node, node.wait(50), links, false)
  assert.equal(node.state.localHealth, 0)
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

test('a member that has just answered is not suspected again on the word of others, until a while has passed', () => {
  const { node, others, links } = connectedNode(4, { targetLinks: 0 })
  const [victim, liar] = [others[0] as GossipDriver, links[3] as string]
  const accuse = () =>
    receive(node, liar, 'probe/suspect', { suspects: [[shortOf(victim.id), 1, shortOf(makeGossipDriver().id)]] })
  const id = victim.id
  assert.deepEqual(emittedFacts(accuse()), [{ type: 'record.suspected', id }])
  assert.deepEqual(emittedFacts(receive(node, links[0] as string, 'probe/report', { nonce: 0, alive: true })), [
    { type: 'record.cleared', id },
  ])
  for (let lies = 0; lies < 5; lies += 1) assert.deepEqual(accuse(), [], 'neither a fact nor a message')
  node.now += GOSSIP.recentlyConfirmedMs
  assert.deepEqual(emittedFacts(accuse()), [{ type: 'record.suspected', id }])
})

/** Returns how long after its suspicion the first member is dropped, if only the peers on `alive` answer. */
function suspicionMs(alive: (links: readonly string[]) => readonly string[]): number {
  // With a score of 0 at most, local health stretches nothing.
  const { node, links } = connectedNode(4, { targetLinks: 0, ephemeralIntervalMs: 1e9, maxLocalHealth: 1 })
  const at = new Map<string, number>()
  for (let step = 0; step < 600 && !at.has('record.dropped'); step += 1) {
    const effects = node.wait(50)
    for (const { type } of emittedFacts(effects)) if (!at.has(type)) at.set(type, node.now)
    answer(node, effects, alive(links), false)
  }
  return (at.get('record.dropped') as number) - (at.get('record.suspected') as number)
}

test('a node to which no link says anything takes itself for cut off, and waits twice as long before it drops members', () => {
  const connected = suspicionMs((links) => links.slice(1))
  assert.equal(connected, GOSSIP.suspicionTimeoutMs * GOSSIP.suspicionMaxMultiplier)
  assert.equal(
    suspicionMs(() => []),
    2 * connected,
  )
})

test('a link on which something arrived lately is not pinged while no record changes', () => {
  const { node, links } = connectedNode(2)
  /** Answers all pings of a while, and returns how many there were. */
  const pingsIn = (ms: number) => {
    let pings = 0
    for (let passed = 0; passed < ms; passed += 50) {
      const effects = node.wait(50)
      pings += sent(effects, 'probe/ping').length
      answer(node, effects, links)
    }
    return pings
  }
  const rounds = 20_000 / GOSSIP.roundMs
  assert.ok(pingsIn(GOSSIP.recentMs) >= 8, 'records have just been merged')
  pingsIn(2_000)
  const quiet = pingsIn(20_000)
  assert.ok(quiet >= 8 && quiet <= rounds / 2 + 2, `${quiet} pings: each of the two links every 4 to 5 s`)
  node.do({ type: 'recordUpdated', fields: { customInformation: 'new' } })
  assert.ok(pingsIn(GOSSIP.recentMs) >= 8, 'a record has changed')
})
