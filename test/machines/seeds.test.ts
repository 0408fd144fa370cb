import assert from 'node:assert/strict'
import { test } from 'node:test'
import { initialTransition, transition } from 'xstate'
import { ipTableMachine } from '../../machines/ipTable.ts'
import { UNVERIFIED_MAX } from '../../protocol/defaults/ipTable.ts'
import { ipTableFile } from '../../protocol/files/ipTable.ts'
import type { SeedsListed } from '../../protocol/ipTable.ts'
import { directEndpoint, formatEndpoint } from '../../protocol/net/endpoint.ts'
import { makeGossipDriver } from '../support/gossipDriver.ts'

/** What a large table puts on the bus: its seeds in parts, at the start of gossip, and none of its rows unasked. */

const PEERS = 1_000

/** The number itself, not the constant, because a larger one makes a fact that holds up all others. */
const SEEDS_PER_FACT = 64

/** What ipTable emits at an event, with a table of peers that the owner added. */
function emittedAt(peers: number, event: object): { type: string }[] {
  const at = (index: number) => `20.1.${index >> 8}.${index & 255}`
  const entries = Array.from({ length: peers }, (_, index) => ({
    ...{ Name: `peer-${index}`, IPV4: at(index), ServerPort: '8088', Trusted: [`${at(index)}:8088`] },
  }))
  const [snapshot] = initialTransition(ipTableMachine, {
    file: ipTableFile.parse({ ip_address: entries }),
    self: { id: 'SHA256:me', name: 'me', port: 8_088, addresses: [], advertisable: [], information: '' },
  } as never)
  const [, actions] = transition(ipTableMachine, snapshot, event as never)
  return (actions as readonly { type: string; params?: unknown }[])
    .filter(({ type }) => type === 'xstate.emit')
    .map(({ params }) => (params as { event: { type: string } }).event)
}

const listedSeeds = (peers: number) => emittedAt(peers, { type: 'gossip.started' }) as SeedsListed[]

test('a large table tells gossip its seeds in facts of bounded size, which gossip adds up', () => {
  const facts = listedSeeds(PEERS)
  assert.equal(facts.length, Math.ceil(PEERS / SEEDS_PER_FACT))
  for (const { type, seeds } of facts) {
    assert.equal(type, 'table.seedsListed')
    assert.ok(seeds.length <= SEEDS_PER_FACT)
  }
  const node = makeGossipDriver()
  for (const { seeds } of facts) node.do({ type: 'seedsListed', seeds })
  const known = node.state.bootstrapAddresses.map(({ endpoints: [at] }) => at && formatEndpoint(at))
  assert.equal(known.length, PEERS)
  assert.equal(new Set(known).size, PEERS)
})

test('many facts of seeds make gossip dial as often as one does, and wait no longer for the next', () => {
  const afterSeeds = (peers: number) => {
    const node = makeGossipDriver()
    const dials = listedSeeds(peers).flatMap(({ seeds }) =>
      node.do({ type: 'seedsListed', seeds }).filter(({ type }) => type === 'dial'),
    )
    return [dials.length, node.state.isolatedBackoffMs, node.state.nextRetryAt - node.now]
  }
  assert.deepEqual(afterSeeds(PEERS), afterSeeds(SEEDS_PER_FACT))
})

test('a bootstrap address that does not answer keeps a node not from trying the next one', () => {
  const node = makeGossipDriver()
  const seeds = ['20.9.0.1', '20.9.0.2', '20.9.0.3'].map((host) => ({
    endpoints: [directEndpoint({ host, port: 8_088 })],
  }))
  const effects = [...node.do({ type: 'seedsListed', seeds }), ...node.wait(6_000)]
  const dialled = effects.flatMap((effect) => (effect.type === 'dial' ? effect.endpoints.map(({ host }) => host) : []))
  assert.deepEqual([...new Set(dialled)].sort(), ['20.9.0.1', '20.9.0.2', '20.9.0.3'])
})

test('what a node of the LAN answers by mDNS is accepted without a word about the rows of the table', () => {
  const unverified = Array.from({ length: UNVERIFIED_MAX.perHost }, (_, index) => ({
    endpoint: directEndpoint({ host: `10.3.0.${index}`, port: 8_088 }),
  }))
  const answer = { type: 'table.addUnverified', requestId: 'r', caller: 'anonymous', unverified, from: 'mDNS' }
  assert.deepEqual(emittedAt(PEERS, answer), [{ type: 'table.unverifiedAdded', requestId: 'r' }])
})
