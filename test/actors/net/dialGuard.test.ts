import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createDialGuard } from '../../../actors/net/dialGuard.ts'
import { PROBE } from '../../../protocol/defaults/ipTable.ts'
import { directEndpoint, type Endpoint } from '../../../protocol/net/endpoint.ts'
import { nextTick } from '../../support/harness.ts'

const at = (host: string, port = 8_088) => directEndpoint({ host, port })
const isSelf = ({ host, port }: Endpoint) => host === '10.0.0.9' && port === 8_088
const unknown = () => Promise.reject(new Error('no resolver here'))

test('an address of an anonymous caller is refused by the address that would be dialled, not by its name', async () => {
  const names: Record<string, string[]> = {
    'inside.example': ['127.0.0.1'],
    'metadata.example': ['169.254.169.254'],
    'mapped.example': ['::ffff:127.0.0.1'],
    'me.example': ['10.0.0.9'],
    'good.example': ['10.0.0.5'],
  }
  const guard = createDialGuard({ test: false, isSelf, resolve: async (name) => names[name] ?? [] })
  for (const host of [
    'inside.example',
    'metadata.example',
    'mapped.example',
    'me.example',
    '127.0.0.1',
    'fe80::1',
    '10.0.0.9',
  ]) {
    await assert.rejects(guard.authorize(at(host)), { code: 'not_dialled' }, host)
  }
  await assert.rejects(guard.authorize(at('10.0.0.5', 22)), { code: 'not_dialled' })
  await assert.rejects(guard.authorize(at('nobody.example')), { code: 'not_found' })
  assert.deepEqual(await guard.authorize(at('good.example')), at('10.0.0.5'))
})

test('an address where a node proved its key is dialled at any rate, but not in a range that callers may not name', async () => {
  const guard = createDialGuard({ test: false, isSelf, resolve: unknown })
  for (const host of ['127.0.0.1', '::1', '169.254.1.1', '10.0.0.5']) guard.markProved(at(host))
  for (const host of ['127.0.0.1', '::1', '169.254.1.1'])
    await assert.rejects(guard.authorize(at(host)), { code: 'not_dialled' }, host)
  for (const _ of [1, 2]) assert.deepEqual(await guard.authorize(at('10.0.0.5')), at('10.0.0.5'))
})

test('a name is resolved once, so that the checked address is the dialled one', async () => {
  let lookups = 0
  const flipping = async () => {
    lookups += 1
    return [lookups === 1 ? '10.0.0.5' : '127.0.0.1']
  }
  const guard = createDialGuard({ test: false, isSelf, resolve: flipping })
  assert.deepEqual(await guard.authorize(at('flips.example')), at('10.0.0.5'))
  assert.equal(lookups, 1)
  await assert.rejects(guard.authorize(at('flips.example', 8_089)), { code: 'not_dialled' })
})

test('one address is dialled once in 30 s, under any name and spelling', async () => {
  let time = 0
  const guard = createDialGuard({ test: false, isSelf, resolve: async () => ['fd00::5'], now: () => time })
  await guard.authorize(at('fd00::5'))
  for (const host of ['fd00::5', 'FD00:0::5', 'alias.example']) {
    await assert.rejects(guard.authorize(at(host)), { code: 'dialled_lately' }, host)
  }
  await guard.authorize(at('fd00::5', 8_089))
  time += PROBE.intervalMs
  await guard.authorize(at('fd00::5'))
})

test('at most ten dials start in any second, and an aborted one leaves the queue', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'], now: 1_000_000 })
  const guard = createDialGuard({ test: false, isSelf, resolve: unknown, now: Date.now })
  const times: number[] = []
  const leave = new AbortController()
  await guard.authorize(at('10.1.0.200')).then(() => times.push(Date.now()))
  // The seconds are counted from every dial, not from the first.
  t.mock.timers.tick(900)
  const queued = Array.from({ length: 25 }, (_, index) =>
    guard.authorize(at(`10.1.0.${index}`)).then(() => times.push(Date.now())),
  )
  const left = assert.rejects(guard.authorize(at('10.1.1.1'), { signal: leave.signal }), { code: 'abandoned' })
  leave.abort()
  await left
  const all = Promise.all(queued)
  while (times.length <= queued.length && Date.now() < 1_010_000) {
    t.mock.timers.tick(10)
    await nextTick()
  }
  await all
  for (const [index, time] of times.entries()) {
    const tenth = times[index + PROBE.dialsPerSecond]
    if (tenth !== undefined) assert.ok(tenth - time >= 1_000, `${tenth - time} ms`)
  }
  assert.ok((times.at(-1) as number) - (times[1] as number) < 2_200, 'and no fewer than ten')
})

test('an address that the owner named is dialled without delay, but this node never', async () => {
  const guard = createDialGuard({ test: false, isSelf, resolve: unknown })
  for (let dial = 0; dial < 50; dial += 1)
    assert.deepEqual(await guard.authorize(at('127.0.0.1'), { trusted: true }), at('127.0.0.1'))
  await assert.rejects(guard.authorize(at('10.0.0.9'), { trusted: true }), { code: 'not_dialled' })
})
