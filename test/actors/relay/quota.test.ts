import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createRelayQuota, type RelayLimits } from '../../../actors/relay/quota.ts'

const limits: RelayLimits = {
  ports: { from: 1, to: 1_033 },
  portsPerClient: 3,
  connectionsPerClient: 2,
  loginsPerClient: 1,
  logins: 2,
  pairsPerClient: 2,
  pairs: 2,
  bytesPerSecond: 1_000_000,
}
const isOwn = (port: number) => port === 1_025

test('a port is refused below 1024 whatever the range, outside of it, if it is the own one, and while it is lent', () => {
  const quota = createRelayQuota(limits, isOwn)
  for (const port of [1, 22, 1_023, 1_025, 1_034, 2_375, 65_535])
    assert.throws(() => quota.takePort('a', 'tcp', port), { message: 'port not allowed' }, String(port))
  const { release } = quota.takePort('a', 'tcp', 1_024)
  assert.throws(() => quota.takePort('b', 'tcp', 1_024), { message: 'port already used' })
  assert.equal(quota.takePort('b', 'udp', 1_024).port, 1_024)
  release()
  assert.equal(quota.takePort('b', 'tcp', 1_024).port, 1_024)
  // The second call must not free what is somebody else's by now.
  release()
  assert.throws(() => quota.takePort('a', 'tcp', 1_024), { message: 'port already used' })
})

test('a port that the relay chooses is free, not the own one, and there is none when all are lent', () => {
  const quota = createRelayQuota(limits, isOwn)
  const chosen = Array.from({ length: 9 }, (_, client) => quota.takePort(`client ${client}`, 'tcp', 0).port)
  assert.deepEqual(
    chosen.sort((one, other) => one - other),
    [1_024, 1_026, 1_027, 1_028, 1_029, 1_030, 1_031, 1_032, 1_033],
  )
  assert.throws(() => quota.takePort('last', 'tcp', 0), { message: 'no available port' })
  const none = createRelayQuota({ ...limits, ports: { from: 3_000, to: 2_000 } }, isOwn)
  assert.throws(() => none.takePort('a', 'tcp', 0), { message: 'no available port' })
})

test('each client has its own number of ports, connections and logins, and what is released is free again', () => {
  const quota = createRelayQuota(limits, isOwn)
  const [first] = [1, 2, 3].map(() => quota.takePort('a', 'tcp', 0))
  assert.throws(() => quota.takePort('a', 'udp', 0), { message: 'exceed the max_ports_per_client' })
  assert.ok(quota.takePort('b', 'tcp', 0))
  first?.release()
  assert.ok(quota.takePort('a', 'tcp', 0))

  const [user, other] = [quota.takeConnection('a'), quota.takeConnection('a')]
  assert.ok(user && other && quota.takeConnection('b'))
  assert.equal(quota.takeConnection('a'), undefined)
  user()
  user()
  assert.ok(quota.takeConnection('a'))
  assert.equal(quota.takeConnection('a'), undefined)

  const login = quota.takeLogin('a')
  assert.equal(quota.takeLogin('a'), undefined)
  assert.ok(login && quota.takeLogin('b'))
  assert.equal(quota.takeLogin('c'), undefined)
  login()
  assert.ok(quota.takeLogin('c'))
})

test('halves of blind pairs are counted for each client and in all, and given back once', () => {
  const quota = createRelayQuota(limits, isOwn)
  const first = quota.takePair('a')
  assert.ok(first && quota.takePair('a'))
  assert.equal(quota.takePair('a'), undefined)
  assert.ok(quota.takePair('b') && quota.takePair('b'))
  assert.equal(quota.takePair('c'), undefined)
  first()
  first()
  assert.ok(quota.takePair('c'))
  assert.equal(quota.takePair('c'), undefined)
})
