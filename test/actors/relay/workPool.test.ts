import assert from 'node:assert/strict'
import { once } from 'node:events'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { createWorkPool } from '../../../actors/relay/workPool.ts'
import { RELAY_USER_TIMEOUT_MS, WORK_POOL_MAX } from '../../../protocol/defaults/turnClient.ts'

function start() {
  const counts = { requested: 0 }
  const pool = createWorkPool(() => {
    counts.requested += 1
  })
  return { pool, counts }
}

test('users get the work connections in their order, and each asks for another one', async () => {
  const { pool, counts } = start()
  const [one, two] = [new PassThrough(), new PassThrough()]
  pool.add(one)
  pool.add(two)
  assert.equal(await pool.take(), one)
  assert.equal(await pool.take(), two)
  assert.equal(counts.requested, 2)
  const users = [pool.take(), pool.take()]
  const [three, four] = [new PassThrough(), new PassThrough()]
  pool.add(three)
  pool.add(four)
  assert.deepEqual(await Promise.all(users), [three, four])
})

test('a work connection that has ended is given to nobody, and those beyond the pool are closed', async () => {
  const { pool } = start()
  const [dead, alive] = [new PassThrough(), new PassThrough()]
  pool.add(dead)
  pool.add(alive)
  dead.destroy()
  await once(dead, 'close')
  assert.equal(await pool.take(), alive)
  const many = Array.from({ length: WORK_POOL_MAX + 1 }, () => new PassThrough())
  for (const stream of many) pool.add(stream)
  assert.deepEqual(
    many.map(({ destroyed }) => destroyed),
    many.map((_, at) => at === WORK_POOL_MAX),
  )
})

test('a user for whom no work connection comes in time gets none, and takes none from the next user', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const { pool } = start()
  const late = pool.take()
  t.mock.timers.tick(RELAY_USER_TIMEOUT_MS - 1)
  const next = pool.take()
  t.mock.timers.tick(1)
  assert.equal(await late, undefined)
  const stream = new PassThrough()
  pool.add(stream)
  assert.equal(await next, stream)
})

test('at its end the pool closes what waits for a user, and lets go the users that wait', async () => {
  const { pool } = start()
  const waiting = pool.take()
  pool.close()
  assert.equal(await waiting, undefined)
  const stream = new PassThrough()
  pool.add(stream)
  pool.close()
  assert.ok(stream.destroyed)
})
