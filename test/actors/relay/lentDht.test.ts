import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import HyperDht from 'hyperdht'
import { seedOf } from '../../../actors/net/punched/nodeKeys.ts'
import { blindClient } from '../../support/blindClient.ts'
import { newIdentity } from '../../support/httpHarness.ts'
import { nodeHere, request } from '../../support/inProcess.ts'
import { until } from '../../support/lender.ts'

const folder = mkdtempSync(join(tmpdir(), 'p2prc-lent-dht-'))

/** How many processes of the DHT this one has started. */
function children(): number {
  const ids = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').trim().split(' ').filter(Boolean)
  return ids.filter((id) => readFileSync(`/proc/${id}/cmdline`, 'utf8').includes('relayDhtProcess')).length
}

test('the UDP ports open at the first request; the owner sees whose streams go through them, and ends them', async (t) => {
  const node = await nodeHere(t)
  assert.equal(children(), 0)
  const { host, port } = await request(node, { type: 'relay.openDht' })
  assert.equal(host, '127.0.0.1')
  assert.equal(children(), 1)
  assert.equal((await request(node, { type: 'relay.openDht' })).port, port)
  assert.equal(children(), 1)

  const [alice, bob] = await Promise.all([newIdentity(folder, 'alice'), newIdentity(folder, 'bob')])
  const key = HyperDht.keyPair(seedOf(node.identity)).publicKey
  const ends = await Promise.all([alice, bob].map((one) => blindClient(HyperDht.keyPair(seedOf(one)), port)))
  t.after(() => Promise.all(ends.map((end) => end.close())))
  await Promise.all(ends.map((end) => end.open(key)))
  const ports = async () => (await request(node, { type: 'relay.list' })).ports
  await until(async () => (await ports()).length === 2)
  assert.deepEqual(
    (await ports()).map((row: Record<string, unknown>) => [row.name, row.protocol, row.port, row.connections]),
    [
      ['punched', 'udp', port, 1],
      ['punched', 'udp', port, 1],
    ],
  )
  await request(node, { type: 'relay.close', which: alice.id })
  await until(async () => (await ports()).length === 1)
  assert.equal((await ports())[0].client, bob.id)
})
