import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PersistentMap } from '../../machines/gossip/persistentMap.ts'
import { mulberry32 } from '../../simulation/tools.ts'

test('after each of a thousand random updates the map equals a Map, order included, and earlier maps are unchanged', () => {
  const chance = mulberry32(1)
  const names = Array.from({ length: 24 }, (_, at) => `k${at}`)
  const map = new Map<string, number>()
  let small = PersistentMap.empty<string, number>()
  for (let run = 0; run < 1_000; run += 1) {
    const name = names[Math.floor(chance() * names.length)] as string
    const before = small
    const had = [...small.values()]
    const kind = chance()
    if (kind < 0.55) {
      small = small.set(name, run)
      map.set(name, run)
    } else if (kind < 0.95) {
      small = small.delete(name)
      map.delete(name)
    } else if (kind < 0.98) {
      small = small.map((value) => value + 1)
      for (const [each, value] of map) map.set(each, value + 1)
    } else {
      small = small.filter((value) => value % 5 !== 0)
      for (const [each, value] of map) if (value % 5 === 0) map.delete(each)
    }
    assert.deepEqual([...small.values()], [...map.values()])
    assert.deepEqual([...before.values()], had)
    assert.equal(small.size, map.size)
    for (const each of names) {
      assert.equal(small.get(each), map.get(each))
      assert.equal(small.has(each), map.has(each))
    }
  }
})

test('an update without effect returns the same map', () => {
  const one = PersistentMap.empty<string, number>().set('a', 1)
  assert.equal(one.delete('b'), one)
  assert.equal(
    one.filter(() => true),
    one,
  )
  assert.equal(one.delete('a'), PersistentMap.empty())
})
