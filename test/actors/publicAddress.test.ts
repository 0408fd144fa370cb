import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { advertisableAddresses } from '../../actors/ipTable/listening.ts'
import { fetchPublicAddress } from '../../actors/ipTable/publicAddress.ts'

const answers: [name: string, status: number, body: string, expected: string | { code: string }][] = [
  ['the form of ip-api.com', 200, '{"status":"success","query":"93.184.1.1"}', '93.184.1.1'],
  ['IPv6', 200, '{"query":"2a00::7"}', '2a00::7'],
  ['no address', 200, '{"query":"localhost"}', { code: 'address_unknown' }],
  ['another form', 200, '{"ip":"93.184.1.1"}', { code: 'address_unknown' }],
  ['no JSON', 200, '<html>', { code: 'address_unknown' }],
  ['too much', 200, `"${'x'.repeat(100_000)}"`, { code: 'address_unknown' }],
  ['a refusal', 429, '{"query":"93.184.1.1"}', { code: 'address_unknown' }],
]

for (const [name, status, body, expected] of answers)
  test(`a service that answers ${name}`, async (t) => {
    const server = createServer((_request, response) => response.writeHead(status).end(body)).listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.after(() => server.close())
    const asked = fetchPublicAddress(`http://127.0.0.1:${(server.address() as AddressInfo).port}/json/`)
    if (typeof expected === 'string') assert.equal(await asked, expected)
    else await assert.rejects(asked, expected)
  })

test('what is no service', async () => {
  await assert.rejects(fetchPublicAddress('http://127.0.0.1:1/'), { code: 'address_unknown' })
  for (const url of ['ip-api', 'ftp://x/', 'file:///etc/passwd'])
    await assert.rejects(fetchPublicAddress(url), { code: 'bad_request' })
})

test('what others may be told: no loopback but where that is the network, no link-local', () => {
  const listenAddresses = { port: 8_088, hosts: ['127.0.0.1', '10.0.0.5', 'fe80::1', '169.254.1.1', '2001:db8::5'] }
  assert.deepEqual(advertisableAddresses(listenAddresses, { test: false }), ['10.0.0.5', '2001:db8::5'])
  const all = advertisableAddresses(listenAddresses, { test: true })
  assert.deepEqual(all, ['10.0.0.5', '2001:db8::5', '127.0.0.1'])
})
