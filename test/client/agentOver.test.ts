import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, request } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { Duplex } from 'node:stream'
import { test } from 'node:test'
import { agentOver } from '../../client/agentOver.ts'

for (const kind of ['socket', 'stream'] as const) {
  test(`requests one after another over one ${kind} leave no listener on it`, async (t) => {
    const server = createServer((_, response) => response.end('yes'))
    await once(server.listen(0, '127.0.0.1'), 'listening')
    t.after(() => server.close())
    const { port } = server.address() as AddressInfo
    const socket = connect(port, '127.0.0.1')
    const stream = kind === 'socket' ? socket : Duplex.from({ readable: socket, writable: socket })
    t.after(() => stream.destroy())

    const count = () => stream.eventNames().reduce((sum, name) => sum + stream.listenerCount(name), 0)
    const counts: number[] = []
    for (let i = 0; i < 20; i++) {
      assert.equal(await get(stream), 'yes')
      counts.push(count())
    }
    assert.deepEqual(new Set(counts.slice(1)), new Set([counts[1]]))
  })
}

function get(stream: Duplex): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = request({ agent: agentOver(stream), path: '/' }, (response) => {
      let body = ''
      response.setEncoding('utf8').on('data', (chunk) => {
        body += chunk
      })
      // The connection is free for the next request only after this event.
      response.on('end', () => setImmediate(resolve, body))
    })
    sent.on('error', reject)
    sent.end()
  })
}
