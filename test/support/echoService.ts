import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'

/** A service on loopback that sends everything back, over TCP and UDP. */
export async function startEcho() {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {})
    socket.pipe(socket)
  }).listen(0, '127.0.0.1')
  const datagrams = createSocket('udp4')
  datagrams.on('message', (payload, { address, port }) => datagrams.send(payload, port, address))
  datagrams.bind(0, '127.0.0.1')
  await Promise.all([once(server, 'listening'), once(datagrams, 'listening')])
  return {
    tcp: (server.address() as { port: number }).port,
    udp: datagrams.address().port,
    close() {
      server.close()
      datagrams.close()
    },
  }
}

const sha = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

/** Sends random bytes to a port and asserts that the same ones come back. */
export async function assertEchoed(port: number, size: number): Promise<void> {
  const sent = randomBytes(size)
  const socket = connect(port, '127.0.0.1')
  const chunks: Buffer[] = []
  let got = 0
  socket.on('error', () => {})
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
    got += chunk.length
    if (got >= size) socket.end()
  })
  socket.write(sent)
  await once(socket, 'close')
  assert.equal(sha(Buffer.concat(chunks)), sha(sent), `${size} bytes, of which ${got} came back`)
}

/** Sends a datagram until it comes back: the path of a UDP port is there a moment after the port. */
export async function assertDatagramEchoed(port: number, size: number): Promise<void> {
  const sent = randomBytes(size)
  const socket = createSocket('udp4')
  const send = () => socket.send(sent, port, '127.0.0.1', () => {})
  send()
  const again = setInterval(send, 100)
  const [payload] = await once(socket, 'message')
  clearInterval(again)
  socket.close()
  assert.equal(sha(payload as Buffer), sha(sent))
}

/**
 * Sends a request and closes this direction at once. Asserts that the connection ends. Returns what came back: stock frp
 * may cut the answer off.
 */
export async function echoedAfterHalfClose(port: number): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  let text = ''
  socket.on('error', () => {})
  socket.on('data', (chunk) => {
    text += chunk
  })
  socket.end('request')
  await once(socket, 'close')
  return text
}
