import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createIpTable } from '../../actors/ipTable.ts'
import { supervise } from '../../actors/supervise.ts'
import { PEERS_MAX, TABLE_PAGE_MAX_CHARS } from '../../protocol/defaults/ipTable.ts'
import { BODY_MAX_BYTES } from '../../protocol/defaults/listeners.ts'
import { type IpTableFile, newEntry, type TableEntry } from '../../protocol/files/ipTable.ts'
import { fakeDialer } from '../support/fakeDialer.ts'
import { http, httpHarness } from '../support/httpHarness.ts'

/** What `POST /IpTable` serves of a table that the concern itself holds. */

const TEXT = 'x'.repeat(2_048)

/** Returns a table of peers that answered a moment ago. */
const fileOf = (peers: readonly Partial<TableEntry>[]): IpTableFile => ({
  ip_address: peers.map((peer) => newEntry({ AnsweredAt: Date.now(), ...peer })),
})

/** Starts a listener with a table. */
async function tableOf(file: IpTableFile) {
  const harness = await httpHarness()
  const { bus, identity } = harness
  const self = { id: identity.id, name: 'me', port: 8_088, addresses: ['10.99.0.1'], advertisable: ['10.99.0.1'] }
  const store = {
    data: file,
    write: async () => {},
    update: async () => {},
    onChange: () => () => {},
    settled: async () => {},
  }
  const concern = supervise(
    createIpTable({
      store,
      self: () => self,
      dialer: fakeDialer({ id: harness.identity.id, name: 'me', key: '' }, () => {}),
      watch: false,
    }),
    { bus },
  )
  concern.start()
  const post = async (upload: object, path = '/IpTable') => {
    const body = `--b\r\nContent-Disposition: form-data; name="json"; filename="x"\r\n\r\n${JSON.stringify(upload)}\r\n--b--\r\n`
    const headers = { 'content-type': 'multipart/form-data; boundary=b' }
    const { status, text } = await http(harness.listener.port, { method: 'POST', path, headers, body })
    assert.equal(status, 200, text.slice(0, 500))
    return { text, rows: JSON.parse(text).ip_address as TableEntry[] }
  }
  const close = async () => {
    concern.stop()
    await harness.close()
  }
  return { harness, post, close }
}

test('a full table is served whole to Go and in part to a node that reads less, and is no single message', async () => {
  const peers = Array.from({ length: PEERS_MAX }, (_, index) => ({
    Name: `peer-${index}`,
    IPV4: `10.${index >> 8}.${index & 255}.1`,
    CustomInformation: TEXT,
  }))
  const { harness, post, close } = await tableOf(fileOf(peers))
  try {
    harness.seen.length = 0
    const { rows, text } = await post({ ip_address: [] })
    assert.equal(rows.length, PEERS_MAX + 1)
    assert.equal(new Set(rows.map(({ Name }) => Name)).size, PEERS_MAX + 1)
    assert.equal(rows.filter(({ CustomInformation }) => CustomInformation === TEXT).length, PEERS_MAX)
    assert.ok(text.length > 4 * BODY_MAX_BYTES)
    for (const event of harness.seen) assert.ok(JSON.stringify(event).length < 2 * TABLE_PAGE_MAX_CHARS, event.type)
    const part = await post({ ip_address: [] }, `/IpTable?maxBytes=${BODY_MAX_BYTES}`)
    assert.ok(part.text.length <= BODY_MAX_BYTES && part.text.length > BODY_MAX_BYTES - 4_096)
    assert.equal(part.rows[0]?.Name, 'me')
  } finally {
    await close()
  }
})

test('a Go node gets its own row back as it has just sent it, and those of others as this node knows them', async () => {
  const file = fileOf([
    { Name: 'go', IPV4: '127.0.0.1', ServerPort: '9001', CustomInformation: 'old' },
    { Name: 'third', IPV4: '10.0.0.3', CustomInformation: 'kept' },
  ])
  const { post, close } = await tableOf(file)
  try {
    const own = {
      Name: 'go',
      IPV4: '127.0.0.1',
      ServerPort: '9001',
      CustomInformation: '',
      EscapeImplementation: 'FRP',
    }
    const { rows } = await post({ ip_address: [own, { Name: '', IPV4: '10.0.0.3', ServerPort: '8088' }] })
    const byName = new Map(rows.map((row) => [row.Name, row]))
    assert.deepEqual([byName.get('go')?.CustomInformation, byName.get('go')?.EscapeImplementation], ['', 'FRP'])
    assert.equal(byName.get('third')?.CustomInformation, 'kept')
    assert.equal(byName.get('me')?.NAT, true)
  } finally {
    await close()
  }
})
