import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Duplex } from 'node:stream'
import { test } from 'node:test'
import { createYamux } from '../../../actors/frp/yamux.ts'
import { detected, type FrpTransport, multiplexed, unmultiplexed } from '../../../actors/turnClient/frpTransport.ts'
import { connectionPair } from '../../support/connectionPair.ts'

/** A relay to which connections can be opened. With a multiplexer, it takes the streams out of them. */
function relayOf({ mux }: { mux: boolean }) {
  const connections: Duplex[] = []
  const streams: Duplex[] = []
  const connect = async () => {
    const [near, far] = connectionPair()
    connections.push(far)
    if (mux) createYamux(far, { role: 'server', onStream: (stream) => streams.push(stream) })
    else
      far.once('readable', () => {
        const chunk: Buffer | null = far.read()
        // Stock frp knows no message of this type.
        if (chunk === null || chunk[0] === 0) return void far.destroy()
        far.unshift(chunk)
        streams.push(far)
      })
    return near
  }
  return { connect, connections, streams }
}

type Relay = ReturnType<typeof relayOf>

/** Asserts that what is sent on a stream arrives at the relay, on the stream that it has got as the one at this place. */
async function assertPasses(relay: Relay, stream: Duplex, text: string, at: number): Promise<void> {
  stream.write(text)
  while (relay.streams.length <= at) await new Promise<void>((resolve) => setImmediate(resolve))
  const far = relay.streams[at] as Duplex
  const [chunk] = await once(far, 'data')
  assert.equal(String(chunk), text)
}

/** A stream that is reset says so by an error before it closes. */
const closed = (stream: Duplex) => new Promise<void>((resolve) => stream.once('close', resolve))

const stateOf = async ({ ended }: FrpTransport) => Promise.race([ended, Promise.resolve('goes on')])

test('multiplexed: one connection carries all streams, and its end is theirs', async () => {
  const relay = relayOf({ mux: true })
  const transport = await multiplexed(relay.connect)
  const [control, work] = [await transport.open(), await transport.open()]
  await assertPasses(relay, control, 'control', 0)
  await assertPasses(relay, work, 'work', 1)
  assert.equal(relay.connections.length, 1)
  assert.equal(await stateOf(transport), 'goes on')
  const all = [control, work].map((stream) => closed(stream))
  relay.connections[0]?.destroy()
  await Promise.all(all)
  assert.equal(await transport.ended, 'closed')
})

test('not multiplexed: each stream is a connection, one that fails leaves the others, and closing ends all', async () => {
  const relay = relayOf({ mux: false })
  const transport = unmultiplexed(relay.connect)
  const [control, first, second] = [await transport.open(), await transport.open(), await transport.open()]
  await assertPasses(relay, control, 'o', 0)
  assert.equal(relay.connections.length, 3)
  const ended = closed(first)
  first.destroy()
  await ended
  await assertPasses(relay, second, 'w', 1)
  assert.equal(await stateOf(transport), 'goes on')
  const all = [control, second].map((stream) => closed(stream))
  transport.close()
  await Promise.all(all)
  await assert.rejects(unmultiplexed(() => Promise.reject(new Error('refused'))).open(), /refused/)
})

test('detected: a relay with a multiplexer gets its first stream at once, and no second connection', async () => {
  const relay = relayOf({ mux: true })
  const transport = await detected(relay.connect)
  const control = await transport.open()
  await assertPasses(relay, control, 'control', 0)
  assert.equal(relay.streams.length, 1, 'the stream that found out is the control connection')
  await assertPasses(relay, await transport.open(), 'work', 1)
  assert.equal(relay.connections.length, 1)
  const ended = closed(control)
  transport.close()
  await ended
  assert.equal(await transport.ended, 'closed')
})

test('detected: one that closes what begins a session gets a connection for each stream', async () => {
  const relay = relayOf({ mux: false })
  const transport = await detected(relay.connect)
  await assertPasses(relay, await transport.open(), 'o', 0)
  await assertPasses(relay, await transport.open(), 'w', 1)
  assert.equal(relay.connections.length, 3)
  transport.close()
})
