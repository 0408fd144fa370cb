import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { createServer, type TLSSocket } from 'node:tls'
import type { WebSocket } from 'ws'
import type { Identity } from '../../actors/identity.ts'
import { GOSSIP } from '../../protocol/defaults/gossip.ts'
import { GOSSIP_PATH } from '../../protocol/gossip.ts'
import { parseEndpoints } from '../../protocol/net/endpoint.ts'
import { encode, WIRE_MAX_BYTES } from '../../protocol/wire/gossip.ts'
import { hello, linkTo, merged, outsider, pair } from '../support/gossipPeers.ts'
import { nextEvent } from '../support/harness.ts'
import { http, raw, tls } from '../support/httpHarness.ts'
import { nodeHere, peersOf, request } from '../support/inProcess.ts'

/** Starts a peer that sends the upgrade response and the given frames in one TCP segment. */
async function hastyPeer(t: TestContext, frames: Buffer[]): Promise<Identity & { where: string }> {
  const identity = await outsider(t)
  const server = createServer({ ...identity.tls, requestCert: true, rejectUnauthorized: false }, (socket) => {
    socket.on('error', () => {})
    socket.once('data', (data) => {
      const key = /sec-websocket-key: (.*)\r\n/i.exec(String(data))?.[1] ?? ''
      const accept = hash('sha1', `${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`, 'base64')
      const head = `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`
      socket.write(Buffer.concat([Buffer.from(head), ...frames]))
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  return { ...identity, where: `127.0.0.1:${(server.address() as AddressInfo).port}` }
}

test('only authenticated nodes get a link: anonymous callers, web pages, other paths and plain HTTP are refused', async (t) => {
  const node = await nodeHere(t)
  const { tls: key } = await outsider(t)
  const upgrade = {
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
  }
  const status = async (socket: TLSSocket, path = GOSSIP_PATH, headers = {}) => {
    const reply = await http(socket, { path, headers: { ...upgrade, ...headers } })
    socket.destroy()
    return reply.status
  }
  assert.equal(await status(await tls(node.port)), 403, 'no certificate')
  assert.equal(await status(await tls(node.port, key), '/api/v1/other'), 404)
  assert.equal(await status(await tls(node.port, key), GOSSIP_PATH, { origin: 'https://example.org' }), 403)
  const lines = Object.entries({ host: 'x', ...upgrade }).map(([name, value]) => `${name}: ${value}`)
  const plain = await raw(node.port, `GET ${GOSSIP_PATH} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`)
  assert.match(plain, /^HTTP\/1\.1 403 /)
})

/** Close codes of RFC 6455. */
const NORMAL_CLOSURE = 1_000
const MESSAGE_TOO_BIG = 1_009

test('frames that are too large, binary or invalid end the link of their sender, but no other link', {
  timeout: 60_000,
}, async (t) => {
  const [node, honest] = await pair(t)
  const closed: string[] = []
  node.bus.on('link.closed', ({ id }) => closed.push(id))
  const frames: [string, (socket: WebSocket) => void][] = [
    ['oversized', (socket) => socket.send('x'.repeat(WIRE_MAX_BYTES + 1))],
    ['binary', (socket) => repeat(() => socket.send(Buffer.alloc(9)))],
    ['no JSON', (socket) => repeat(() => socket.send('{"a":'))],
    ['too deep', (socket) => repeat(() => socket.send(`${'['.repeat(64)}${']'.repeat(64)}`))],
    ['a lying body', (socket) => repeat(() => socket.send('["table/buckets",1,{"buckets":"short"}]'))],
    ['a prototype', (socket) => repeat(() => socket.send('["link/bye",1,{"__proto__":{"why":1}}]'))],
  ]
  for (const [name, send] of frames) {
    const sender = await outsider(t)
    const socket = await linkTo(node, sender)
    socket.send(encode(hello(sender.record())))
    const ended = once(socket, 'close')
    send(socket)
    const [code] = await ended
    // An oversized frame is refused by its length, before it is buffered.
    assert.equal(code, name === 'oversized' ? MESSAGE_TOO_BIG : NORMAL_CLOSURE, name)
    assert.ok(closed.includes(sender.id), name)
  }
  assert.ok(!closed.includes(honest.identity.id))
  assert.equal(({} as Record<string, unknown>).why, undefined)
})

test('a faulty frame that arrives with the upgrade response ends the link and nothing else', async (t) => {
  const node = await nodeHere(t)
  const peer = await hastyPeer(t, [Buffer.from([0xff, 0x00])])
  const closed = nextEvent(node.bus, 'link.closed', ({ id }) => id === peer.id)
  node.bus.publish({ type: 'peer.addressDiscovered', endpoints: parseEndpoints([peer.where]), id: peer.id })
  await closed
})

test('a message that arrives with the upgrade response is not lost', async (t) => {
  const node = await nodeHere(t)
  const known = await outsider(t)
  const text = encode({ kind: 'table/records', body: { records: [known.record()], hops: 0 } })
  const payload = Buffer.from(text)
  const frame = Buffer.concat([Buffer.from([0x81, 126, payload.length >> 8, payload.length & 0xff]), payload])
  const peer = await hastyPeer(t, [frame])
  const arrived = nextEvent(node.bus, 'record.merged', ({ record }) => record.id === known.id)
  node.bus.publish({ type: 'peer.addressDiscovered', endpoints: parseEndpoints([peer.where]), id: peer.id })
  await arrived
})

test('forged, cross-signed and replayed records do not change the table', async (t) => {
  const [node, honest] = await pair(t)
  const mallory = await outsider(t)
  const facts: string[] = []
  node.bus.on('record.merged', ({ record }) => facts.push(record.id))
  const socket = await linkTo(node, mallory)
  socket.send(encode(hello(mallory.record({ seq: 5 }))))
  await nextEvent(node.bus, 'record.merged', ({ record }) => record.id === mallory.id)
  facts.length = 0
  const id = honest.identity.id
  const key = honest.identity.publicKey.split(' ', 2).join(' ')
  const replayed = mallory.record({ seq: 4, name: 'before' })
  const [text, signature] = mallory.record({ seq: 6 })
  const forged: [string, string] = [text.replace('"outsider"', '"somebody"'), signature]
  const crossSigned = mallory.record({ id, key, seq: 9_999, endpoints: ['10.6.6.6:1'] })
  const banned = nextEvent(node.bus, 'gossip.banned', (fact) => fact.id === mallory.id)
  // The first record is only old, which is not a violation; each of the others counts as a penalty.
  assert.equal(GOSSIP.maxPenalties, 3)
  for (const record of [replayed, forged, crossSigned, crossSigned])
    socket.send(encode({ kind: 'table/records', body: { records: [record], hops: 1 } }))
  await banned
  assert.deepEqual(facts, [])
  const peer = (await peersOf(node)).find((one) => one.id === id)
  assert.ok(!peer?.endpoints.some(({ host }) => host === '10.6.6.6'))
})

test('a thousand silent links are closed in bounded time, and honest peers are not affected', {
  timeout: 120_000,
}, async (t) => {
  const [node, honest] = await pair(t)
  const lost: string[] = []
  node.bus.on('peer.suspected', ({ peer }) => lost.push(peer.name))
  node.bus.on('peer.gone', ({ peer }) => lost.push(peer.name))
  let opened = 0
  const open = new Map<string, string>()
  let mostPeers = 0
  node.bus.on('link.opened', ({ id, link }) => {
    // On a busy machine the honest peer's link may be opened anew meanwhile.
    if (id === honest.identity.id) return
    opened += 1
    open.set(link, id)
    // A link that replaces another of the same peer opens before that one closes.
    mostPeers = Math.max(mostPeers, new Set(open.values()).size)
  })
  node.bus.on('link.closed', ({ link }) => open.delete(link))
  const farewells = new Map<string, number>()
  const closed: Promise<unknown>[] = []
  const openSilent = async (peer: Awaited<ReturnType<typeof outsider>>) => {
    let farewell = ''
    const socket = await linkTo(node, peer, (text) => {
      const [kind, , { why }] = JSON.parse(text) as [string, number, { why: string }]
      if (kind === 'link/bye') farewell = why
    })
    closed.push(once(socket, 'close').then(() => farewells.set(farewell, (farewells.get(farewell) ?? 0) + 1)))
  }
  const peers = await Promise.all(Array.from({ length: 100 }, () => outsider(t)))
  for (let round = 0; round < 10; round += 1) await Promise.all(peers.map(openSilent))
  const begun = performance.now()
  await Promise.all(closed)
  assert.equal(closed.length, 1_000)
  assert.ok(performance.now() - begun < 15_000)
  // A peer has one link: its next one replaces it, or it is closed before because no hello has come.
  const { full = 0, duplicate = 0, ephemeral = 0, ...others } = Object.fromEntries(farewells)
  assert.deepEqual(others, {})
  assert.equal(full + opened, 1_000)
  assert.equal(duplicate + ephemeral, opened)
  assert.ok(ephemeral > 0)
  assert.deepEqual([...open], [])
  assert.ok(mostPeers <= GOSSIP.maxSockets, `${mostPeers} peers had a link at the same time`)
  assert.deepEqual(lost, [])
  const arrived = merged(node, honest.identity.id, ({ customInformation }) => customInformation === 'still here')
  await request(honest, { type: 'record.describe', text: 'still here' })
  await arrived
})

function repeat(send: () => void): void {
  for (let times = 0; times < GOSSIP.maxPenalties; times += 1) send()
}
