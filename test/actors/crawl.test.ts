import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type RequestListener, type Server } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { crawl } from '../../actors/ipTable/crawl.ts'
import { createDialer } from '../../actors/net/dialer.ts'
import type { IpTableInternalEvent } from '../../machines/ipTable/ipTablePorts.ts'
import type { Upload } from '../../machines/ipTable/publicTable.ts'
import type { UnverifiedPeer } from '../../protocol/ipTable.ts'
import { directEndpoint } from '../../protocol/net/endpoint.ts'
import { newIdentity } from '../support/httpHarness.ts'

const folder = await mkdtemp(join(tmpdir(), 'p2prc-crawl-'))
after(() => rm(folder, { recursive: true }))
const identity = await newIdentity(folder, 'crawler')

interface AnonymousPeer {
  server: Server
  port: number
  uploads: string[]
  pings: number
}

/** Starts a Go peer, which answers pings and replies to an upload with `table()`, or behaves as `answer` does. */
async function goPeer(table: () => unknown, answer?: RequestListener): Promise<AnonymousPeer> {
  const peer: AnonymousPeer = { server: createServer(), port: 0, uploads: [], pings: 0 }
  peer.server.on('request', (request, response) => {
    if (request.url === '/server_info') {
      peer.pings += 1
      return response.end('{"Hostname":"go"}')
    }
    let body = ''
    request.on('data', (chunk) => {
      body += chunk
    })
    request.on('end', () => {
      peer.uploads.push(body)
      if (answer) answer(request, response)
      else response.end(JSON.stringify(table()))
    })
  })
  await new Promise<void>((resolve) => peer.server.listen(0, '127.0.0.1', resolve))
  peer.port = (peer.server.address() as AddressInfo).port
  return peer
}

const entry = (port: number, more: object = {}) => ({ IPV4: '127.0.0.1', ServerPort: String(port), ...more })

async function crawlFrom(ports: number[], { hops = 3, upload = [] as Upload, peerMs = 1_200 } = {}) {
  const events: Extract<IpTableInternalEvent, { type: 'crawl.visited' }>[] = []
  const known = ports.map((port) => ({
    key: `127.0.0.1:${port}`,
    endpoints: [{ kind: 'direct' as const, host: '127.0.0.1', port, provedAt: null, failedAt: null, trusted: true }],
    keyed: false,
    measure: true,
    specs: true,
    signal: new AbortController().signal,
  }))
  const dialer = createDialer({ identity, test: true })
  const report = (event: IpTableInternalEvent) => {
    if (event.type === 'crawl.visited') events.push(event)
  }
  const input = { requestId: 'r', hops, known, upload, signal: new AbortController().signal }
  const from = performance.now()
  const named: UnverifiedPeer[] = await crawl(input, { dialer, test: true, report, peerMs })
  const visited = new Map(events.map((event) => [Number(event.progress.where.split(':')[1]), event]))
  return { events, visited, named, ms: performance.now() - from }
}

test('a crawl makes the requested number of hops: it measures, uploads its table, and takes theirs', async () => {
  const third: AnonymousPeer = await goPeer(() => ({ ip_address: null }))
  const second: AnonymousPeer = await goPeer(() => ({ ip_address: [entry(third.port)] }))
  const first: AnonymousPeer = await goPeer(() => ({
    ip_address: [entry(second.port), entry(first.port, { Name: 'go-1', CustomInformation: 'hi' })],
  }))
  try {
    const document = '{"ip_address":[{"Name":"me"}]}'
    const upload = [{ addresses: [], text: '{"Name":"me"}' }]
    const one = await crawlFrom([first.port], { hops: 1, upload })
    assert.deepEqual([...one.visited.keys()], [first.port])
    assert.deepEqual(
      one.named.map(({ endpoint }) => endpoint),
      [directEndpoint({ host: '127.0.0.1', port: second.port })],
    )
    const { visited, named } = await crawlFrom([first.port], { upload })
    assert.deepEqual(
      [...visited.values()].map(({ progress }) => [progress.hop, progress.entries]),
      [
        [1, 2],
        [2, 1],
        [3, 0],
      ],
    )
    assert.deepEqual(named, [])
    const outcome = visited.get(first.port)?.outcome
    assert.ok(outcome?.kind === 'legacy' && outcome.latencyNs !== undefined && outcome.latencyNs > 0)
    assert.deepEqual([outcome.fields?.Name, outcome.fields?.CustomInformation], ['go-1', 'hi'])
    assert.equal(first.pings, 22)
    assert.match(
      first.uploads[0] ?? '',
      /^--p2prc-[^\r]+\r\nContent-Disposition: form-data; name="json"; filename="ip_table.json"\r\n/,
    )
    assert.ok(first.uploads[0]?.includes(document))
  } finally {
    for (const { server } of [first, second, third]) server.close()
  }
})

test('peers that hang, lie, answer garbage or nothing cost their timeout and nothing else', async () => {
  const honest = await goPeer(() => ({ ip_address: [] }))
  const behind = await goPeer(() => ({ ip_address: [] }))
  const guide = await goPeer(() => ({ ip_address: [entry(behind.port)] }))
  const silent = createTcpServer()
  const bad: Record<string, AnonymousPeer> = {
    hangs: await goPeer(
      () => null,
      () => {},
    ),
    drops: await goPeer(
      () => null,
      (request) => request.socket.destroy(),
    ),
    cuts: await goPeer(
      () => null,
      (_, response) => {
        response.writeHead(200, { 'content-length': 1_000 })
        response.write('{"ip_address":[')
        setImmediate(() => response.destroy())
      },
    ),
    text: await goPeer(
      () => null,
      (_, response) => response.end("request Content-Type isn't multipart/form-data"),
    ),
    floods: await goPeer(
      () => null,
      (_, response) => {
        const chunk = Buffer.alloc(256 * 1024, 0x20)
        const more = () => {
          while (!response.destroyed && response.write(chunk));
          if (!response.destroyed) response.once('drain', more)
        }
        more()
      },
    ),
    trickles: await goPeer(
      () => null,
      (_, response) => {
        const timer = setInterval(() => response.write(' '), 20)
        response.on('close', () => clearInterval(timer))
      },
    ),
    nests: await goPeer(
      () => null,
      (_, response) => response.end(`{"ip_address":${'['.repeat(100_000)}`),
    ),
    pollutes: await goPeer(
      () => null,
      (_, response) => response.end('{"ip_address":[],"__proto__":{"polluted":1}}'),
    ),
    refuses: await goPeer(
      () => null,
      (_, response) => response.writeHead(500).end('{}'),
    ),
  }
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  try {
    const silentPort = (silent.address() as AddressInfo).port
    const closed = await goPeer(() => null)
    await new Promise((resolve) => closed.server.close(resolve))
    const ports = [silentPort, closed.port, ...Object.values(bad).map(({ port }) => port), honest.port, guide.port]
    const { visited, ms } = await crawlFrom(ports, { hops: 2 })
    assert.ok(ms < 4_000, `${ms} ms`)
    assert.equal(visited.get(honest.port)?.progress.entries, 0)
    assert.equal(visited.get(behind.port)?.progress.hop, 2)
    assert.deepEqual(
      [visited.get(silentPort)?.outcome.kind, visited.get(closed.port)?.outcome.kind],
      ['silent', 'silent'],
    )
    for (const [name, { port }] of Object.entries(bad)) {
      assert.equal(visited.get(port)?.outcome.kind, 'legacy', `${name} answers pings`)
      assert.match(
        visited.get(port)?.progress.failure?.code ?? '',
        /^(timed_out|unreachable|protocol_error|too_large)$/,
        name,
      )
    }
    assert.equal(({} as { polluted?: number }).polluted, undefined)
  } finally {
    silent.close()
    for (const { server } of [honest, behind, guide, ...Object.values(bad)]) {
      server.closeAllConnections()
      server.close()
    }
  }
})

test('of 10,000 addresses of a liar 64 are taken, not before those of honest peers, and ten a second are dialled', async () => {
  const dialled: number[] = []
  const sink = await goPeer(() => ({ ip_address: [] }))
  sink.server.on('connection', () => dialled.push(performance.now()))
  const honest = await goPeer(() => ({ ip_address: [entry(sink.port)] }))
  const liar = await goPeer(() => ({
    ip_address: Array.from({ length: 10_000 }, (_, index) => ({
      IPV4: `127.${1 + (index >> 8)}.${index & 255}.1`,
      ServerPort: String(9_000 + (index % 999)),
    })),
  }))
  try {
    const { events, visited, ms } = await crawlFrom([liar.port, honest.port], { hops: 2 })
    const second = events.filter(({ progress }) => progress.hop === 2)
    assert.equal(second.length, 65)
    assert.ok(second.findIndex(({ progress }) => progress.where.endsWith(`:${sink.port}`)) < 20)
    assert.equal(visited.get(sink.port)?.outcome.kind, 'legacy')
    assert.ok(ms > 5_000, `65 dials took ${ms} ms`)
  } finally {
    for (const { server } of [sink, honest, liar]) server.close()
  }
})
