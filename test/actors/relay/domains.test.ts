import assert from 'node:assert/strict'
import { mkdtempSync } from 'node:fs'
import { request as get } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { configuredHome } from '../../support/cliHomes.ts'
import { frpClient } from '../../support/frpClient.ts'
import { nextEvent } from '../../support/harness.ts'
import { newIdentity } from '../../support/httpHarness.ts'
import { nodeHere, request } from '../../support/inProcess.ts'
import { freePort } from '../../support/processes.ts'

const folder = mkdtempSync(join(tmpdir(), 'p2prc-domains-'))

/** A client of the relay that keeps saying that it is alive. */
async function clientOf(t: TestContext, port: number, name: string) {
  const identity = await newIdentity(folder, name)
  const client = await frpClient(port, { identity })
  const pings = setInterval(client.ping, 500)
  t.after(() => {
    clearInterval(pings)
    client.stream.destroy()
  })
  return { ...client, id: identity.id }
}

/** The status that a user gets for a name over TLS-less HTTP: 308 to the same name with TLS. */
async function statusOf(port: number, host: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, headers: { host }, agent: false }, (response) => {
      response.resume()
      resolve(response.statusCode)
    })
      .on('error', reject)
      .end()
  })
}

test('ProxyPort: a port is shown under its domain while it is lent, and the domain stays with the key over a restart', async (t) => {
  const proxyPort = await freePort()
  const home = await configuredHome({ Test: true, ProxyPort: String(proxyPort) })
  const node = await nodeHere(t, home)
  const alice = await clientOf(t, node.port, 'alice')
  const shown = nextEvent(node.bus, 'relay.domainShown')
  const answer = await alice.propose({ proxy_name: 'web', custom_domains: ['Shop.Example.org.'] })
  assert.deepEqual([answer.error, answer.domain_port], ['', proxyPort])
  const port = Number(answer.remote_addr.slice(1))
  assert.deepEqual(await shown, { type: 'relay.domainShown', name: 'shop.example.org', port })
  const other = await alice.propose({ proxy_name: 'ssh' })
  assert.deepEqual([other.error, other.domain_port], ['', 0])
  const domains = async (of = node) =>
    (await request(of, { type: 'relay.list' })).ports.map((one: Record<string, unknown>) => [one.name, one.domains])
  assert.deepEqual(await domains(), [
    ['web', ['shop.example.org']],
    ['ssh', []],
  ])
  assert.equal(await statusOf(proxyPort, 'shop.example.org'), 308)

  const bob = await clientOf(t, node.port, 'bob')
  const refused = async (body: Parameters<typeof bob.propose>[0]) => (await bob.propose(body)).error
  assert.match(await refused({ proxy_name: 'a', custom_domains: ['shop.example.org'] }), /belongs to another node/)
  assert.match(await refused({ proxy_name: 'b', custom_domains: ['127.0.0.1'] }), /not a domain name/)
  assert.match(await refused({ proxy_name: 'c', proxy_type: 'udp', custom_domains: ['b.example.org'] }), /tcp port/)
  assert.match(await refused({ proxy_name: 'd', custom_domains: ['b.example.org', 'localhost'] }), /not a domain/)
  assert.match(await refused({ proxy_name: 'e', remote_port: proxyPort }), /not allowed/)
  assert.equal((await domains()).length, 2, 'what is refused lends no port')
  assert.equal((await bob.propose({ proxy_name: 'b', custom_domains: ['b.example.org'] })).error, '')

  const freed = nextEvent(node.bus, 'relay.portFreed')
  alice.release('web')
  await freed
  assert.match(await refused({ proxy_name: 'a', custom_domains: ['shop.example.org'] }), /belongs to another node/)
  assert.equal(await bob.request('former', port), port, 'the port is free for others, without the name')
  assert.deepEqual(await domains(), [
    ['ssh', []],
    ['b', ['b.example.org']],
    ['former', []],
  ])

  await node.stop()
  const again = await nodeHere(t, home)
  const thief = await clientOf(t, again.port, 'bob')
  const stolen = await thief.propose({ proxy_name: 'a', custom_domains: ['shop.example.org'] })
  assert.match(stolen.error, /belongs to another node/)
})

test('a node without ProxyPort shows no domains and says so, and one with a wrong or busy one does not start', async (t) => {
  const node = await nodeHere(t)
  const client = await clientOf(t, node.port, 'carol')
  const refused = await client.propose({ proxy_name: 'web', custom_domains: ['shop.example.org'] })
  assert.match(refused.error, /shows no domains/)
  assert.deepEqual((await request(node, { type: 'relay.list' })).ports, [])
  const start = async (ProxyPort: string) => nodeHere(t, await configuredHome({ Test: true, ProxyPort }))
  await assert.rejects(start('https'), { code: 'bad_request' })
  await assert.rejects(start('65536'), { code: 'bad_request' })
  await assert.rejects(start(String(node.port)), { code: 'port_busy' })
})

test('ACMEEmail: a certificate is ordered for each domain, and why there is none is said', async (t) => {
  const nobody = `http://127.0.0.1:${await freePort()}/directory`
  const ACME = { ACMEEmail: 'owner@example.org', ACMEDirectory: nobody }
  const node = await nodeHere(t, await configuredHome({ Test: true, ProxyPort: String(await freePort()), ...ACME }))
  const missing = nextEvent(node.bus, 'relay.certificateMissing')
  const client = await clientOf(t, node.port, 'dora')
  await client.propose({ proxy_name: 'web', custom_domains: ['shop.example.org'] })
  const { name, why } = await missing
  assert.equal(name, 'shop.example.org')
  assert.match(why, /^127\.0\.0\.1:\d+ does not answer$/)
})
