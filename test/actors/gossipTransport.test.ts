import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { WebSocket, WebSocketServer } from 'ws'
import { createActor, setup } from 'xstate'
import type { AcceptedLink } from '../../actors/gossip/accept.ts'
import { createTransport } from '../../actors/gossip/transport.ts'
import type { Dialer } from '../../actors/net/dialer.ts'
import type { GossipEvent } from '../../machines/gossip/gossipState.ts'
import type { FromTransport } from '../../machines/gossip.ts'
import type { NodeId } from '../../protocol/ids.ts'
import { encode, WIRE_MAX_BYTES, type WireMessage } from '../../protocol/wire/gossip.ts'

/** Opens one link on which a transport sends to a peer that never reads. */
async function linkToDeafPeer(t: TestContext) {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
  await once(server, 'listening')
  t.after(() => server.close())
  const peer = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`)
  t.after(() => peer.terminate())
  const [[socket]] = (await Promise.all([once(server, 'connection'), once(peer, 'open')])) as [[WebSocket], unknown]
  peer.pause()

  let accept: (link: AcceptedLink) => void = () => {}
  const source = {
    listen(listener: typeof accept) {
      accept = listener
      return () => {}
    },
  }
  const stop = new AbortController()
  t.after(() => stop.abort())
  const events: GossipEvent[] = []
  const transport = createTransport({ dialer: {} as Dialer, source })
  const parent = createActor(
    setup({ types: { events: {} as FromTransport }, actors: { transport } }).createMachine({
      invoke: { src: 'transport', id: 'transport', input: { signal: stop.signal } },
      on: { timestamped: { actions: ({ event }) => events.push(event.event) } },
    }),
  ).start()
  accept({ socket, id: 'SHA256:deaf' as NodeId, address: '' })
  const send = (message: WireMessage) =>
    parent.getSnapshot().children.transport?.send({ type: 'send', link: 'a1', message })
  return { socket, send, events }
}

test('a peer that never reads loses its link, before much is buffered for it', { timeout: 30_000 }, async (t) => {
  const { socket, send, events } = await linkToDeafPeer(t)
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
