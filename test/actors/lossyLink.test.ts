import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { openLossyLink } from '../support/lossyLink.ts'

/** An echo behind a link, and a connection to it. */
async function echo(t: TestContext) {
  const server = createServer((socket) => socket.on('error', () => {}).pipe(socket)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const link = await openLossyLink({ host: '127.0.0.1', port })
  const socket = connect(link.port, '127.0.0.1')
  t.after(async () => {
    socket.destroy()
    await link.close()
    server.close()
  })
  await once(socket, 'connect')
  return { link, socket, port }
}

async function sendAndReceive(socket: Socket, text: string): Promise<number> {
  const began = performance.now()
  socket.write(text)
  const [answer] = await once(socket, 'data')
  assert.equal(String(answer), text)
  return performance.now() - began
}

test('a link delays TCP each way, holds it while it is stalled and loses nothing, and resets it on command', async (t) => {
  const { link, socket, port } = await echo(t)
  link.delayMs = 40
  assert.ok((await sendAndReceive(socket, 'delayed')) >= 78)
  link.delayMs = 0
  link.stall(true)
  let isThrough = false
  const passed = sendAndReceive(socket, 'held').then(() => {
    isThrough = true
  })
  // Ten round trips beside the link take longer than the one on it would.
  const beside = connect(port, '127.0.0.1')
  for (let at = 0; at < 10; at += 1) await sendAndReceive(beside, 'beside')
  beside.destroy()
  assert.equal(isThrough, false)
  link.stall(false)
  await passed
  const failed = once(socket, 'error')
  link.reset()
  assert.equal(((await failed) as unknown as [NodeJS.ErrnoException])[0].code, 'ECONNRESET')
})

test('a link loses the datagrams that chance says, and no others', async (t) => {
  const target = createSocket('udp4').bind(0, '127.0.0.1')
  await once(target, 'listening')
  target.on('message', (payload, { port, address }) => target.send(payload, port, address))
  let draws = 0
  // Every fourth draw loses its datagram, in whichever direction.
  const link = await openLossyLink({ host: '127.0.0.1', port: target.address().port }, () => (draws++ % 4) / 4)
  link.loss = 0.25
  const client = createSocket('udp4').bind(0, '127.0.0.1')
  t.after(async () => {
    for (const socket of [client, target]) socket.close()
    await link.close()
  })
  const answered: string[] = []
  client.on('message', (payload) => answered.push(String(payload)))
  for (let at = 0; at < 4; at += 1) client.send(`lost ${at}`, link.port, '127.0.0.1')
  while (answered.length + lostOf(draws) < 4) await new Promise(setImmediate)
  assert.equal(answered.length, 4 - lostOf(draws))
  assert.ok(answered.length < 4, answered.join())
  link.loss = 0
  client.send('last', link.port, '127.0.0.1')
  while (!answered.includes('last')) await new Promise(setImmediate)

  function lostOf(drawn: number): number {
    return Math.ceil(drawn / 4)
  }
})
