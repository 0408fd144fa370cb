import assert from 'node:assert/strict'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { after, test } from 'node:test'
import { createServer as createTlsServer, type TLSSocket } from 'node:tls'
import { makeCertificate } from '../../../actors/identity/certificate.ts'
import { createDialer } from '../../../actors/net/dialer.ts'
import { createPeerClient, type PeerRequestOptions } from '../../../actors/net/peerClient.ts'
import type { NodeId } from '../../../protocol/ids.ts'
import type { BusEvent } from '../../../protocol/index.ts'
import { directEndpoint, type EndpointKind } from '../../../protocol/net/endpoint.ts'
import { Secret } from '../../../protocol/secret.ts'
import { nextEvent } from '../../support/harness.ts'
import { httpHarness, madeContainer, newIdentity } from '../../support/httpHarness.ts'

const harness = await httpHarness()
const { bus, rights, where } = harness
const alice = await newIdentity(harness.dir, 'alice')
const client = createPeerClient(createDialer({ identity: alice }))
const peers = {
  request: (
    { id, ...at }: { host: string; port: number; id?: NodeId },
    command: Parameters<typeof client.request>[1],
    options?: PeerRequestOptions,
  ) => client.request({ endpoints: [directEndpoint(at)], ...(id && { id }) }, command, options),
}
const servers: Server[] = []
const sockets = new Set<Socket>()
after(async () => {
  for (const server of servers) server.close()
  for (const socket of sockets) socket.destroy()
  await harness.close()
})
bus.on('node.show', ({ requestId }) => {
  const { id, publicKey } = harness.identity
  bus.publish({
    type: 'node.shown',
    requestId,
    id,
    name: '\u001b[31mred\u001b[0m\u202e',
    key: publicKey,
    version: '0',
    protocols: [1],
  })
})
bus.on('container.create', ({ requestId, image }) => {
  if (image === 'silent') return
  for (const step of ['create', 'start'] as const)
    bus.publish({ type: 'container.progress', requestId, step, line: step })
  if (image === 'none')
    bus.publish({ type: 'container.createFailed', requestId, code: 'gpu_missing', message: 'none here' })
  else
    bus.publish({
      type: 'container.created',
      requestId,
      container: { ...madeContainer(), SSHPassword: new Secret('x y') },
    })
})

/** Starts a server on loopback and resolves with its address. */
async function listening(server: Server): Promise<{ host: string; port: number }> {
  servers.push(server)
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { host: '127.0.0.1', port: (server.address() as AddressInfo).port }
}

/** Starts a node with a real key that answers a command with raw bytes. */
function forger(answer: (socket: TLSSocket) => void, credentials = harness.identity.tls) {
  const server = createTlsServer({ ...credentials, requestCert: true, rejectUnauthorized: false }, (socket) => {
    socket.on('error', () => {})
    socket.once('data', () => answer(socket))
  })
  return listening(server)
}

const head = 'HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\n'
const whole =
  (body: string | Buffer, first = head) =>
  (socket: TLSSocket) => {
    socket.write(`${first}content-length: ${Buffer.byteLength(body)}\r\n\r\n`)
    socket.end(body)
  }
const cut = (body: string) => (socket: TLSSocket) =>
  socket.write(`${head}content-length: 9999\r\n\r\n${body}`, () => socket.destroy())
const refusal = (body: string, status = '403 No') =>
  whole(body, `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\n`)

const show = { type: 'node.show' }

test('a command is sent, and its finishing fact arrives with the node that answered', async () => {
  const { fact, id, key, name } = await peers.request(
    { ...where, id: harness.identity.id },
    { ...show, requestId: 'mine' },
  )
  assert.deepEqual([fact.type, fact.requestId, id], ['node.shown', 'mine', harness.identity.id])
  assert.equal(`${key} ${name}`, harness.identity.publicKey)
  assert.equal((fact as Extract<BusEvent, { type: 'node.shown' }>).name, 'red', 'nothing in it can steer a terminal')
})

test('a peer that does not know a command is asked for its versions over the same connection, and keeps its error', async () => {
  const greeted = nextEvent(bus, 'node.show')
  await assert.rejects(peers.request(where, { type: 'container.clone' }), {
    code: 'unknown_command',
    message: /"container\.clone"/,
  })
  await greeted
})

test('facts arrive in order, secrets as plain text, and failures as the error that the lender sent', async () => {
  await assert.rejects(
    peers.request(where, { type: 'container.create' }),
    (error: { code: string; message: string }) => {
      assert.equal(error.code, 'not_trusted')
      assert.ok(error.message.includes(`p2prc trust add "${alice.publicKey}"`))
      return true
    },
  )
  rights.current = { trusted: new Set([alice.id]), open: false, relay: 'off' }
  const seen: string[] = []
  const { fact } = await peers.request(where, { type: 'container.create' }, { onFact: ({ type }) => seen.push(type) })
  assert.deepEqual(seen, ['container.progress', 'container.progress', 'container.created'])
  assert.equal(JSON.parse(JSON.stringify(fact)).container.SSHPassword, 'x y')
  const failing = peers.request(where, { type: 'container.create', image: 'none' })
  await assert.rejects(failing, { code: 'gpu_missing', message: 'none here' })
})

test('another node on a pinned address is refused before anything is sent', async () => {
  let asked = false
  const mallory = await newIdentity(harness.dir, 'mallory')
  const forged = await forger(() => {
    asked = true
  }, mallory.tls)
  const expected = harness.identity.id
  await assert.rejects(peers.request({ ...forged, id: expected }, show), (error: { code: string; message: string }) => {
    assert.equal(error.code, 'wrong_node')
    assert.ok(error.message.includes(expected) && error.message.includes(mallory.id))
    return true
  })
  assert.equal(asked, false)
})

test('a server with a key of another type is not a node', async () => {
  const { privateKey } = generateKeyPairSync('ed448')
  const key = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString()
  const forged = await forger(() => {}, { key, cert: makeCertificate(privateKey, 'x') })
  await assert.rejects(peers.request(forged, show), { code: 'protocol_error' })
})

test('a port on which nothing listens, and a name that does not exist, are unreachable', async () => {
  const closed = await listening(createServer())
  servers.pop()?.close()
  await assert.rejects(peers.request(closed, show), { code: 'unreachable' })
  await assert.rejects(peers.request({ host: 'no-such-name.invalid', port: 1 }, show), { code: 'unreachable' })
})

test('a plain HTTP server, an SSH server, noise, and one that disconnects are not nodes', async () => {
  const web = await listening(createHttpServer((_request, response) => response.end('hello')))
  await assert.rejects(peers.request(web, show), { code: 'protocol_error' })
  for (const greeting of ['SSH-2.0-OpenSSH_9.2\r\n', randomBytes(4_096), '']) {
    const noise = await listening(createServer((socket) => void socket.end(greeting)))
    await assert.rejects(peers.request(noise, show), { code: 'protocol_error' })
  }
})

test('a server that accepts the connection and sends nothing times out', async () => {
  const mute = await forger(() => {})
  const late = peers.request(mute, show, { silenceMs: 100 })
  await assert.rejects(late, { code: 'timed_out' })
  const silent = await listening(createServer(() => {}))
  const begun = performance.now()
  await assert.rejects(peers.request(silent, show), { code: 'timed_out' })
  assert.ok(performance.now() - begun < 8_000)
})

test('heartbeats keep a slow command alive, and their end is noticed', async () => {
  const slow = await forger((socket) => {
    socket.write(`${head}transfer-encoding: chunked\r\n\r\n`)
    let beats = 0
    const timer = setInterval(() => {
      beats += 1
      if (beats <= 10) return socket.write('1\r\n\n\r\n')
      clearInterval(timer)
      const line = `${JSON.stringify({ type: 'node.shown', requestId: 'x' })}\n`
      socket.end(`${line.length.toString(16)}\r\n${line}\r\n0\r\n\r\n`)
    }, 50)
  })
  assert.equal((await peers.request(slow, show, { silenceMs: 300 })).fact.type, 'node.shown')
})

const forgeries: [string, (socket: TLSSocket) => void, string][] = [
  ['a connection cut before the answer', (socket) => socket.destroy(), 'connection_lost'],
  ['a connection cut in the middle of the answer', cut('{"type":"node.shown"}\n'), 'connection_lost'],
  ['a finishing fact that is cut off', cut('{"type":"node.sho'), 'connection_lost'],
  ['an empty answer', whole(''), 'protocol_error'],
  ['only heartbeats', whole('\n\n\n'), 'protocol_error'],
  ['an answer that stops half-way', whole('{"type":"container.progress","requestId":"x"}\n'), 'protocol_error'],
  ['no HTTP inside TLS', (socket) => socket.end('SSH-2.0-x\r\n\r\n'), 'protocol_error'],
  ['a line that is not JSON', whole('hello\n'), 'protocol_error'],
  ['a line that is no fact', whole('[1]\n'), 'protocol_error'],
  ['null', whole('null\n'), 'protocol_error'],
  ['deep JSON', whole(`${'['.repeat(100_000)}\n`), 'protocol_error'],
  ['__proto__', whole('{"type":"node.shown","__proto__":{"x":1}}\n'), 'protocol_error'],
  ['a line without an end', whole(Buffer.alloc(3 * 1024 * 1024, 'x')), 'protocol_error'],
  ['a web page', whole('<html>', 'HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n'), 'protocol_error'],
  ['a redirect', whole('', 'HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\n'), 'protocol_error'],
  [
    'an upgrade',
    (socket) => socket.end('HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n'),
    'protocol_error',
  ],
  ['a refusal of the catalogue', refusal('{"error":{"code":"not_trusted","message":"no"}}'), 'not_trusted'],
  ['a refusal that is not JSON', refusal('no'), 'protocol_error'],
  ['a refusal without words', refusal('{"error":{"code":"not_trusted"}}'), 'protocol_error'],
  ['a refusal from the future', refusal('{"error":{"code":"from_the_future","message":"no"}}'), 'internal'],
  ['a code from Object', refusal('{"error":{"code":"constructor","message":"no"}}'), 'internal'],
  ['an error in the stream', whole('{"error":{"code":"stopping","message":"no"}}\n'), 'stopping'],
  [
    'a failing fact',
    whole('{"type":"container.createFailed","requestId":"x","code":"bad_image","message":"no"}\n'),
    'bad_image',
  ],
]

for (const [what, answer, code] of forgeries) {
  test(`${what} is ${code}`, async () => {
    await assert.rejects(
      peers.request(await forger(answer), show, { silenceMs: 3_000 }),
      (error: { code: string; message: string }) => {
        assert.equal(error.code, code, error.message)
        assert.match(error.message, /^[\x20-\x7e…–]+$/)
        return true
      },
    )
  })
}

test('a line that never ends is rejected while it still arrives', async () => {
  let sent = 0
  const endless = await forger((socket) => {
    socket.write(`${head}transfer-encoding: chunked\r\n\r\n`)
    const chunk = `10000\r\n${'x'.repeat(65_536)}\r\n`
    const sendMore = () => {
      while (!socket.destroyed && sent < 1_000) {
        sent += 1
        if (!socket.write(chunk)) return socket.once('drain', sendMore)
      }
      return socket
    }
    sendMore()
  })
  await assert.rejects(peers.request(endless, show, { silenceMs: 3_000 }), { code: 'protocol_error' })
  assert.ok(sent < 500, `${sent} chunks of 64 KiB were taken`)
})

test('a failure message of a peer is short and cannot control a terminal', async () => {
  const message = `\u001b]0;title\u0007\u001b[31mno\u001b[0m\r\n\u202e${'x'.repeat(100_000)}`
  const forged = await forger(refusal(JSON.stringify({ error: { code: 'bad_image', message } })))
  await assert.rejects(peers.request(forged, show), (error: { message: string }) => {
    assert.match(error.message, /^[\x20-\x7e]+$/)
    assert.ok(error.message.length <= 1_000)
    return true
  })
})

test('an abort closes the connection before, during the connect, and while the peer works, which then notices', async () => {
  await assert.rejects(peers.request(where, show, { signal: AbortSignal.abort() }), { code: 'abandoned' })
  const silent = await listening(createServer(() => {}))
  const connecting = new AbortController()
  const waiting = peers.request(silent, show, { signal: connecting.signal })
  setImmediate(() => connecting.abort())
  await assert.rejects(waiting, { code: 'abandoned' })
  const working = new AbortController()
  const asked = nextEvent(bus, 'container.create')
  const abandoned = nextEvent(bus, 'request.abandoned')
  const command = peers.request(where, { type: 'container.create', image: 'silent' }, { signal: working.signal })
  await asked
  working.abort()
  await assert.rejects(command, { code: 'abandoned' })
  assert.ok((await abandoned).requestId.startsWith(`${alice.id as NodeId} `))
})

test('an error thrown by the receiver of the facts is returned unchanged', async () => {
  const onFact = () => {
    throw new RangeError('mine')
  }
  await assert.rejects(peers.request(where, show, { onFact }), RangeError)
})

test('a mapped and a relayed endpoint are dialled as TCP; a punched one is not, and needs what opens streams over UDP', async () => {
  const { id } = harness.identity
  const { port } = where
  const dial = (...kinds: EndpointKind[]) =>
    client.request({ id, endpoints: kinds.map((kind) => ({ kind, host: '127.0.0.1', port })) }, { type: 'node.show' })
  assert.equal((await dial('mapped')).endpoint.kind, 'mapped')
  assert.equal((await dial('punched', 'relayed')).endpoint.kind, 'relayed')
  await assert.rejects(dial('punched'), { code: 'punching_missing' })
})
