import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createFoundFilter } from '../../actors/ipTable/foundLately.ts'
import { DISCOVERY, UNVERIFIED_MAX } from '../../protocol/defaults/ipTable.ts'
import { directEndpoint } from '../../protocol/net/endpoint.ts'

const at = (number: number) => directEndpoint({ host: `10.0.${number >> 8}.${number & 255}`, port: 8_088 })

test('an endpoint that was just found is not found again, and later it is', () => {
  let now = 0
  const filter = createFoundFilter(() => now)
  assert.deepEqual(filter([at(1), at(2), at(1)]), [at(1), at(2)])
  now += DISCOVERY.refoundIntervalMs - 1
  assert.deepEqual(filter([at(2), at(3)]), [at(3)])
  now += 1
  assert.deepEqual(filter([at(1), at(2), at(3)]), [at(1), at(2)])
})

test('a flood of endpoints is passed on and not remembered without bound', () => {
  const filter = createFoundFilter(() => 0)
  const many = Array.from({ length: UNVERIFIED_MAX.all + 1 }, (_, number) => at(number))
  assert.equal(filter(many).length, many.length)
  assert.equal(filter([at(0)]).length, 1, 'the first ones were forgotten')
  assert.equal(filter([at(UNVERIFIED_MAX.all)]).length, 0)
})
