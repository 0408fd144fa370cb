import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { connect } from '../../client/client.ts'
import { controlSocket } from '../../client/controlSocket.ts'
import { controlSocketPath } from '../../client/home.ts'
import { listPeers } from '../../client/peers.ts'
import type { ReceivedFact } from '../../client/transport.ts'
import { PEERS_MAX, TABLE_PAGE_MAX_CHARS } from '../../protocol/defaults/ipTable.ts'
import { configuredHome, launched } from '../support/cliHomes.ts'
import { command, lines } from '../support/httpHarness.ts'
import { freePort, p2prc, p2prcJson, startNode } from '../support/processes.ts'

/**
 * A large table through the real command line, each peer with 2 kB of free text. Even 1,100 such peers are more than one
 * message may hold; `npm run soak -- largeTable` takes as many as a table holds.
 */

const PEERS = process.env.P2PRC_SOAK ? PEERS_MAX : 1_200

const TEXT = 'free text '.repeat(205)

/** Creates a home with a full table. Nothing listens at `port`, so that a dial of a peer ends at once. */
async function fullHome(port: number, change: object = {}) {
  const env = await configuredHome({ Test: true, ...change })
  const path = join(env.P2PRC, 'p2p/iptable/ip_table.json')
  const entries = Array.from({ length: PEERS }, (_, index) => ({
    Name: `peer-${index}`,
    IPV4: `127.${1 + (index >> 8)}.${index & 255}.1`,
    ServerPort: String(port),
    Latency: (PEERS - index) * 1_000_000,
    CustomInformation: TEXT,
    Trusted: [`127.${1 + (index >> 8)}.${index & 255}.1:${port}`],
  }))
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, JSON.stringify({ ip_address: entries }))
  return env
}

interface Document {
  ip_address: { Name: string; CustomInformation: string }[]
}

function assertFull({ ip_address: entries }: Document, what: string): void {
  assert.equal(entries.length, PEERS, what)
  assert.equal(new Set(entries.map(({ Name }) => Name)).size, PEERS, what)
  assert.ok(
    entries.every(({ CustomInformation }) => CustomInformation === TEXT),
    what,
  )
}

test('without a node: ls lists a full table, the nearest first, and update crawls it', async () => {
  const env = await fullHome(await freePort())
  const listed: Document = await p2prcJson(env, 'ls')
  assertFull(listed, 'ls --json')
  assert.equal(listed.ip_address[0]?.Name, `peer-${PEERS - 1}`)
  const plain = await p2prc(env, '--ls')
  assert.equal(plain.code, 0, plain.stderr)
  assertFull(JSON.parse(plain.stdout), '--ls')
  const updated = await p2prc(env, 'update', '--hops', '1')
  assert.equal(updated.code, 0, updated.stderr.slice(-500))
  assert.ok(JSON.parse(updated.stdout).ip_address.length > 0)
})

test('with a node: ls, ls --watch and group create --nearest work on a full table, in messages of bounded size', async (t) => {
  const env = await fullHome(await freePort())
  await startNode(t, env)
  assertFull(await p2prcJson(env, 'ls'), 'ls --json')
  const watching = launched(t, env, 'ls', '--watch', '--json')
  await watching.printed(/^\{"ip_address":\[[^\n]+\]\}\n/m)
  watching.child.kill('SIGINT')
  assert.equal(await watching.ended, 130)
  const [line] = watching.text.split('\n').filter((each) => each.startsWith('{"ip_address"'))
  assert.equal(JSON.parse(line ?? '').ip_address.length, PEERS)
  const few = await p2prc(env, 'group', 'create', '--nearest', '1')
  assert.deepEqual([few.code, few.stdout], [3, ''], few.stderr.slice(-500))
  assert.match(few.stderr, /Only 0 of the 1 requested machines answer/)

  const socket = controlSocketPath(env)
  const facts = lines(await command(socket, { type: 'peer.list' }))
  assert.equal(facts.at(-1)?.type, 'peer.listed')
  assert.equal(
    facts.at(-1)?.count,
    facts.slice(0, -1).reduce((sum, { peers }) => sum + (peers as []).length, 0),
  )
  for (const fact of facts) assert.ok(JSON.stringify(fact).length < 2 * TABLE_PAGE_MAX_CHARS)
})

test('a slow reader of a full table gets all of it, and the events of the node are not flooded with it', async (t) => {
  const env = await fullHome(await freePort())
  await startNode(t, env)
  const client = connect({ transport: controlSocket({ path: controlSocketPath(env) }) })
  t.after(() => client.close())
  const events: ReceivedFact[] = []
  const watching = (async () => {
    for await (const event of client.events()) events.push(event as unknown as ReceivedFact)
  })().catch(() => {})
  const request = client.request({ type: 'peer.list' })
  let count = 0
  for await (const fact of request) {
    if (fact.type !== 'peer.page') continue
    count += fact.peers.length
    // Whoever reads one page in the time of two other requests lets more wait than a connection holds.
    await client.request({ type: 'node.show' }).answer
  }
  assert.equal(count, PEERS)
  assert.deepEqual(await listPeers(client).then(({ peers }) => peers.length), PEERS)
  client.close()
  await watching
  assert.ok(events.every((event) => JSON.stringify(event).length < TABLE_PAGE_MAX_CHARS))
})
