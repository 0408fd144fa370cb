import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { alternateFamilies, DialError, preferIPv6, race } from '../../../actors/net/race.ts'
import { DIAL } from '../../../protocol/defaults/net.ts'
import { AppError } from '../../../protocol/errors.ts'
import { directEndpoint, type Endpoint, formatEndpoint, parseEndpoints } from '../../../protocol/net/endpoint.ts'
import { endpointList } from '../../../protocol/net/endpointSchema.ts'
import { nextTick } from '../../support/harness.ts'

const endpoints = (...texts: string[]) => parseEndpoints(texts)
const hosts = (list: readonly Endpoint[]) => list.map(({ host }) => host)

/** Starts a race on a fake clock, whose attempts the test completes. */
function start(t: TestContext, endpoints: readonly Endpoint[], signal?: AbortSignal) {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const started: string[] = []
  const aborted: string[] = []
  const discarded: string[] = []
  const running = new Map<string, { win(): void; fail(why?: string): void }>()
  const attempt = ({ host }: Endpoint, attemptSignal: AbortSignal) =>
    new Promise<string>((resolve, reject) => {
      started.push(host)
      attemptSignal.addEventListener('abort', () => aborted.push(host))
      const fail = (why = 'no') => reject(new AppError('unreachable', { where: host, why }))
      running.set(host, { win: () => resolve(host), fail })
    })
  const discard = (host: string) => discarded.push(host)
  const outcome = race(endpoints, attempt, { where: 'friend', signal, discard })
  const pass = async (ms: number) => {
    t.mock.timers.tick(ms)
    await nextTick()
  }
  const end = async (host: string, how: 'win' | 'fail', why?: string) => {
    running.get(host)?.[how](why)
    await nextTick()
  }
  return { outcome, started, aborted, discarded, pass, end }
}

test('the next attempt starts every 250 ms, in the given order, and the first that succeeds ends the others', async (t) => {
  const { outcome, started, aborted, discarded, pass, end } = start(t, endpoints('10.0.0.1', '10.0.0.2', '10.0.0.3'))
  assert.deepEqual(started, ['10.0.0.1'])
  await pass(DIAL.staggerMs - 1)
  assert.deepEqual(started, ['10.0.0.1'])
  await pass(1)
  assert.deepEqual(started, ['10.0.0.1', '10.0.0.2'])
  await end('10.0.0.2', 'win')
  const { endpoint, result } = await outcome
  assert.deepEqual([endpoint.host, result], ['10.0.0.2', '10.0.0.2'])
  assert.deepEqual(aborted.sort(), ['10.0.0.1', '10.0.0.2'])
  await pass(10 * DIAL.staggerMs)
  assert.deepEqual(started, ['10.0.0.1', '10.0.0.2'], 'nothing starts after the end')
  await end('10.0.0.1', 'win')
  assert.deepEqual(discarded, ['10.0.0.1'], 'one that succeeds too late is closed')
})

test('a failure starts the next attempt at once, which then has its own 250 ms', async (t) => {
  const { outcome, started, pass, end } = start(t, endpoints('10.0.0.1', '10.0.0.2', '10.0.0.3'))
  await pass(200)
  await end('10.0.0.1', 'fail')
  assert.deepEqual(started, ['10.0.0.1', '10.0.0.2'])
  await pass(DIAL.staggerMs - 1)
  assert.equal(started.length, 2)
  await pass(1)
  assert.equal(started.length, 3)
  await end('10.0.0.3', 'win')
  assert.equal((await outcome).endpoint.host, '10.0.0.3')
})

test('when all fail, one error names each endpoint and why', async (t) => {
  const { outcome, end } = start(t, endpoints('10.0.0.1:1', '[fd00::2]:2'))
  const failed = outcome.catch((error) => error)
  await end('10.0.0.1', 'fail', 'nothing listens there')
  await end('fd00::2', 'fail', 'there is no way to that network')
  const error: DialError = await failed
  assert.ok(error instanceof DialError && error instanceof AppError)
  assert.equal(error.code, 'unreachable')
  assert.match(
    error.message,
    /^friend cannot be reached: 10\.0\.0\.1:1: .*nothing listens there; \[fd00::2\]:2: .*network\./,
  )
  assert.deepEqual(
    error.attempts.map(({ endpoint }) => formatEndpoint(endpoint)),
    ['10.0.0.1:1', '[fd00::2]:2'],
  )
})

test('one failed endpoint gives its own error; no endpoint is an error at once', async (t) => {
  const one = start(t, endpoints('10.0.0.1'))
  const failed = one.outcome.catch((error) => error)
  await one.end('10.0.0.1', 'fail', 'nothing listens there')
  assert.match((await failed).message, /^10\.0\.0\.1 cannot be reached: nothing listens there\./)
  t.mock.timers.reset()
  await assert.rejects(start(t, []).outcome, {
    code: 'unreachable',
    message: /friend cannot be reached: it has no endpoint/,
  })
})

test('of a hundred endpoints no more are tried than one peer may have, and the error says so', async (t) => {
  const hundred = Array.from({ length: 100 }, (_, index) => directEndpoint({ host: `10.0.0.${index}`, port: 1 }))
  const { outcome, started, end } = start(t, hundred)
  const failed = outcome.catch((error) => error)
  for (const { host } of hundred) await end(host, 'fail')
  assert.equal(started.length, DIAL.maxEndpoints)
  assert.match((await failed).message, /84 more endpoints were not tried/)
})

test('an abort ends the attempts before and during the race; a deadline is timed_out', async (t) => {
  const before = start(t, endpoints('10.0.0.1'), AbortSignal.abort())
  await assert.rejects(before.outcome, { code: 'abandoned' })
  assert.deepEqual(before.started, [])
  t.mock.timers.reset()
  for (const [reason, code] of [
    [undefined, 'abandoned'],
    [new DOMException('late', 'TimeoutError'), 'timed_out'],
  ] as const) {
    const controller = new AbortController()
    const { outcome, aborted, discarded, pass, end, started } = start(
      t,
      endpoints('10.0.0.1', '10.0.0.2'),
      controller.signal,
    )
    controller.abort(reason)
    await assert.rejects(outcome, { code })
    assert.deepEqual(aborted, ['10.0.0.1'])
    await pass(DIAL.staggerMs)
    assert.equal(started.length, 1)
    await end('10.0.0.1', 'win')
    assert.deepEqual(discarded, ['10.0.0.1'])
    t.mock.timers.reset()
  }
})

test('families alternate, and IPv6 leads without a history', () => {
  const list = endpoints('10.0.0.1', '10.0.0.2', '10.0.0.3', 'fd00::1', 'fd00::2')
  assert.deepEqual(hosts(alternateFamilies(preferIPv6(list))), [
    'fd00::1',
    '10.0.0.1',
    'fd00::2',
    '10.0.0.2',
    '10.0.0.3',
  ])
  assert.deepEqual(hosts(alternateFamilies(list)), ['10.0.0.1', 'fd00::1', '10.0.0.2', 'fd00::2', '10.0.0.3'])
  assert.deepEqual(alternateFamilies([]), [])
})

test('an endpoint of an unknown kind is skipped, as text and as data, and the rest of the list is used', () => {
  const known = directEndpoint({ host: '10.0.0.1', port: 8_088 })
  assert.deepEqual(parseEndpoints(['relayed://relay.example/x', '10.0.0.1', 'quic+x://a', '10.0.0.1:99999']), [known])
  assert.deepEqual(endpointList(2).parse([{ kind: 'onion', by: 'x' }, known]), [known])
  for (const broken of [[{ kind: 'direct', host: '' }], [{ host: '10.0.0.1', port: 1 }], 'x', [null]])
    assert.equal(endpointList(2).safeParse(broken).success, false, JSON.stringify(broken))
})
