import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WIRE_MAX_BYTES } from '../../protocol/wire/gossip.ts'
import { runJobs } from '../../simulation/soakPool.ts'

/** 50 bad days of ten virtual minutes and 50 nodes each; `npm run soak` has a thousand. */
const SEEDS = 50

test('fifty bad days: every invariant holds, and all agree within a minute of healing', async () => {
  const jobs = Array.from({ length: SEEDS }, (_, at) => ({ kind: 'chaos', seed: at + 1 }) as const)
  let days = 0
  await runJobs(jobs, (outcome) => {
    assert.ok(outcome.kind === 'chaos')
    const { seed, violations, agreedAfterMs, falseDeaths, largestMessage } = outcome.result
    assert.deepEqual(violations, [], `seed ${seed}`)
    assert.ok((agreedAfterMs ?? Number.POSITIVE_INFINITY) <= 60_000, `seed ${seed}: ${agreedAfterMs} ms`)
    assert.equal(falseDeaths, 0, `seed ${seed}`)
    assert.ok(largestMessage <= WIRE_MAX_BYTES / 4, `seed ${seed}: ${largestMessage} bytes`)
    days += 1
  })
  assert.equal(days, SEEDS)
})
