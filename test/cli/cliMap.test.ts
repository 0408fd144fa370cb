import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { configuredHome, launched } from '../support/cliHomes.ts'
import { findingsOf, p2prc, p2prcJson, startNode } from '../support/processes.ts'

/** Ports that are shown through relays, through the real command line and between real nodes. */

const loopback = { Test: true }

async function service(t: TestContext): Promise<number> {
  const server = createServer((_request, response) => response.end('hello')).listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

const fetchFrom = async ({ host, port }: { host: string; port: number }) =>
  (await fetch(`http://${host}:${port}/`)).text()

test('map right after start waits until a relay is known, and says so', async (t) => {
  const [here, friend] = [await configuredHome(loopback), await configuredHome(loopback)]
  await startNode(t, here)
  const port = await service(t)
  const mapping = launched(t, here, 'map', String(port), '--json')
  await mapping.printed(/"port\.progress".*No node is known yet/)
  const relay = await startNode(t, friend)
  await p2prcJson(here, 'add', relay.where)
  await mapping.printed(/"state":"open"/)
  const { address, relay: id } = JSON.parse(mapping.text.trimEnd().split('\n').at(-1) as string)
  assert.equal(id, (await p2prcJson(friend, 'id')).id)
  assert.equal(await fetchFrom(address), 'hello')
})

test('a relay for trusted nodes lends if it trusts this one, and where it refuses the next one does', async (t) => {
  const homes: NodeJS.ProcessEnv[] = await Promise.all([1, 2, 3, 4].map(() => configuredHome(loopback)))
  const [here = {}, own = {}, foreign = {}, open = {}] = homes
  const trusted = [await startNode(t, own, '--relay', 'trusted'), await startNode(t, foreign, '--relay', 'trusted')]
  const node = await startNode(t, here, '--json', ...trusted.map(({ where }) => where))
  // Whoever maps before both are known is refused by one alone.
  for (const home of [own, foreign]) {
    const { id }: { id: string } = await p2prcJson(home, 'id')
    await node.printed(new RegExp(`"record\\.merged","record":\\{"id":"${id.replaceAll('+', '\\+')}`))
  }
  const port = await service(t)
  const refused = await p2prc(here, 'map', String(port))
  assert.equal(refused.code, 5, refused.stderr)
  assert.match(refused.stderr, /No relay lends a port to this node: SHA256:.*; SHA256:/)

  await startNode(t, open, node.where)
  const lent = await p2prcJson(here, 'map', String(port))
  assert.equal(lent.relay, (await p2prcJson(open, 'id')).id)
  assert.equal(await fetchFrom(lent.address), 'hello')

  await p2prcJson(own, 'trust', 'add', (await p2prcJson(here, 'id')).key)
  const other = await service(t)
  const mine = await p2prcJson(here, 'map', String(other), '--via', (await p2prcJson(own, 'id')).id)
  assert.equal(mine.relay, (await p2prcJson(own, 'id')).id)
  assert.equal(await fetchFrom(mine.address), 'hello')
})

test('BehindNAT in config.json requests a relay at once; FRPServerPort is kept and has no effect', async (t) => {
  const friend = await configuredHome(loopback)
  const relay = await startNode(t, friend)
  const port = await service(t)
  for (const [BehindNAT, FRPServerPort, names] of [
    [true, false, ['node', `tcp/${port}`]],
    [false, true, [`tcp/${port}`]],
  ] as const) {
    const home = await configuredHome({ ...loopback, BehindNAT, FRPServerPort })
    const node = await startNode(t, home, relay.where, '--json')
    if (BehindNAT) await node.printed(/"port\.nodeRelayed","endpoints":\[\{"kind":"relayed"/)
    await p2prcJson(home, 'map', String(port))
    const { id } = await p2prcJson(home, 'id')
    const { ports }: { ports: { client: string; name: string }[] } = await p2prcJson(friend, 'relay', 'ls')
    const own = ports.filter(({ client }) => client === id).map(({ name }) => name)
    assert.deepEqual(own.sort(), names, `BehindNAT ${BehindNAT}`)
    const { document, of } = await findingsOf(home)
    assert.equal(of('relay')?.state, BehindNAT ? 'ok' : 'unknown', JSON.stringify(document))
    assert.equal((await p2prcJson(home, 'config')).FRPServerPort, FRPServerPort)
  }
})
