import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { createServer, request as get } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { test } from 'node:test'
import { createLocalCallers } from '../../../actors/listeners/localCallers.ts'
import { configuredHome } from '../../support/cliHomes.ts'
import { frpClient } from '../../support/frpClient.ts'
import { nextEvent } from '../../support/harness.ts'
import { nodeHere, request } from '../../support/inProcess.ts'
import { freePort } from '../../support/processes.ts'

/** The routes by which Go P2PRC maps ports and names them: `/MAPPort` and `/AddProxy`. */

async function fetchRoute(port: number, path: string, headers: Record<string, string> = {}) {
  const asked = get({ host: '127.0.0.1', port, path, headers, agent: false })
  asked.end()
  const [response] = await once(asked, 'response')
  let text = ''
  for await (const chunk of response) text += chunk
  const code = response.statusCode === 200 ? text : JSON.parse(text).error.code
  return [response.statusCode, code] as const
}

const addProxy = (query: Record<string, string | number>) =>
  `/AddProxy?${new URLSearchParams(query as Record<string, string>)}`

test('/AddProxy shows a port that Go has here under a domain, and leads nowhere else', async (t) => {
  const proxyPort = await freePort()
  const home = await configuredHome({ Test: true, ProxyPort: String(proxyPort) })
  const node = await nodeHere(t, home, { relay: 'all' })
  const client = await frpClient(node.port, {})
  t.after(() => client.stream.destroy())
  // Go P2PRC's proxies have no name.
  const port = await client.request('')
  const query = { port, domain_name: 'go.example.org', ip_address: '127.0.0.1' }
  assert.deepEqual(await fetchRoute(node.port, addProxy(query)), [200, 'Sucess'])
  const { ports } = await request(node, { type: 'relay.list' })
  assert.deepEqual(ports[0].domains, ['go.example.org'])

  const refused: [change: Record<string, string | number>, status: number, code: string][] = [
    [{ ip_address: '169.254.169.254' }, 403, 'not_dialled'],
    [{ ip_address: '127.0.0.2' }, 403, 'not_dialled'],
    [{ ip_address: '::1' }, 403, 'not_dialled'],
    [{ ip_address: '10.0.0.1' }, 403, 'not_dialled'],
    [{ ip_address: 'metadata.example.org' }, 403, 'not_dialled'],
    [{ ip_address: '' }, 400, 'bad_request'],
    [{ port: node.port }, 403, 'port_not_lent'],
    [{ port: 22 }, 403, 'port_not_lent'],
    [{ port: 0 }, 400, 'bad_request'],
    [{ domain_name: '127.0.0.1' }, 400, 'bad_domain'],
  ]
  for (const [change, status, code] of refused)
    assert.deepEqual(
      await fetchRoute(node.port, addProxy({ ...query, ...change })),
      [status, code],
      JSON.stringify(change),
    )
  assert.deepEqual((await request(node, { type: 'relay.list' })).ports[0].domains, ['go.example.org'])

  const freed = nextEvent(node.bus, 'relay.portFreed')
  client.stream.destroy()
  await freed
  assert.deepEqual(await fetchRoute(node.port, addProxy(query)), [403, 'port_not_lent'])
})

test('/AddProxy is refused where only those with a key get ports, and where no domains are shown', async (t) => {
  const query = addProxy({ port: 20_000, domain_name: 'go.example.org', ip_address: '203.0.113.9' })
  const home = await configuredHome({ Test: true, ProxyPort: String(await freePort()) })
  assert.deepEqual(await fetchRoute((await nodeHere(t, home)).port, query), [403, 'not_trusted'])
  assert.deepEqual(await fetchRoute((await nodeHere(t, undefined, { relay: 'all' })).port, query), [501, 'no_domains'])
})

test('/MAPPort maps a port for a program of this machine, and for nobody who comes through a mapped port', async (t) => {
  const page = createServer((_asked, response) => response.end('hello')).listen(0, '127.0.0.1')
  await once(page, 'listening')
  t.after(() => page.close())
  const { port: local } = page.address() as AddressInfo
  const relay = await nodeHere(t)
  const node = await nodeHere(t)
  await request(node, { type: 'peer.add', where: relay.where, replace: false })

  const [status, where] = await fetchRoute(node.port, `/MAPPort?port=${local}`)
  assert.equal(status, 200, where)
  assert.match(where, /^127\.0\.0\.1:\d+$/)
  assert.equal(await (await fetch(`http://${where}/`)).text(), 'hello')
  assert.deepEqual(await fetchRoute(node.port, '/MAPPort?port=0'), [400, 'bad_request'])
  const rebound = { host: `page.example.org:${node.port}` }
  assert.deepEqual(await fetchRoute(node.port, `/MAPPort?port=${local}`, rebound), [403, 'not_owner'])
  const foreign = { origin: 'https://page.example.org' }
  assert.deepEqual(await fetchRoute(node.port, `/MAPPort?port=${local}`, foreign), [403, 'foreign_origin'])

  // The owner shows the node's own port. What comes through it comes from a loopback address too.
  const { mapping } = await request(node, { type: 'port.map', port: node.port })
  const ping = await fetch(`http://127.0.0.1:${mapping.address.port}/api/v1/ping`)
  assert.equal(ping.status, 200)
  assert.deepEqual(await fetchRoute(mapping.address.port, `/MAPPort?port=${local}`), [403, 'not_owner'])
  const { mappings } = await request(node, { type: 'port.list' })
  assert.equal(mappings.length, 2)
})

test('a local caller is one from a loopback address whose connection is no tunnel, also after the tunnel has closed', () => {
  const { tunnelled, isLocal } = createLocalCallers()
  const accepted = (remoteAddress: string | undefined, remotePort: number) =>
    ({ remoteAddress, remotePort, localPort: 8_088 }) as Socket
  const tunnel = Object.assign(new EventEmitter(), { localPort: 40_000, remotePort: 8_088 }) as unknown as Socket
  for (const address of ['127.0.0.1', '::1', '::ffff:127.0.0.1']) assert.equal(isLocal(accepted(address, 40_000)), true)
  for (const address of ['192.0.2.1', '::ffff:192.0.2.1', '', undefined])
    assert.equal(isLocal(accepted(address, 40_000)), false)
  tunnelled(tunnel)
  for (const address of ['127.0.0.1', '::1', '::ffff:127.0.0.1'])
    assert.equal(isLocal(accepted(address, 40_000)), false)
  assert.equal(isLocal(accepted('127.0.0.1', 40_001)), true)
  tunnel.emit('close')
  assert.equal(isLocal(accepted('127.0.0.1', 40_000)), false)
})
