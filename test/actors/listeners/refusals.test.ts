import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { openListener } from '../../../actors/listeners/tcp.ts'
import { codeOf, command, http, httpHarness, newIdentity, tls } from '../../support/httpHarness.ts'

/** What the owner of a node hears of those whom it refuses to lend. */

const harness = await httpHarness()
const { httpServer, identity, rights, seen } = harness
/** Where the next caller is, because loopback has no limit. */
let address = ''
const listener = await openListener({
  identity,
  port: 0,
  host: '127.0.0.1',
  handle: (request, response, found) => httpServer.handle(request, response, { ...found, address }),
})
after(async () => {
  await harness.close()
  await listener.close()
})
const notices = () => seen.flatMap((event) => (event.type === 'node.borrowerRefused' ? [event] : []))

test('a stranger who asks again and again is reported once a minute for each address', async () => {
  for (const from of ['192.0.2.7', '192.0.2.7', '192.0.2.8', '192.0.2.7']) {
    address = from
    const refused = await http(listener.port, { path: '/startcontainer' })
    assert.equal(codeOf(refused), 'not_trusted')
  }
  assert.deepEqual(
    notices().map(({ from }) => from),
    ['192.0.2.7', '192.0.2.8'],
  )
})

test('a peer that the owner does not trust is reported with the key to trust, also over our own protocol', async () => {
  seen.length = 0
  address = '192.0.2.9'
  const peer = await newIdentity(harness.dir, 'peer')
  const refused = await command(await tls(listener.port, peer.tls), { type: 'container.create' })
  assert.equal(refused.status, 403, refused.text)
  const [notice, ...more] = notices()
  assert.deepEqual([notice?.from, notice?.caller, more], ['192.0.2.9', peer.id, []])
  assert.equal(notice?.key?.split(' ', 2).join(' '), peer.publicKey.split(' ', 2).join(' '))
})

test('a request that fails for another reason is no refusal', async () => {
  seen.length = 0
  address = '192.0.2.10'
  rights.current = { trusted: new Set(), open: true, relay: 'peers' }
  const wrong = await http(listener.port, { path: '/startcontainer?ports=abc' })
  rights.current = { trusted: new Set(), open: false, relay: 'peers' }
  assert.equal(codeOf(wrong), 'bad_count', wrong.text)
  assert.deepEqual(notices(), [])
})
