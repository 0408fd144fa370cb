import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { after, test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import type { Principal } from '../../../actors/listeners/principal.ts'
import { openListener } from '../../../actors/listeners/tcp.ts'
import { http, httpHarness, newIdentity, raw, tls } from '../../support/httpHarness.ts'

const harness = await httpHarness()
after(() => harness.close())
const { identity, dir } = harness
const alice = await newIdentity(dir, 'alice')

interface Accepted {
  connection: Duplex
  principal: Principal
  release: () => void
}

/** Opens a listener that hands over frp, and answers HTTP with the caller. */
async function openFrpListener(limits?: { perAddress: number; total: number }, headersTimeoutMs?: number) {
  const waiting: ((accepted: Accepted) => void)[] = []
  const listener = await openListener({
    identity,
    host: '127.0.0.1',
    port: 0,
    handle: (_request, response, { caller }) => response.end(caller),
    acceptFrp: (connection, principal, release) => waiting.shift()?.({ connection, principal, release }),
    ...(limits && { limits }),
    ...(headersTimeoutMs && { headersTimeoutMs }),
  })
  const accepted = () => new Promise<Accepted>((resolve) => waiting.push(resolve))
  return { listener, accepted }
}

async function connected(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  return socket
}

test('each first byte of frp reaches the relay with every byte, in clear as anonymous, inside TLS as the key', async () => {
  const { listener, accepted } = await openFrpListener()
  for (const first of ['\0', 'o', 'w', 'v'])
    for (const caller of ['anonymous', alice.id]) {
      const next = accepted()
      const client =
        caller === 'anonymous' ? await connected(listener.port) : await tls(listener.port, { ...alice.tls })
      client.write(`${first}rest`)
      const { connection, principal } = await next
      const [bytes] = await once(connection, 'data')
      assert.equal(String(bytes), `${first}rest`)
      assert.deepEqual([principal.caller, principal.address], [caller, '127.0.0.1'])
      client.destroy()
    }
  await listener.close()
})

test("frp's head byte is dropped, in a segment of its own or with the handshake, and TLS follows for HTTP too", async () => {
  const { listener, accepted } = await openFrpListener()
  for (const payload of ['o', 'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n']) {
    const socket = await connected(listener.port)
    socket.setNoDelay(true)
    // Corked, the byte and the handshake leave together.
    if (payload !== 'o') socket.cork()
    socket.write(Buffer.of(0x17))
    const next = payload === 'o' ? accepted() : undefined
    const secure = connectTls({ socket, rejectUnauthorized: false, minVersion: 'TLSv1.3' })
    process.nextTick(() => socket.uncork())
    await once(secure, 'secureConnect')
    secure.write(payload)
    if (next) assert.equal((await next).principal.caller, 'anonymous')
    else assert.match(String((await once(secure, 'data'))[0]), /200 OK/)
    secure.destroy()
  }
  await listener.close()
})

test('HTTP is still HTTP, and what is neither ends its connection alone', async () => {
  const { listener } = await openFrpListener()
  assert.equal((await http(listener.port, { path: '/' })).text, 'anonymous')
  assert.equal((await http(await tls(listener.port, alice.tls), { path: '/' })).text, alice.id)
  assert.match(await raw(listener.port, 'get / HTTP/1.1\r\n\r\n'), /^HTTP\/1.1 400/)
  await raw(listener.port, Buffer.from([0x17, 0x17, 0x17, 1, 2, 3]))
  assert.equal((await http(listener.port, { path: '/' })).text, 'anonymous')
  await listener.close()
})

test('a connection that the relay counts gives its place to others, in clear and inside TLS', async () => {
  const { listener, accepted } = await openFrpListener({ perAddress: 1, total: 1 })
  for (const open of [() => connected(listener.port), () => tls(listener.port, alice.tls)]) {
    const next = accepted()
    const client = await open()
    client.write('o')
    const { release } = await next
    const refused = await connected(listener.port)
    await once(refused.on('error', () => {}).resume(), 'close')
    release()
    assert.equal((await http(listener.port, { path: '/' })).text, 'anonymous')
    client.destroy()
  }
  await listener.close()
})

test('TLS inside which nothing is said is closed in time', async () => {
  const { listener } = await openFrpListener(undefined, 200)
  const client = await tls(listener.port, alice.tls)
  await once(client.on('error', () => {}).resume(), 'close')
  await listener.close()
})
