import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import type { TableEntry } from '../../protocol/files/ipTable.ts'
import { nextEvent } from '../support/harness.ts'
import { nodeHere, request } from '../support/inProcess.ts'

test('two nodes that know only a Go node find the keys of each other through it, without a command', async (t) => {
  // As Go does, it keeps the rows that are uploaded and answers with all that it has.
  let rows: TableEntry[] = []
  const go = createServer((asked, response) => {
    if (asked.url === '/server_info') return response.end('{"Hostname":"go"}')
    let body = ''
    asked.on('data', (chunk) => {
      body += chunk
    })
    asked.on('end', () => {
      const uploaded: TableEntry[] = JSON.parse(/\{"ip_address".*\}/.exec(body)?.[0] ?? '').ip_address
      const keyOf = ({ IPV4, ServerPort }: TableEntry) => `${IPV4}:${ServerPort}`
      rows = [...new Map([...rows, ...uploaded].map((row) => [keyOf(row), row])).values()]
      response.end(JSON.stringify({ ip_address: rows }))
    })
  })
  await new Promise<void>((resolve) => go.listen(0, '127.0.0.1', resolve))
  t.after(() => go.close())
  const where = `127.0.0.1:${(go.address() as AddressInfo).port}`
  const one = await nodeHere(t)
  const first = nextEvent(one.bus, 'peer.joined')
  await request(one, { type: 'peer.add', where, replace: false })
  await first
  const other = await nodeHere(t)
  const found = nextEvent(other.bus, 'peer.joined', ({ peer }) => peer.id === one.identity.id)
  const foundBack = nextEvent(one.bus, 'record.merged', ({ record }) => record.id === other.identity.id)
  await request(other, { type: 'peer.add', where, replace: false })
  await Promise.all([found, foundBack])
  assert.ok(rows.every(({ NAT }) => NAT))
})
