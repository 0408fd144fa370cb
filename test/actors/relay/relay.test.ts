import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Identity } from '../../../actors/identity.ts'
import type { NodeOptions } from '../../../actors/node.ts'
import { connectFrp, frpClient, loginMessage } from '../../support/frpClient.ts'
import { nextEvent } from '../../support/harness.ts'
import { newIdentity } from '../../support/httpHarness.ts'
import { nodeHere, request } from '../../support/inProcess.ts'
import { until } from '../../support/lender.ts'

const folder = mkdtempSync(join(tmpdir(), 'p2prc-relay-'))
const TOKEN = 'a token of the test'
const relayNode = (t: Parameters<typeof nodeHere>[0], options: Partial<NodeOptions> = {}) =>
  nodeHere(t, undefined, { relayChoices: { token: TOKEN }, ...options })

/** The sockets of this process, of both ends. */
const sockets = () => process.getActiveResourcesInfo().filter((name) => /TCP|TLS|UDP/.test(name)).length

async function echoed(port: number, text: string): Promise<string> {
  const user = connect(port, '127.0.0.1').setEncoding('utf8')
  user.write(text)
  const [answer] = await once(user, 'data')
  user.destroy()
  return answer
}

const get = async (port: number, path: string) => {
  const response = await fetch(`http://127.0.0.1:${port}${path}`)
  return { status: response.status, text: await response.text() }
}

test('a node that proves its key gets ports at 8088; the owner sees what they carry, closes one, and then the client', async (t) => {
  const node = await relayNode(t)
  const peer: Identity = await newIdentity(folder, 'peer')
  const client = await frpClient(node.port, { identity: peer })
  const [web, ssh] = [await client.request('web'), await client.request('ssh')]
  assert.ok(web >= 10_000 && ssh >= 10_000)
  assert.equal(await echoed(web, 'hello'), 'hello')
  const { policy, ports } = await request(node, { type: 'relay.list' })
  assert.equal(policy, 'peers')
  assert.deepEqual(
    ports.map((one: Record<string, unknown>) => [one.port, one.name, one.client, one.bytes]),
    [
      [web, 'web', peer.id, 10],
      [ssh, 'ssh', peer.id, 0],
    ],
  )
  assert.ok(Math.abs(ports[0].since - Date.now()) < 60_000)

  await assert.rejects(request(node, { type: 'relay.close', which: 'nothing' }), { code: 'not_found' })
  const closed = await request(node, { type: 'relay.close', which: String(web) })
  assert.deepEqual(
    closed.ports.map(({ port }: { port: number }) => port),
    [web],
  )
  await assert.rejects(echoed(web, 'hello'), { code: 'ECONNREFUSED' })
  assert.equal(await echoed(ssh, 'hello'), 'hello')

  await request(node, { type: 'relay.close', which: peer.id.slice(0, 20) })
  await client.ended()
  await assert.rejects(echoed(ssh, 'hello'), { code: 'ECONNREFUSED' })
  const again = await frpClient(node.port, { identity: peer })
  assert.match(again.refusal, /closed this client/)
})

test('in clear: a token lets a client in, and no key, a wrong one, a captured login and an old one are refused', async (t) => {
  const node = await relayNode(t)
  const refusal = async (login: Uint8Array, token = '') => (await frpClient(node.port, { login, token })).refusal
  const idle = sockets()
  const login = loginMessage(TOKEN)
  const client = await frpClient(node.port, { token: TOKEN, login })
  assert.equal(client.refusal, '')
  assert.equal(await echoed(await client.request('web'), 'hello'), 'hello')
  assert.equal(await refusal(login, TOKEN), 'this login was used before')
  assert.match(await refusal(loginMessage(TOKEN, 1_700_000_000)), /too far from the clock/)
  assert.match(await refusal(loginMessage('wrong')), /doesn't match/)
  assert.match(await refusal(loginMessage('')), /prove a node key or know its token/)
  for (const bytes of ['6f00ffffffffffffffff', '6f007fffffffffffffff', '6f0000000000000002ff', '760000', '00ff'])
    assert.match(await refusal(Buffer.concat([Buffer.from(bytes, 'hex'), Buffer.alloc(64)])), /closed/, bytes)
  client.stream.destroy()
  await until(async () => sockets() <= idle, 5_000)
  const { ports } = await request(node, { type: 'relay.list' })
  assert.deepEqual(ports, [])
})

test('ports that the node lends to the trusted end with the trust, and untrusted nodes get none', async (t) => {
  const node = await relayNode(t, { relay: 'trusted' })
  const friend = await newIdentity(folder, 'friend')
  assert.match((await frpClient(node.port, { identity: friend })).refusal, /whom its owner trusts/)
  await request(node, { type: 'trust.add', key: friend.publicKey })
  const client = await frpClient(node.port, { identity: friend })
  const port = await client.request('web')
  assert.equal(await echoed(port, 'hello'), 'hello')
  const freed = nextEvent(node.bus, 'relay.portFreed')
  await request(node, { type: 'trust.remove', who: friend.id })
  assert.match((await freed).why, /does not trust/)
  await client.ended()
  await assert.rejects(echoed(port, 'hello'), { code: 'ECONNREFUSED' })
})

test('a node that falls silent loses its ports within 5 s, and one that says that it is alive keeps them', async (t) => {
  const node = await relayNode(t)
  const [silent, alive] = await Promise.all(
    ['silent', 'alive'].map(async (name) => frpClient(node.port, { identity: await newIdentity(folder, name) })),
  )
  await silent?.request('silent')
  const pings = setInterval(() => alive?.ping(), 500)
  t.after(() => clearInterval(pings))
  const port = (await alive?.request('alive')) as number
  const since = performance.now()
  const { why } = await nextEvent(node.bus, 'relay.portFreed')
  assert.equal(why, 'the client is silent')
  assert.ok(performance.now() - since < 5_500)
  assert.equal(await echoed(port, 'hello'), 'hello')
  alive?.stream.destroy()
  await nextEvent(node.bus, 'relay.portFreed')
})

test('Go nodes are told of the relay with `all` alone: the port of the node, and NAT false in its own row', async (t) => {
  const table = async (port: number) => {
    const form = new FormData()
    form.set('json', '{"ip_address":[]}')
    const response = await fetch(`http://127.0.0.1:${port}/IpTable`, { method: 'POST', body: form })
    return ((await response.json()) as { ip_address: { NAT: boolean }[] }).ip_address[0]?.NAT
  }
  const peers = await relayNode(t)
  for (const path of ['/FRPPort', '/FRPPort?udp=true', '/AddProxy?port=1&domain_name=a&ip_address=b']) {
    const { status, text } = await get(peers.port, path)
    assert.deepEqual([status, JSON.parse(text).error.code], [403, 'not_trusted'], path)
  }
  assert.equal(await table(peers.port), true)
  const all = await relayNode(t, { relay: 'all' })
  assert.deepEqual(await get(all.port, '/FRPPort?udp=true'), { status: 200, text: String(all.port) })
  assert.equal(await table(all.port), false)
  const client = await frpClient(all.port, {})
  assert.equal(client.refusal, '')
  // Go P2PRC's proxies have no name.
  assert.equal(await echoed(await client.request(''), 'hello'), 'hello')
  client.stream.destroy()
  const off = await relayNode(t, { relay: 'off', open: true })
  assert.equal((await get(off.port, '/FRPPort')).status, 403)
  assert.match((await frpClient(off.port, {})).refusal, /lends no ports/)
  assert.match((await frpClient(off.port, { token: TOKEN })).refusal, /lends no ports/)
})

test('what a connection sends that never logs in is not read for ever', async (t) => {
  const node = await relayNode(t)
  const stream = await connectFrp(node.port)
  stream.write(Buffer.from('00ffffffffffffffffffffff', 'hex'))
  await once(stream.resume(), 'close')
})
