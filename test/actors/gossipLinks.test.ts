import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { add, merged, pair } from '../support/gossipPeers.ts'
import { nextEvent } from '../support/harness.ts'
import { nodeHere, peersOf, request } from '../support/inProcess.ts'
import { temporaryHome } from '../support/processes.ts'

test('adding a node opens a link, and both tables list the other node with its hardware', async (t) => {
  const [one, other] = await pair(t)
  for (const [node, peer] of [
    [one, other],
    [other, one],
  ] as const) {
    const [found, ...more] = await peersOf(node)
    assert.deepEqual([found?.id, more.length], [peer.identity.id, 0])
    assert.ok(found?.endpoints.some(({ port }) => port === peer.port))
  }
  const [row] = await peersOf(one)
  assert.ok(row?.machine && row.machine.cores > 0 && row.machine.ramMiB > 0)
})

test("an owner's text reaches nodes without a link to that node, and survives a restart", async (t) => {
  const [first, middle] = await pair(t)
  const home = temporaryHome()
  const last = await nodeHere(t, home)
  const known = merged(first, last.identity.id)
  await add(last, middle)
  await known
  const text = 'GPU box, ask before use\n"quoted" \\ ünïcödé 🖥'
  const arrived = merged(first, last.identity.id, ({ customInformation }) => customInformation === text)
  assert.equal((await request(last, { type: 'record.describe', text })).text, text)
  const { seq } = (await arrived).record
  const row = (await peersOf(first)).find(({ id }) => id === last.identity.id)
  assert.match(row?.information ?? '', /^GPU box/)
  await last.stop()
  const again = merged(first, last.identity.id, (record) => record.seq > seq && record.customInformation === text)
  await nodeHere(t, home)
  await again
})

test('a node that stops sends a farewell and is removed at once', async (t) => {
  const [one, other] = await pair(t)
  const gone = nextEvent(one.bus, 'peer.gone', ({ peer }) => peer.id === other.identity.id)
  await other.stop()
  await gone
  assert.deepEqual(await peersOf(one), [])
})

test('a node learns from its peer the address at which it appears', async (t) => {
  const one = await nodeHere(t)
  const other = await nodeHere(t)
  const seen = nextEvent(one.bus, 'gossip.selfAddressObserved', ({ by }) => by === other.identity.id)
  await add(one, other)
  assert.match((await seen).address, /^127\.0\.0\.1:\d+$/)
})

test('a damaged table is quarantined, and its peers return by gossip', async (t) => {
  const home = temporaryHome()
  const first = await nodeHere(t, home)
  const other = await nodeHere(t)
  const known = Promise.all([merged(first, other.identity.id), merged(other, first.identity.id)])
  await add(first, other)
  await known
  await first.stop()
  const path = join(home.P2PRC as string, 'p2p/iptable/ip_table.json')
  const written = readFileSync(path, 'utf8')
  writeFileSync(path, written.slice(0, written.length - 9))
  const again = await nodeHere(t, home)
  const { record } = await merged(again, other.identity.id)
  assert.equal(record.id, other.identity.id)
  assert.equal((await peersOf(again))[0]?.id, other.identity.id)
})
