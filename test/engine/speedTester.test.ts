import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { speedTest } from '../../bench/speed.ts'
import { homeTransport } from '../../cli/homeTransport.ts'
import { connect } from '../../client/client.ts'
import { listPeers } from '../../client/peers.ts'
import type { Machine } from '../support/namespaces.ts'
import { iperf, makeLink } from '../support/shapedLink.ts'

/** Starts two nodes on one wire; the first one may measure the second. */
async function twoNodes(t: TestContext): Promise<{ here: Machine; there: Machine; limit: (mbit: number) => void }> {
  const link = makeLink()
  t.after(() => link.close())
  const [here, there] = link.machines as [Machine, Machine]
  await Promise.all([here.startNode(), there.startNode()])
  const { key } = await here.p2prc<{ key: string }>('id')
  await there.p2prc('trust', 'add', key)
  return { here, there, limit: link.limit }
}

test('under a token bucket of 50 Mbit/s: as iperf3 within 5 %, 3 s a direction, kept in the table', async (t) => {
  const { here, there, limit } = await twoNodes(t)
  limit(50)
  const { download, upload } = await speedTest(here, there)
  const baselines = { download: await iperf(here, there, 3), upload: await iperf(there, here, 3) }
  for (const [name, { mbps, ms }] of Object.entries({ download, upload })) {
    const ratio = mbps / baselines[name as keyof typeof baselines]
    assert.ok(ratio >= 0.95 && ratio <= 1.05, `${name}: ${mbps} Mbit/s is ${ratio} of iperf3's`)
    assert.ok(ms <= 3_000, `${name} took ${ms} ms`)
  }
  // The crawl writes the table before it answers.
  process.env.P2PRC = here.home
  const client = connect({ transport: homeTransport() })
  await client.request({ type: 'table.update', hops: 1 }).answer
  const { peers } = await listPeers(client)
  assert.deepEqual(
    peers.map((peer) => peer.download),
    [download.mbps],
  )
  const path = join(here.home, 'p2p/iptable/ip_table.json')
  const [entry] = JSON.parse(readFileSync(path, 'utf8')).ip_address
  assert.deepEqual([entry.Download, entry.Upload], [download.mbps, upload.mbps])
  assert.ok(Number.isSafeInteger(entry.Latency) && entry.Latency > 0, 'nanoseconds')
})
