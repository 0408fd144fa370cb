import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runChaos } from '../bench/chaos.ts'
import { WIRE_MAX_BYTES } from '../protocol/wire.ts'

/** 50 bad days of ten virtual minutes and 50 nodes each; `npm run soak` has a thousand more. */
const SEEDS = 50

test('fifty bad days: every invariant holds, and all agree within a minute of healing', () => {
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const { violations, agreedAfterMs, falseDeaths, largestMessage } = runChaos({ seed })
    assert.deepEqual(violations, [], `seed ${seed}`)
    assert.ok((agreedAfterMs ?? Number.POSITIVE_INFINITY) <= 60_000, `seed ${seed}: ${agreedAfterMs} ms`)
    assert.equal(falseDeaths, 0, `seed ${seed}`)
    assert.ok(largestMessage <= WIRE_MAX_BYTES / 4, `seed ${seed}: ${largestMessage} bytes`)
  }
})
