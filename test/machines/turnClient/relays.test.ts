import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type Held,
  type HeldRelays,
  heldAfter,
  leadingRelay,
  offeredRelays,
  type Relay,
  relaysToAdd,
} from '../../../machines/turnClient/relays.ts'
import { nodeIdOf } from '../samples/common.ts'

const relayOf = (letter: string, latencyNs: number | null): Relay => ({
  id: nodeIdOf(letter),
  endpoints: [],
  latencyNs,
  names: [],
  isForTrusted: false,
})

const [near, middle, far, unmeasured] = [relayOf('a', 1), relayOf('b', 2), relayOf('c', 3), relayOf('d', null)]

const heldAs = (...states: [Relay, Held['state']][]): HeldRelays =>
  Object.fromEntries(states.map(([relay, state]) => [relay.id, { relay, state, why: '' }]))

test('relays are added, the nearest first, until two work', () => {
  const found = [unmeasured, far, near, middle]
  const table: [HeldRelays, Relay[]][] = [
    [{}, [near, middle]],
    [heldAs([near, 'active']), [middle]],
    [heldAs([near, 'connecting']), [middle]],
    [heldAs([near, 'active'], [middle, 'connecting']), []],
    [heldAs([near, 'lost']), [middle, far]],
    [heldAs([near, 'refused'], [middle, 'active']), [far]],
    [heldAs([near, 'refused'], [middle, 'lost'], [far, 'active']), [unmeasured]],
  ]
  for (const [held, added] of table) assert.deepEqual(relaysToAdd(held, found), added, JSON.stringify(held))
})

test('a relay that the owner named is added beside two that work', () => {
  const named = { ...far, names: ['far'] }
  assert.deepEqual(relaysToAdd(heldAs([near, 'active'], [middle, 'active']), [named, unmeasured]), [named])
  assert.deepEqual(relaysToAdd({}, [near, named, middle]), [named, near])
})

test('a relay without a key serves those alone who name it: it neither leads nor replaces one of two', () => {
  const stock: Relay = { ...near, id: '203.0.113.9:7000', keyless: 'frps', names: ['203.0.113.9:7000'] }
  assert.deepEqual(relaysToAdd({}, [stock, near, middle, far]), [stock, near, middle])
  assert.deepEqual(relaysToAdd(heldAs([stock, 'active'], [near, 'active']), [middle]), [middle])
  assert.equal(leadingRelay(heldAs([stock, 'active']), undefined), undefined)
  assert.equal(leadingRelay(heldAs([stock, 'active'], [far, 'active']), undefined), far.id)
})

test('a relay lends the ports for as long as it works, and then the nearest that does takes over', () => {
  const table: [HeldRelays, Relay | undefined, Relay | undefined][] = [
    [{}, undefined, undefined],
    [heldAs([near, 'connecting']), undefined, undefined],
    [heldAs([far, 'active'], [unmeasured, 'active'], [middle, 'active']), undefined, middle],
    [heldAs([unmeasured, 'active']), undefined, unmeasured],
    [heldAs([near, 'active'], [far, 'active']), far, far],
    [heldAs([near, 'active'], [far, 'lost']), far, near],
    [heldAs([near, 'refused'], [far, 'lost']), far, undefined],
    [heldAs([near, 'active']), far, near],
  ]
  for (const [held, present, leading] of table)
    assert.equal(leadingRelay(held, present?.id), leading?.id, JSON.stringify(held))
})

test('of the relays for trusted nodes, a search offers the nearest four that were not tried, and each that the owner named', () => {
  const trusted = ['e', 'f', 'g', 'h', 'i', 'j'].map((letter, at) => ({ ...relayOf(letter, at), isForTrusted: true }))
  const named = { ...relayOf('k', 99), isForTrusted: true, names: ['mine'] }
  const found = [far, ...trusted, named].reverse()
  const idsOf = (relays: readonly Relay[]) => relays.map(({ id }) => id).sort()
  const first = trusted.slice(0, 4)
  assert.deepEqual(idsOf(offeredRelays({}, found)), idsOf([far, named, ...first]))
  const refused = heldAs(...first.map((one): [Relay, Held['state']] => [one, 'refused']))
  assert.deepEqual(idsOf(offeredRelays(refused, found)), idsOf([far, named, ...trusted.slice(4)]))
})

test('who has refused is tried again when there is nobody else, or if the owner named it', () => {
  const held = heldAs([near, 'refused'], [middle, 'active'])
  const table: [string, HeldRelays, Relay[], Relay[]][] = [
    ['another one is there', held, [near, middle, far], [near, middle]],
    ['nobody else is there', held, [near, middle], [middle]],
    ['it lends nothing any more', held, [middle, far], [middle]],
    ['the owner named it', held, [{ ...near, names: ['near'] }, middle, far], [middle]],
    ['one that was lost stays', heldAs([near, 'lost']), [near], [near]],
  ]
  for (const [name, before, found, kept] of table)
    assert.deepEqual(
      Object.keys(heldAfter(before, found)),
      kept.map(({ id }) => id),
      name,
    )
})
