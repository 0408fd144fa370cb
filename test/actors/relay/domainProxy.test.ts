import assert from 'node:assert/strict'
import type { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import { Agent, request } from 'node:https'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { WebSocket, WebSocketServer } from 'ws'
import { createDomainCertificates } from '../../../actors/relay/domainCertificates.ts'
import { openDomainProxy } from '../../../actors/relay/domainProxy.ts'

const folder = mkdtempSync(join(tmpdir(), 'p2prc-proxy-'))
after(() => rmSync(folder, { recursive: true, force: true }))

/** A machine behind a name: it replies with what it was asked, and echoes over WebSockets. */
const seen: { url: string | undefined; headers: IncomingHttpHeaders }[] = []
const machine = createServer((asked, response) => {
  seen.push({ url: asked.url, headers: asked.headers })
  if (asked.url === '/dies') return void asked.socket.destroy()
  response.setHeader('x-from', 'the machine')
  asked.pipe(response)
})
const echo = new WebSocketServer({ server: machine })
echo.on('connection', (socket) => socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary })))
machine.listen(0, '127.0.0.1')
await once(machine, 'listening')
const lent = (machine.address() as AddressInfo).port

const shown = new Map<string, number | undefined>([
  ['shop.example.org', lent],
  ['other.example.org', lent],
  ['away.example.org', undefined],
  ['dead.example.org', 1],
])
const certificates = createDomainCertificates(join(folder, 'domains'))
const proxy = await openDomainProxy({
  names: { portOf: (name) => (shown.has(name) ? shown.get(name) : null) },
  certificates,
  port: 0,
  host: '127.0.0.1',
})
after(async () => {
  machine.close()
  machine.closeAllConnections()
  await proxy.close()
})

const at = { host: '127.0.0.1', port: proxy.port, rejectUnauthorized: false }

interface Options {
  servername?: string
  path?: string
  method?: string
  body?: string
  headers?: Record<string, string>
}

async function get(name: string, { servername = name, body, headers, ...rest }: Options = {}) {
  const asked = request({ ...at, ...rest, agent: false, servername, headers: { ...headers, host: name } })
  asked.end(body)
  const [response] = await once(asked, 'response')
  let text = ''
  for await (const chunk of response) text += chunk
  return { status: response.statusCode as number, text, headers: response.headers as IncomingHttpHeaders }
}

test('a request for a name reaches the machine behind it, with its Host, and the user is told apart from what the user says', async () => {
  const headers = { 'x-forwarded-for': '203.0.113.9', forwarded: 'for=203.0.113.9' }
  const answer = await get('shop.example.org', { path: '/a?b=1', method: 'POST', body: 'hello', headers })
  assert.deepEqual([answer.status, answer.text, answer.headers['x-from']], [200, 'hello', 'the machine'])
  const { url, headers: got } = seen.at(-1) as (typeof seen)[number]
  assert.equal(url, '/a?b=1')
  assert.equal(got.host, 'shop.example.org')
  assert.equal(got['x-forwarded-for'], '127.0.0.1')
  assert.equal(got['x-forwarded-proto'], 'https')
  assert.equal(got.forwarded, undefined)
})

function openWebSocket(name: string): WebSocket {
  const agent = new Agent({ rejectUnauthorized: false, servername: name })
  return new WebSocket(`wss://127.0.0.1:${proxy.port}/live`, { agent, headers: { host: name } })
}

test('WebSockets pass through in both directions', { timeout: 10_000 }, async () => {
  const socket = openWebSocket('shop.example.org')
  await once(socket, 'open')
  for (const text of ['one', 'x'.repeat(100_000)]) {
    socket.send(text)
    const [data] = await once(socket, 'message')
    assert.equal(String(data), text)
  }
  socket.close()
  await once(socket, 'close')
})

test('other names, addresses and forms of a request lead nowhere, and each is told why', async () => {
  const before = seen.length
  for (const [host, options, status] of [
    ['unknown.example.org', { servername: 'shop.example.org' }, 421],
    // A user of one name may not be answered by another one's machine.
    ['other.example.org', { servername: 'shop.example.org' }, 421],
    ['169.254.169.254', { servername: 'shop.example.org' }, 400],
    ['127.0.0.1:8088', { servername: 'shop.example.org' }, 400],
    ['localhost', { servername: 'shop.example.org' }, 400],
    ['away.example.org', {}, 503],
    ['dead.example.org', {}, 502],
    ['shop.example.org', { path: 'http://169.254.169.254/latest/meta-data' }, 400],
    ['shop.example.org', { path: '*', method: 'OPTIONS' }, 400],
  ] as const) {
    const answer = await get(host, options)
    assert.equal(answer.status, status, `${host} ${JSON.stringify(options)}: ${answer.text}`)
    assert.match(answer.text, /\.\n$/, 'a sentence')
  }
  assert.equal(seen.length, before, 'no machine was asked')
  const died = await get('shop.example.org', { path: '/dies' })
  assert.equal(died.status, 502)
})

test('nobody gets a certificate for a name that nobody has, and a WebSocket to one is refused', async () => {
  const unknown = connectTls({ ...at, servername: 'unknown.example.org' })
  const [error] = await once(unknown, 'error')
  assert.ok(error)
  const [refusal] = await once(openWebSocket('away.example.org'), 'error')
  assert.match(String(refusal), /503/)
})

test('without TLS the user is sent to the same place with it', async () => {
  const socket = connect(proxy.port, '127.0.0.1')
  socket.end('GET /a?b=1 HTTP/1.1\r\nhost: Shop.example.org:80\r\n\r\n')
  let text = ''
  for await (const chunk of socket) text += chunk
  assert.match(text, /^HTTP\/1\.1 308 /)
  assert.ok(text.includes(`location: https://shop.example.org:${proxy.port}/a?b=1\r\n`), text)
})

async function certificateOf(servername: string): Promise<X509Certificate | undefined> {
  const socket = connectTls({ ...at, servername })
  await once(socket, 'secureConnect')
  const certificate = socket.getPeerX509Certificate()
  socket.destroy()
  return certificate
}

test('each name has a certificate of its own, which stays the same after a restart and is readable by the owner alone', async () => {
  const certificate = await certificateOf('shop.example.org')
  assert.equal(certificate?.subjectAltName, 'DNS:shop.example.org')
  assert.equal(certificate.publicKey.asymmetricKeyType, 'ec')
  const days = (Date.parse(certificate.validTo) - Date.parse(certificate.validFrom)) / 86_400_000
  assert.ok(days <= 397, `${days} days`)
  assert.equal((await certificateOf('other.example.org'))?.subjectAltName, 'DNS:other.example.org')
  const path = join(folder, 'domains', 'shop.example.org.pem')
  assert.equal(statSync(path).mode & 0o777, 0o600)
  const stored = readFileSync(path, 'utf8')
  const restarted = createDomainCertificates(join(folder, 'domains'))
  await restarted.contextOf('shop.example.org')
  assert.equal(readFileSync(path, 'utf8'), stored)
  assert.equal(await restarted.issuedUntil('shop.example.org'), undefined, 'no authority has issued it')
  const long = `${'a'.repeat(60)}.${'b'.repeat(60)}.example.org`
  await restarted.contextOf(long)
})

test('connections beyond the limit are closed, and all are given back', { timeout: 10_000 }, async () => {
  const small = await openDomainProxy({
    names: { portOf: () => lent },
    certificates,
    port: 0,
    host: '127.0.0.1',
    limits: { perAddress: 2, total: 2 },
  })
  const open = () => connectTls({ ...at, port: small.port, servername: 'shop.example.org' })
  const held = [open(), open()]
  await Promise.all(held.map((socket) => once(socket, 'secureConnect')))
  const third = open()
  const [error] = await once(third, 'error')
  assert.match(String(error), /disconnected|ECONNRESET|socket/)
  for (const socket of held) socket.destroy()
  await small.close()
})
