import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WIRE_MAX_BYTES } from '../../protocol/wire/gossip.ts'
import { runJobs } from '../../simulation/soakPool.ts'

/** Number of runs of ten simulated minutes with 50 nodes each; `npm run soak` does a thousand. */
const SEEDS = 5

test('in five chaos runs every invariant holds, and all nodes agree within a minute after the faults end', async () => {
  const jobs = Array.from({ length: SEEDS }, (_, at) => ({ kind: 'chaos', seed: at + 1 }) as const)
  let runs = 0
  await runJobs(jobs, (job) => {
    assert.ok(job.kind === 'chaos')
    const { seed, violations, agreedAfterMs, falsePositives, largestMessage } = job.result
    assert.deepEqual(violations, [], `seed ${seed}`)
    assert.ok((agreedAfterMs ?? Number.POSITIVE_INFINITY) <= 60_000, `seed ${seed}: ${agreedAfterMs} ms`)
    assert.equal(falsePositives, 0, `seed ${seed}`)
    assert.ok(largestMessage <= WIRE_MAX_BYTES / 4, `seed ${seed}: ${largestMessage} bytes`)
    runs += 1
  })
  assert.equal(runs, SEEDS)
})
