import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { WebSocket, WebSocketServer } from 'ws'
import { openTransport } from '../../actors/gossip/transport.ts'
import type { Dialer } from '../../actors/net/dialer.ts'
import type { Untimed } from '../../machines/gossip.ts'
import type { NodeId } from '../../protocol/ids.ts'
import { encode, WIRE_MAX_BYTES, type WireMessage } from '../../protocol/wire/gossip.ts'
import { fakeLinkSource } from '../support/fakeLinkSource.ts'

/** Opens one link between a transport and a peer that the test drives. */
async function linkToPeer(t: TestContext) {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
  await once(server, 'listening')
  t.after(() => server.close())
  const peer = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`)
  t.after(() => peer.terminate())
  const [[socket]] = (await Promise.all([once(server, 'connection'), once(peer, 'open')])) as [[WebSocket], unknown]

  const { source, accept } = fakeLinkSource()
  const stop = new AbortController()
  t.after(() => stop.abort())
  const events: Untimed[] = []
  const transport = openTransport(
    { dialer: {} as Dialer, source },
    { signal: stop.signal, onEvent: (event) => events.push(event) },
  )
  accept({ socket, id: 'SHA256:peer' as NodeId, address: '' })
  const send = (message: WireMessage) => transport.send('a1', message)
  return { socket, peer, transport, send, events }
}

test('a peer that never reads loses its link, before much is buffered for it', { timeout: 30_000 }, async (t) => {
  const { socket, peer, send, events } = await linkToPeer(t)
  peer.pause()
  const message: WireMessage = {
    kind: 'table/records',
    body: { records: Array.from({ length: 60 }, () => ['x'.repeat(4_000), ''] as [string, string]), hops: 0 },
  }
  assert.ok(encode(message).length < WIRE_MAX_BYTES)
  const ended = once(socket, 'close')
  for (let messages = 0; messages < 100; messages += 1) {
    send(message)
    assert.ok(socket.bufferedAmount < 2 * 1024 * 1024, `${socket.bufferedAmount} bytes after ${messages} messages`)
  }
  await ended
  assert.deepEqual(
    events.map(({ type }) => type),
    ['opened', 'closed'],
  )
})

test('a node that got no processor for a while reads what has arrived before it ticks', {
  timeout: 30_000,
}, async (t) => {
  const { peer, transport, events } = await linkToPeer(t)
  const written = new Promise<void>((resolve) => {
    peer.send(encode({ kind: 'link/bye', body: { why: 'leaving' } }), () => resolve())
    // The message waits in the kernel, and both timers are due, when this turn of the event loop ends.
    transport.wake(performance.now() + 20)
    for (const until = performance.now() + 60; performance.now() < until; );
  })
  await written
  while (!events.some(({ type }) => type === 'tick')) await new Promise(setImmediate)
  assert.deepEqual(
    events.map(({ type }) => type),
    ['opened', 'received', 'tick'],
  )
})
