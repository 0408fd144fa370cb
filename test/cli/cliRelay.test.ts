import assert from 'node:assert/strict'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { bareHome } from '../support/cliHomes.ts'
import { frpClient } from '../support/frpClient.ts'
import { newIdentity } from '../support/httpHarness.ts'
import { p2prc, p2prcJson, startNode } from '../support/processes.ts'

test('relay ls and close: who has which port, by the name of the peer; a token from the environment', async (t) => {
  const home = bareHome()
  const node = await startNode(t, { ...home, P2PRC_RELAY_TOKEN: 'secret' }, '--relay-ports', '21000-21999')
  const peer = await newIdentity(mkdtempSync(join(tmpdir(), 'p2prc-relay-')), 'peer')
  assert.equal((await p2prc(home, 'trust', 'add', peer.publicKey, '--name', 'alice')).code, 0)
  const client = await frpClient(node.port, { identity: peer })
  const stock = await frpClient(node.port, { token: 'secret' })
  assert.deepEqual([client.refusal, stock.refusal], ['', ''])
  const pings = setInterval(client.ping, 500)
  t.after(() => clearInterval(pings))
  const [web, ssh] = [await client.request('web'), await stock.request('ssh', 21_500)]
  assert.ok(web >= 21_000 && web <= 21_999)
  await assert.rejects(stock.request('other', 20_999), /port not allowed/)

  const { policy, ports } = await p2prcJson(home, 'relay', 'ls')
  assert.equal(policy, 'peers')
  assert.deepEqual(
    ports.map(({ port, name, peer, client, bytes }: Record<string, unknown>) => ({ port, name, peer, client, bytes })),
    [
      { port: web, name: 'web', peer: 'alice', client: peer.id, bytes: 0 },
      { port: ssh, name: 'ssh', peer: '', client: 'anonymous', bytes: 0 },
    ],
  )
  assert.equal((await p2prc(home, 'relay', 'close', 'nobody')).code, 3)
  const closed = await p2prc(home, 'relay', 'close', String(ssh))
  assert.deepEqual([closed.code, JSON.parse(closed.stdout).ports[0].port], [0, ssh], closed.stderr)
  assert.equal((await p2prc(home, 'relay', 'close', 'alice')).code, 0)
  await client.ended()
  assert.deepEqual((await p2prcJson(home, 'relay', 'ls')).ports, [])
})

test('start: what is wrong with the flags of the relay', async () => {
  const home = bareHome()
  for (const args of [
    ['--relay', 'everybody'],
    ['--relay-ports', '22-2375'],
    ['--relay-ports', '30000-20000'],
    ['--relay-ports', '20000-65536'],
    ['--relay-rate', '0'],
  ]) {
    const { code, stderr } = await p2prc(home, 'start', '--port', '0', ...args)
    assert.equal(code, 2, `${args.join(' ')}: ${stderr}`)
  }
})
