import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { GOSSIP } from '../../protocol/defaults/gossip.ts'
import type { GossipEmits } from '../../protocol/gossip.ts'
import type { NodeId } from '../../protocol/ids.ts'
import { BATCH } from '../../protocol/wire/gossip.ts'
import { type SignedRecord, signRecord } from '../../protocol/wire/record.ts'
import { seqOf } from '../../simulation/simulatedNode.ts'
import { createSimulation, type Simulation } from '../../simulation/simulation.ts'
import { createTools } from '../../simulation/tools.ts'

const minutes = (count: number) => count * 60_000
const range = (count: number) => Array.from({ length: count }, (_, at) => at)

/** Records of keys that belong to no node, without an address at which anybody could probe them. */
function inventMembers(count: number): SignedRecord[] {
  const { sign } = createTools()()
  return range(count).map((at) => {
    const id = `SHA256:${createHash('sha256').update(`ghost ${at}`).digest('base64').slice(0, 43)}` as NodeId
    const key = `ssh-ed25519 ${id.slice(7).padEnd(68, 'A')}`
    const texts = { name: `ghost${at}`, version: '0.1.0', customInformation: '' }
    return signRecord({ id, key, seq: 1, ...texts, endpoints: [], port: 8_088, capabilities: [], left: false }, sign)
  })
}

/** Has a node send records that it has not made itself, a batch a second to each of its peers. */
function spreadFrom(simulation: Simulation, host: number, records: readonly SignedRecord[], from: number): void {
  const pairs = records.map(({ text, signature }): [string, string] => [text, signature])
  for (let at = 0; at < pairs.length; at += BATCH.records)
    simulation.at(from + (1_000 * at) / BATCH.records, () => {
      const body = { records: pairs.slice(at, at + BATCH.records), hops: 0 }
      for (const { id } of simulation.nodes[host]?.state?.links.values() ?? [])
        simulation.network.send(host, id, { kind: 'table/records', body })
    })
}

function countOf(simulation: Simulation, ghosts: readonly SignedRecord[], host: number): number {
  const { state } = simulation.nodes[host] ?? {}
  return state ? ghosts.filter(({ record }) => seqOf(state, record) > 0).length : 0
}

test('invented members expire on all nodes after their inventor has gone, whoever restarts, wakes up or joins meanwhile', () => {
  const [honest, attacker, newcomer, late] = [8, 8, 9, 10]
  const [restarting, sleeping] = [3, 5]
  const dropped = new Set<string>()
  const simulation = createSimulation({
    nodes: 11,
    seed: 5,
    addressOf: (host) => `10.0.0.${host + 1}:8088`,
    // The invented members fill the table.
    config: { maxMembers: 1_000, quotaMinMembers: 875 },
    onFact: (fact) => fact.type === 'record.dropped' && fact.why === 'silent' && dropped.add(fact.id),
  })
  for (const host of range(honest + 1)) simulation.start(host)
  // It is behind a NAT and nobody can dial it.
  simulation.dispatch(honest - 1, { type: 'recordUpdated', fields: { endpoints: [] } })
  const ghosts = inventMembers(1_100)
  spreadFrom(simulation, attacker, ghosts, 10_000)
  simulation.at(40_000, () => simulation.kill(attacker))
  simulation.at(minutes(4), () => simulation.start(newcomer))
  simulation.at(minutes(5), () => simulation.pause(sleeping, minutes(30)))
  simulation.at(minutes(20), () => simulation.kill(restarting))
  simulation.at(minutes(20) + 500, () => simulation.start(restarting))
  simulation.at(minutes(29), () => simulation.start(late))

  simulation.runUntil(minutes(4) + 10_000)
  for (const host of [...range(honest), newcomer]) {
    assert.ok(countOf(simulation, ghosts, host) > 800, `${countOf(simulation, ghosts, host)} ghosts on node ${host}`)
    for (const other of [...range(honest), newcomer])
      assert.ok(seqOf(simulation.nodes[host]?.state as never, simulation.nodes[other] as never) > 0, 'all honest nodes')
  }
  simulation.runUntil(GOSSIP.maxRecordAgeMs + minutes(2))
  for (const host of [...range(honest), newcomer, late].filter((host) => host !== sleeping))
    assert.equal(countOf(simulation, ghosts, host), 0, `ghosts on node ${host}`)
  simulation.runUntil(minutes(40))
  assert.equal(simulation.disagreement(), '')
  const falselyDropped = simulation.nodes.filter(({ id }) => dropped.has(id)).map(({ host }) => host)
  assert.deepEqual(falselyDropped, [restarting, sleeping, attacker], 'nobody else')
})

/** Intervals of renewal. */
const INTERVALS = process.env.P2PRC_SOAK ? 40 : 20

test('honest nodes stay members for hours though messages are lost, also those that nobody can dial', () => {
  const dropped: GossipEmits[] = []
  const [renewIntervalMs, maxRecordAgeMs] = [minutes(1), minutes(3)]
  const simulation = createSimulation({
    nodes: 40,
    seed: 12,
    converged: true,
    networkConditions: { loss: 0.05 },
    config: { renewIntervalMs, maxRecordAgeMs },
    onFact: (fact) => fact.type === 'record.dropped' && dropped.push(fact),
  })
  for (const host of range(40)) simulation.start(host)
  for (const host of range(10)) simulation.dispatch(2 + host * 4, { type: 'recordUpdated', fields: { endpoints: [] } })
  simulation.runUntil(minutes(INTERVALS))
  assert.deepEqual(dropped, [])
  assert.equal(simulation.disagreement(), '')
  // A node that is suspected wrongly signs a record more, so some have a few more than the others.
  const records = simulation.nodes.map(({ state }) => state?.self.record.seq ?? 0)
  const mean = records.reduce((sum, seq) => sum + seq, 0) / records.length
  assert.ok(mean <= INTERVALS * 1.15, `${mean} records in ${INTERVALS} intervals`)
  assert.ok(
    records.every((seq) => seq > INTERVALS / 2 && seq <= INTERVALS * 2),
    records.join(' '),
  )
})
