import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { createServer, type TLSSocket } from 'node:tls'
import { WebSocket } from 'ws'
import { createGossipTools } from '../../actors/gossip/recordSignature.ts'
import type { Identity } from '../../actors/identity.ts'
import { GOSSIP } from '../../protocol/defaults/gossip.ts'
import { GOSSIP_PATH } from '../../protocol/gossip.ts'
import type { NodeId } from '../../protocol/ids.ts'
import type { Peer } from '../../protocol/ipTable.ts'
import { parseEndpoints } from '../../protocol/net/endpoint.ts'
import { encode, WIRE_MAX_BYTES, type WireMessage } from '../../protocol/wire/gossip.ts'
import { type NodeRecord, signRecord } from '../../protocol/wire/record.ts'
import { nextEvent } from '../support/harness.ts'
import { http, newIdentity, raw, tls } from '../support/httpHarness.ts'
import { type NodeHere, nodeHere, request } from '../support/inProcess.ts'
import { temporaryHome } from '../support/processes.ts'

/** Resolves when `node` has merged a matching record of the node `who`. */
const merged = (node: NodeHere, who: NodeId, fits: (record: NodeRecord) => boolean = () => true) =>
  nextEvent(node.bus, 'record.merged', ({ record }) => record.id === who && fits(record))

const peersOf = async (node: NodeHere): Promise<Peer[]> => (await request(node, { type: 'peer.list' })).peers

const add = (node: NodeHere, other: NodeHere) => request(node, { type: 'peer.add', where: other.where, replace: false })

/** Starts two nodes and waits until each has the record of the other. */
async function pair(t: TestContext): Promise<[NodeHere, NodeHere]> {
  const [one, other] = [await nodeHere(t), await nodeHere(t)]
  const known = Promise.all([merged(one, other.identity.id), merged(other, one.identity.id)])
  await add(one, other)
  await known
  return [one, other]
}

/** Makes an identity that signs records but runs no node. */
async function outsider(t: TestContext): Promise<Identity & { record(more?: Partial<NodeRecord>): [string, string] }> {
  const folder = mkdtempSync(join(tmpdir(), 'p2prc-outsider-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const identity = await newIdentity(folder, 'outsider')
  const { sign } = createGossipTools(identity.tls.key)
  return {
    ...identity,
    record(more = {}) {
      const { text, signature } = signRecord(
        {
          id: identity.id,
          key: identity.publicKey.split(' ', 2).join(' '),
          seq: 1,
          name: 'outsider',
          endpoints: [],
          port: 0,
          version: '0',
          customInformation: '',
          capabilities: [],
          left: false,
          ...more,
        },
        sign,
      )
      return [text, signature]
    },
  }
}

/** Opens a link to a node without sending a hello. */
async function linkTo(node: NodeHere, { tls: key }: Pick<Identity, 'tls'>): Promise<WebSocket> {
  const secure = await tls(node.port, key)
  const socket = new WebSocket(`ws://peer${GOSSIP_PATH}`, {
    createConnection: () => secure,
    perMessageDeflate: false,
  })
  socket.on('error', () => {})
  await once(socket, 'open')
  return socket
}

const hello = (record: [string, string]): WireMessage => ({
  kind: 'link/hello',
  body: { record, root: 'A'.repeat(11), active: true, links: 0 },
})

test('adding a node opens a link, and both tables list the other node with its hardware', async (t) => {
  const [one, other] = await pair(t)
  for (const [node, peer] of [
    [one, other],
    [other, one],
  ] as const) {
    const [found, ...more] = await peersOf(node)
    assert.deepEqual([found?.id, more.length], [peer.identity.id, 0])
    assert.ok(found?.endpoints.some(({ port }) => port === peer.port))
  }
  let [row] = await peersOf(one)
  for (; !row?.machine; [row] = await peersOf(one)) await merged(one, other.identity.id)
  assert.ok(row.machine.cores > 0 && row.machine.ramMiB > 0)
})

test("an owner's text reaches nodes without a link to that node, and survives a restart", async (t) => {
  const [first, middle] = await pair(t)
  const home = temporaryHome()
  const last = await nodeHere(t, home)
  const known = merged(first, last.identity.id)
  await add(last, middle)
  await known
  const text = 'GPU box, ask before use\n"quoted" \\ ünïcödé 🖥'
  const arrived = merged(first, last.identity.id, ({ customInformation }) => customInformation === text)
  assert.equal((await request(last, { type: 'record.describe', text })).text, text)
  const { seq } = (await arrived).record
  const row = (await peersOf(first)).find(({ id }) => id === last.identity.id)
  assert.match(row?.information ?? '', /^GPU box/)
  await last.stop()
  const again = merged(first, last.identity.id, (record) => record.seq > seq && record.customInformation === text)
  await nodeHere(t, home)
  await again
})

test('a node that stops sends a farewell and is removed at once', async (t) => {
  const [one, other] = await pair(t)
  const gone = nextEvent(one.bus, 'peer.gone', ({ peer }) => peer.id === other.identity.id)
  await other.stop()
  await gone
  assert.deepEqual(await peersOf(one), [])
})

test('a node learns from its peer the address at which it appears', async (t) => {
  const one = await nodeHere(t)
  const other = await nodeHere(t)
  const seen = nextEvent(one.bus, 'gossip.selfAddressObserved', ({ by }) => by === other.identity.id)
  await add(one, other)
  assert.match((await seen).address, /^127\.0\.0\.1:\d+$/)
})

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

test('frames that are too large, binary or invalid end the link of their sender, but no other link', async (t) => {
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
    await ended
    assert.ok(closed.includes(sender.id), name)
  }
  assert.ok(!closed.includes(honest.identity.id))
  assert.equal(({} as Record<string, unknown>).why, undefined)
})

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

function repeat(send: () => void): void {
  for (let times = 0; times < GOSSIP.maxPenalties; times += 1) send()
}

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

test('a thousand silent links are closed in bounded time, and honest peers are not affected', async (t) => {
  const [node, honest] = await pair(t)
  const lost: string[] = []
  node.bus.on('peer.suspected', ({ peer }) => lost.push(peer.name))
  node.bus.on('peer.gone', ({ peer }) => lost.push(peer.name))
  const peers = await Promise.all(Array.from({ length: 100 }, () => outsider(t)))
  const closed: Promise<unknown>[] = []
  for (let round = 0; round < 10; round += 1)
    await Promise.all(peers.map(async (peer) => closed.push(once(await linkTo(node, peer), 'close'))))
  const begun = performance.now()
  await Promise.all(closed)
  assert.equal(closed.length, 1_000)
  assert.ok(performance.now() - begun < 15_000)
  assert.deepEqual(lost, [])
  const arrived = merged(node, honest.identity.id, ({ customInformation }) => customInformation === 'still here')
  await request(honest, { type: 'record.describe', text: 'still here' })
  await arrived
})

test('a damaged table is quarantined, and its peers return by gossip', async (t) => {
  const home = temporaryHome()
  const first = await nodeHere(t, home)
  const other = await nodeHere(t)
  const known = Promise.all([merged(first, other.identity.id), merged(other, first.identity.id)])
  await add(first, other)
  await known
  await first.stop()
  const path = join(home.P2PRC as string, 'p2p/iptable/ip_table.json')
  const written = readFileSync(path, 'utf8')
  writeFileSync(path, written.slice(0, written.length - 9))
  const again = await nodeHere(t, home)
  const { record } = await merged(again, other.identity.id)
  assert.equal(record.id, other.identity.id)
  assert.equal((await peersOf(again))[0]?.id, other.identity.id)
})
