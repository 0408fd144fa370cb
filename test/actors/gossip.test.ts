import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { createGossip } from '../../actors/gossip.ts'
import { loadIdentity } from '../../actors/identity.ts'
import { openStore } from '../../actors/store.ts'
import { supervise } from '../../actors/supervise.ts'
import { createBus } from '../../protocol/bus.ts'
import { emptyGossip, gossipFile } from '../../protocol/files/gossip.ts'
import type { BusEvent } from '../../protocol/index.ts'
import { parseEndpoints } from '../../protocol/net/endpoint.ts'
import { nextEvent, record } from '../support/harness.ts'

async function gossipFixture(context: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), 'p2prc-gossip-'))
  context.after(() => rm(folder, { recursive: true }))
  const identity = await loadIdentity({ key: join(folder, 'key'), publicKey: join(folder, 'key.pub') }, 'me')
  const store = await openStore(join(folder, 'gossip.json'), { schema: gossipFile, empty: emptyGossip, indent: ' ' })
  const bus = createBus<BusEvent>()
  const events = record(bus)
  const supervised = supervise(createGossip({ identity, store }), { bus })
  context.after(() => supervised.stop())
  const signed = () => events.flatMap((event) => (event.type === 'record.ownSigned' ? [event.record] : []))
  return { bus, events, store, supervised, signed, identity }
}

test('gossip begins with what the table has said of this node, and says that it has begun', async (context) => {
  const { bus, events, supervised, signed, identity } = await gossipFixture(context)
  bus.publish({ type: 'table.selfAddressesChanged', endpoints: parseEndpoints(['93.184.1.1:8088']), port: 8_088 })
  supervised.start()
  const [own, ...more] = signed()
  assert.deepEqual([own?.id, own?.endpoints, own?.port, own?.seq], [identity.id, ['93.184.1.1:8088'], 8_088, 1])
  assert.equal(more.length, 0)
  assert.deepEqual(
    events.map(({ type }) => type),
    ['table.selfAddressesChanged', 'record.ownSigned', 'gossip.started'],
  )
})

test('a life signs nothing under a seq that an earlier one may have used, on the disk or not', async (context) => {
  const { bus, store, supervised, signed, identity } = await gossipFixture(context)
  await store.write({ ...store.data, seq: 7 })
  supervised.start()
  const [first] = signed()
  assert.ok(first)
  assert.equal(first.seq, 8)
  supervised.stop()
  const next = supervise(createGossip({ identity, store }), { bus })
  context.after(() => next.stop())
  // The crashed life signed this one, and the disk has not taken its seq yet.
  bus.publish({ type: 'record.ownSigned', record: { ...first, seq: 40 }, signed: { text: '', signature: '' } })
  next.start()
  assert.equal(signed().at(-1)?.seq, 41)
})

test('the free text and the seq do not overwrite each other in the file', async (context) => {
  const { bus, store, supervised } = await gossipFixture(context)
  supervised.start()
  const described = nextEvent(bus, 'record.described')
  const seq = store.update((data) => ({ ...data, seq: 9 }))
  bus.publish({ type: 'record.describe', requestId: 'r', caller: 'owner', text: 'a GPU' })
  await Promise.all([described, seq])
  assert.deepEqual([store.data.seq, store.data.customInformation], [9, 'a GPU'])
})
