import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gossipView } from '../../machines/gossip/gossipView.ts'
import {
  type ActiveAt,
  greeted,
  greeting,
  isActive,
  isActiveHere,
  isActiveThere,
  isEnding,
  type LinkPhase,
  saidGoodbye,
  withActiveHere,
  withActiveThere,
} from '../../machines/gossip/linkPhase.ts'
import { isMember, memberOf, membersOf, statusOf } from '../../machines/gossip/member.ts'
import { parseEndpoints } from '../../protocol/net/endpoint.ts'
import { shortOf } from '../../protocol/wire/record.ts'
import { type GossipDriver, link, makeGossipDriver, receive } from '../support/gossipDriver.ts'

const shown = ({ phase, activeAt }: LinkPhase) => `${phase} ${activeAt}`

/** Every phase that a link can be in. */
const phases: Record<string, LinkPhase> = {
  'greeting both': greeting(true),
  'greeting there': greeting(false),
  'greeting here': withActiveThere(greeting(true), false),
  'greeting neither': withActiveThere(greeting(false), false),
  'active both': greeted(true, true),
  'ephemeral here': greeted(true, false),
  'ephemeral there': greeted(false, true),
  'ephemeral neither': greeted(false, false),
  'rejected neither': saidGoodbye(greeting(true), 'full'),
  'closing neither': saidGoodbye(greeted(true, true), 'full'),
}

test('a link: each phase, and what either end can make of it', () => {
  const table: [before: string, ActiveAt, hereOn: string, hereOff: string, thereOn: string, thereOff: string][] = [
    ['greeting both', 'both', 'greeting both', 'greeting there', 'greeting both', 'greeting here'],
    ['greeting there', 'there', 'greeting both', 'greeting there', 'greeting there', 'greeting neither'],
    ['greeting here', 'here', 'greeting here', 'greeting neither', 'greeting both', 'greeting here'],
    ['greeting neither', 'neither', 'greeting here', 'greeting neither', 'greeting there', 'greeting neither'],
    ['active both', 'both', 'active both', 'ephemeral there', 'active both', 'ephemeral here'],
    ['ephemeral here', 'here', 'ephemeral here', 'ephemeral neither', 'active both', 'ephemeral here'],
    ['ephemeral there', 'there', 'active both', 'ephemeral there', 'ephemeral there', 'ephemeral neither'],
    ['ephemeral neither', 'neither', 'ephemeral here', 'ephemeral neither', 'ephemeral there', 'ephemeral neither'],
    ['rejected neither', 'neither', 'rejected neither', 'rejected neither', 'rejected neither', 'rejected neither'],
    ['closing neither', 'neither', 'closing neither', 'closing neither', 'closing neither', 'closing neither'],
  ]
  assert.deepEqual(
    Object.keys(phases),
    table.map(([before]) => before),
  )
  for (const [before, activeAt, ...after] of table) {
    const phase = phases[before] as LinkPhase
    assert.equal(shown(phase), before)
    assert.deepEqual(
      [isActive(phase), isActiveHere(phase), isActiveThere(phase)],
      [activeAt === 'both', activeAt === 'both' || activeAt === 'here', activeAt === 'both' || activeAt === 'there'],
    )
    const made = [
      withActiveHere(phase, true),
      withActiveHere(phase, false),
      withActiveThere(phase, true),
      withActiveThere(phase, false),
    ]
    assert.deepEqual(made.map(shown), after, before)
  }
  const ending = Object.entries(phases).flatMap(([name, phase]) => (isEnding(phase) ? [name] : []))
  assert.deepEqual(ending, ['rejected neither', 'closing neither'])
  const goodbyes = Object.values(phases).map((phase) => saidGoodbye(phase, '').phase)
  const rejected = Array.from({ length: 4 }, () => 'rejected')
  const closing = Array.from({ length: 4 }, () => 'closing')
  assert.deepEqual(goodbyes, [...rejected, ...closing, 'rejected', 'closing'])
  assert.deepEqual(
    [saidGoodbye(greeting(true), 'full').farewell, saidGoodbye(greeting(true), '').farewell],
    ['full', 'bye'],
  )
})

interface View {
  links: { phase: string; activeAt?: string; address: string; farewell?: string; name?: string }[]
  members: { name: string; status: string; suspectedBy?: number }[]
  count: Record<string, number>
}

const viewOf = ({ state }: GossipDriver) => gossipView({ state, requests: [] }) as View

test('a link goes through its phases: dialing, greeting, active, ephemeral, closing, gone', () => {
  const [node, other] = [makeGossipDriver(), makeGossipDriver()]
  const phase = () => viewOf(node).links.map(({ phase }) => phase)
  assert.deepEqual(phase(), [])
  const dialled = node.do({ type: 'addressDiscovered', endpoints: parseEndpoints(['10.0.0.9:8088']) })
  const [dial] = dialled.filter((effect) => effect.type === 'dial')
  assert.ok(dial?.type === 'dial')
  assert.deepEqual([phase(), viewOf(node).links[0]?.address], [['dialing'], '10.0.0.9:8088'])
  node.do({ type: 'opened', link: dial.link, id: other.id, dialled: true, address: '10.0.0.9:8088' })
  assert.deepEqual(phase(), ['greeting'])
  const { text, signature } = other.record()
  const root = other.tools.digest.root(other.state.members)
  receive(node, dial.link, 'link/hello', { record: [text, signature], root, active: true, links: 0 })
  assert.deepEqual(phase(), ['active'])
  receive(node, dial.link, 'probe/ping', { nonce: 1, root, active: false })
  assert.deepEqual(
    viewOf(node).links.map(({ phase, activeAt }) => [phase, activeAt]),
    [['ephemeral', 'here']],
  )
  receive(node, dial.link, 'link/bye', { why: 'leaving' })
  assert.deepEqual(
    viewOf(node).links.map(({ phase, farewell }) => [phase, farewell]),
    [['closing', 'leaving']],
  )
  // What it says after its farewell does not bring the link back.
  receive(node, dial.link, 'probe/ping', { nonce: 2, root, active: true })
  receive(node, dial.link, 'link/hello', { record: [text, signature], root, active: true, links: 0 })
  assert.deepEqual(phase(), ['closing'])
  node.do({ type: 'closed', link: dial.link })
  assert.deepEqual(phase(), [])
})

test('a member is alive, suspected, dead or left; the view shows it, and counts', () => {
  const node = makeGossipDriver({ targetLinks: 0, minOutboundLinks: 0 })
  const [one, two, three] = [makeGossipDriver(), makeGossipDriver(), makeGossipDriver()]
  const on = [one, two, three].map((other) => link(node, other))
  const status = (other: GossipDriver) => statusOf(node.state, shortOf(other.id))
  assert.deepEqual([one, two, three].map(status), ['alive', 'alive', 'alive'])
  const suspects: [ReturnType<typeof shortOf>, number, ReturnType<typeof shortOf>][] = [
    [shortOf(one.id), one.state.self.record.seq, shortOf(two.id)],
  ]
  receive(node, on[1] as string, 'probe/suspect', { suspects })
  assert.equal(status(one), 'suspected')
  const suspected = memberOf(node.state, shortOf(one.id))
  assert.ok(suspected?.status === 'suspected')
  assert.deepEqual(suspected.suspicion.by, [shortOf(two.id)])
  assert.deepEqual(
    [...membersOf(node.state)].map(({ status }) => status),
    ['suspected', 'alive', 'alive', 'alive'],
    'who is suspected comes first, this node counts too',
  )
  const farewell = three.record({ left: true, seq: 9 })
  receive(node, on[2] as string, 'table/records', { records: [[farewell.text, farewell.signature]], hops: 0 })
  assert.equal(status(three), 'left')
  node.do({ type: 'failed', link: 'none', refused: true })
  for (const each of on) node.do({ type: 'closed', link: each })
  node.wait(120_000)
  assert.deepEqual([one, two, three].map(status), ['dead', 'dead', 'left'])
  assert.deepEqual([isMember('alive'), isMember('suspected')], [true, true])
  for (const other of [one, two, three]) assert.equal(isMember(status(other)), false)
  const { count, members } = viewOf(node)
  assert.deepEqual(count, { alive: 1, suspected: 0, dead: 2, left: 1 })
  assert.equal(members.at(-1)?.status, 'alive')
  assert.equal(statusOf(node.state, shortOf(makeGossipDriver().id)), undefined)
  assert.equal(memberOf(node.state, shortOf(makeGossipDriver().id)), undefined)
})
