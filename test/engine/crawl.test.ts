import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { after, type TestContext, test } from 'node:test'
import { homeTransport } from '../../cli/homeTransport.ts'
import { type Client, connect } from '../../client/client.ts'
import { listPeers } from '../../client/peers.ts'
import { type RunningNode, startNode, temporaryHome } from '../support/processes.ts'

/** These tests use real nodes on loopback, which P2PRC's `Test` option allows as a network. */

/** Facts of a single command that do not fit their schemas. */
const misfits: string[] = []
process.on('warning', ({ message }) => {
  if (message.startsWith('on the bus')) misfits.push(message)
})
after(() => assert.deepEqual(misfits, []))

interface Home {
  env: NodeJS.ProcessEnv
  table: string
}

interface Neighbour extends Home {
  node: RunningNode
}

function home(): Home {
  const env: NodeJS.ProcessEnv = { ...temporaryHome(), DOCKER_HOST: 'unix:///nonexistent/docker.sock' }
  const folder = env.P2PRC as string
  writeFileSync(join(folder, 'config.json'), '{"Test": true}')
  return { env, table: join(folder, 'p2p/iptable/ip_table.json') }
}

async function neighbour(t: TestContext): Promise<Neighbour> {
  const its = home()
  return { ...its, node: await startNode(t, its.env) }
}

/**
 * Returns the client of a home's owner, for one request after another, because the home is found by the environment.
 */
function owner({ env }: Home): Client {
  process.env.P2PRC = env.P2PRC
  return connect({ transport: homeTransport() })
}

const add = (of: Home, other: Neighbour) =>
  owner(of).request({ type: 'peer.add', where: other.node.where, replace: false }).answer

const portsOf = (peers: readonly { endpoints: { port: number }[] }[]) =>
  peers.map(({ endpoints }) => endpoints[0]?.port).sort()

/** Lists the peers of a node again and again until they are as expected. */
async function until(of: Neighbour, isWanted: (ports: (number | undefined)[]) => boolean): Promise<void> {
  const deadline = performance.now() + 60_000
  for (;;) {
    const { peers } = await listPeers(owner(of))
    const answering = peers.filter(({ state, id }) => state === 'answering' && id)
    if (isWanted(portsOf(answering))) return
    assert.ok(
      performance.now() < deadline,
      `it knows ${JSON.stringify(peers.map(({ endpoints, state }) => [endpoints, state]))}`,
    )
  }
}

test('a node discovers a third one through the second, with its latency and key, in the necessary number of hops', async (t) => {
  const [second, third] = [await neighbour(t), await neighbour(t)]
  await add(second, third)
  await owner(second).request({ type: 'table.update', hops: 1 }).answer
  // This home has no running node, so no peer knows it or can tell it about the third node before it crawls.
  const first = home()
  const update = async (hops: number) => {
    const crawled: number[] = []
    const request = owner(first).request({ type: 'table.update', hops })
    for await (const fact of request) if (fact.type === 'table.progress') crawled.push(fact.hop)
    await request.answer
    const { peers } = await listPeers(owner(first))
    return { crawled, peers }
  }
  await add(first, second)
  const one = await update(1)
  assert.deepEqual([portsOf(one.peers), one.crawled], [[second.node.port], [1]])
  const two = await update(2)
  assert.deepEqual([portsOf(two.peers), two.crawled], [[second.node.port, third.node.port].sort(), [1, 2]])
  for (const { id, state, latencyNs } of two.peers) {
    assert.match(id ?? '', /^SHA256:/)
    assert.equal(state, 'answering')
    assert.ok(Number.isSafeInteger(latencyNs) && Number(latencyNs) > 0)
  }
  const written = JSON.parse(readFileSync(first.table, 'utf8')).ip_address
  assert.deepEqual(
    written.map(({ Latency }: { Latency: unknown }) => Number.isSafeInteger(Latency)),
    [true, true],
  )
  // A visited node learns about the crawling node.
  const { port } = await startNode(t, first.env)
  await owner(first).request({ type: 'table.update', hops: 1 }).answer
  await until(third, (ports) => ports.includes(port))
})

test('a node measures its peers in the background without a command', async (t) => {
  const [first, second] = [await neighbour(t), await neighbour(t)]
  await add(first, second)
  const deadline = performance.now() + 60_000
  for (;;) {
    const { peers } = await listPeers(owner(first))
    if (peers[0]?.latencyNs) break
    assert.ok(performance.now() < deadline, JSON.stringify(peers))
  }
})

test('a half-written table is quarantined, reported, and rebuilt from the peers in its readable part', async (t) => {
  const [first, second, third] = [await neighbour(t), await neighbour(t), await neighbour(t)]
  for (const other of [second, third]) await add(first, other)
  await owner(first).request({ type: 'table.update', hops: 1 }).answer
  await first.node.stop()
  const whole = readFileSync(first.table, 'utf8')
  truncateSync(first.table, whole.length - 100)
  const again = { ...first, node: await startNode(t, first.env) }
  await again.node.printed(/quarantined/)
  assert.ok(readdirSync(dirname(first.table)).some((name) => name.includes('.damaged-')))
  await until(again, (ports) => ports.length >= 1)
  // The node of the torn entry comes back with the next table that this node receives.
  await add(second, third)
  await owner(again).request({ type: 'table.update', hops: 3 }).answer
  await owner(second).request({ type: 'table.update', hops: 1 }).answer
  await owner(again).request({ type: 'table.update', hops: 3 }).answer
  await until(again, (ports) => ports.includes(second.node.port) && ports.includes(third.node.port))
})

test('a table with no readable part is rebuilt when a peer crawls this node', async (t) => {
  const [first, second] = [await neighbour(t), await neighbour(t)]
  await add(second, first)
  await owner(second).request({ type: 'table.update', hops: 1 }).answer
  await first.node.stop()
  mkdirSync(dirname(first.table), { recursive: true })
  writeFileSync(first.table, '{"ip_address":[{"Na')
  const again = { ...first, node: await startNode(t, first.env) }
  await again.node.printed(/quarantined/)
  await owner(second).request({ type: 'peer.add', where: again.node.where, replace: false }).answer
  await owner(second).request({ type: 'table.update', hops: 1 }).answer
  await until(again, (ports) => ports.includes(second.node.port))
})
