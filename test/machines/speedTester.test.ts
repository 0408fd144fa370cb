import assert from 'node:assert/strict'
import { createServer, type RequestListener, type Server } from 'node:http'
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net'
import { after, test } from 'node:test'
import { createDialer } from '../../actors/net/dialer.ts'
import { request } from '../../actors/request.ts'
import { createSpeedTester } from '../../actors/speedTester.ts'
import { supervise } from '../../actors/supervise.ts'
import { isEnough, rateOf } from '../../machines/speedMeter.ts'
import { createBus } from '../../protocol/bus.ts'
import { SPEED } from '../../protocol/defaults/speedTester.ts'
import type { NodeId } from '../../protocol/ids.ts'
import type { BusEvent } from '../../protocol/index.ts'
import type { Address } from '../../protocol/net/address.ts'
import { directEndpoint } from '../../protocol/net/endpoint.ts'
import { receivedSpecs } from '../../protocol/wire/specs.ts'
import { rangeOf, SPEED_PATH } from '../../protocol/wire/speed.ts'
import { record } from '../support/harness.ts'
import { codeOf, http, httpHarness, newIdentity, tls } from '../support/httpHarness.ts'

const harness = await httpHarness()
const { rights, listener, dir, bus: harnessBus } = harness
harnessBus.publish({ type: 'specs.changed', specs: receivedSpecs.parse({ Hostname: 'lender' }) })
after(() => harness.close())
const { port } = listener
const alice = await newIdentity(dir, 'alice')
const mallory = await newIdentity(dir, 'mallory')
const trustAlice = () => {
  rights.current = { trusted: new Set([alice.id]), open: false, relay: 'off' }
}

/** Returns `count` samples of a link with this rate in Mbit/s. */
const steady = (mbit: number, count: number) => Array.from({ length: count }, () => (mbit * 1e6 * 0.05) / 8)
const within = (value: number, wanted: number) => Math.abs(value / wanted - 1) < 0.02
const zeros = (count: number) => Array.from({ length: count }, () => 0)

const rates: [string, number[], number][] = [
  ['nothing', [], 0],
  ['one sample', steady(8, 1), 8],
  ['a short transfer', steady(8, 7), 8],
  ['a steady link', steady(50, 30), 50],
  ['a burst at the beginning', [...steady(900, 5), ...steady(50, 40)], 50],
  ['a slow start', [...steady(1, 5), ...steady(20, 5), ...steady(100, 30)], 100],
  ['a slow start, half of a short test', [...steady(1, 14), ...steady(100, 16)], 100],
  [
    'a lost segment: nothing for 300 ms, then all',
    [...steady(10, 28), ...zeros(6), ...steady(70, 1), ...steady(10, 25)],
    10,
  ],
  ['a stop near the end', [...steady(10, 45), ...zeros(6)], 10],
]
for (const [what, samples, wanted] of rates) {
  test(`${what}: ${wanted} Mbit/s`, () => {
    const rate = rateOf(samples)
    assert.ok(wanted === 0 ? rate === 0 : within(rate, wanted), `${rate} Mbit/s`)
  })
}

const ends: [string, number[], number | undefined, boolean][] = [
  ['steady, but too early', steady(50, 29), undefined, false],
  ['steady for long enough', steady(50, 30), undefined, true],
  ['not steady yet', [...steady(50, 25), ...steady(20, 5)], undefined, false],
  ['steady again', [...steady(20, 25), ...steady(50, 10)], undefined, true],
  ['nothing comes any more', [...steady(50, 20), ...zeros(15)], undefined, false],
  ['50 MB in less than a second', steady(900, 19), 60_000_000, false],
  ['50 MB and one second', steady(900, 20), 112_500_000, true],
]
for (const [what, samples, bytes, wanted] of ends) {
  test(`${what}: the test ${wanted ? 'ends' : 'goes on'}`, () => {
    assert.equal(isEnough(samples, bytes ?? samples.reduce((sum, sample) => sum + sample, 0)), wanted)
  })
}

const ranges: [string | undefined, string][] = [
  [undefined, '0-99'],
  ['bytes=0-0', '0-0'],
  ['bytes=10-', '10-99'],
  ['bytes=-5', '95-99'],
  ['bytes=-500', '0-99'],
  ['bytes=90-200', '90-99'],
  ['bytes=100-', 'none'],
  ['bytes=-0', 'none'],
  ['bytes=9-3', '0-99'],
  ['bytes=0-1,5-6', '0-99'],
  ['bytes=-', '0-99'],
  ['lines=1-2', '0-99'],
]
for (const [header, wanted] of ranges) {
  test(`range ${header} is ${wanted}`, () => {
    const found = rangeOf(header, 100)
    assert.equal(found ? `${found.from}-${found.to}` : 'none', wanted)
  })
}

/** Starts the concern of a node that measures, with a table in which every name is `at`. */
function tester(identity: typeof alice, { id, ...at }: Address & { id?: NodeId } = harness.where) {
  const bus = createBus<BusEvent>()
  const facts = record(bus)
  const concern = supervise(
    createSpeedTester({
      resolve: async () => ({ endpoints: [directEndpoint(at)], ...(id && { id }) }),
      dialer: createDialer({ identity }),
    }),
    { bus },
  )
  concern.start()
  let serial = 0
  const measure = (direction: 'both' | 'download' | 'upload' = 'both', signal?: AbortSignal) =>
    request(
      bus,
      { type: 'speed.measure', requestId: `r${++serial}`, caller: 'owner', where: 'x', direction },
      signal ? { signal } : {},
    )
  return { bus, facts, measure, stop: () => concern.stop() }
}

test('both directions between two nodes, with progress, and the id that was proved', async () => {
  trustAlice()
  const { measure, facts, stop } = tester(alice)
  const fact = await measure()
  assert.equal(fact.type, 'speed.measured')
  if (fact.type !== 'speed.measured') return
  assert.deepEqual([fact.id, fact.endpoint.port], [harness.identity.id, port])
  assert.ok(Number(fact.download) > 50 && Number(fact.upload) > 50, JSON.stringify(fact))
  assert.ok(Number.isSafeInteger(fact.latencyNs) && fact.latencyNs > 0 && fact.latencyNs <= fact.latencyMedianNs)
  const steps = new Set(facts.map((event) => event.type === 'speed.progress' && event.step))
  for (const step of ['latency', 'download', 'upload'] as const) assert.ok(steps.has(step), step)
  stop()
})

test('without trust not a byte flows in either direction, for any caller and any request', async () => {
  rights.current = { trusted: new Set([alice.id]), open: false, relay: 'off' }
  const { measure, stop } = tester(mallory)
  for (const direction of ['download', 'upload'] as const) {
    await assert.rejects(measure(direction), (error: { code: string; message: string }) => {
      assert.equal(error.code, 'not_trusted')
      assert.match(error.message, /p2prc trust add "ssh-ed25519 /)
      return true
    })
  }
  stop()
  for (const open of [false, true]) {
    rights.current = { trusted: new Set(), open, relay: 'off' }
    for (const method of ['GET', 'POST']) {
      const headers = { 'content-type': 'application/octet-stream' }
      const plain = await http(port, { method, path: SPEED_PATH, headers })
      assert.deepEqual([plain.status, codeOf(plain)], [403, 'not_trusted'], `${method}, open ${open}`)
    }
  }
  // Only the owner can make a node measure a third one.
  rights.current = { trusted: new Set([alice.id]), open: true, relay: 'off' }
  const body = JSON.stringify({ type: 'speed.measure', where: '127.0.0.1:9' })
  const headers = { 'content-type': 'application/json' }
  const asked = await http(await tls(port, alice.tls), { method: 'POST', path: '/api/v1/commands', headers, body })
  assert.deepEqual([asked.status, codeOf(asked)], [403, 'not_owner'])
})

test('an upload waits for consent: a peer that refuses receives a handshake and a request, but no payload', async () => {
  rights.current = { trusted: new Set(), open: false, relay: 'off' }
  let sent = 0
  const wire = createTcpServer((socket) => {
    const behind = connect(port, '127.0.0.1')
    socket.on('data', (chunk) => {
      sent += chunk.length
    })
    socket.pipe(behind).pipe(socket)
    for (const end of [socket, behind]) end.on('error', () => {})
  })
  const { measure, stop } = tester(alice, await listening(wire))
  try {
    await assert.rejects(measure('upload'), { code: 'not_trusted' })
    // This includes ten round trips and two handshakes with certificates.
    assert.ok(sent > 0 && sent < 8_000, `${sent} bytes`)
  } finally {
    stop()
    wire.close()
  }
})

test('one test per peer and two in all run at a time; the others get too_many', async () => {
  const bob = await newIdentity(dir, 'bob')
  const carol = await newIdentity(dir, 'carol')
  rights.current = { trusted: new Set([alice, bob, carol].map(({ id }) => id)), open: false, relay: 'off' }
  /** Starts a reader that keeps its test open and reads nothing yet. */
  const hold = async (identity: typeof alice) => {
    const socket = await tls(port, identity.tls)
    socket.write(`GET ${SPEED_PATH} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`)
    await new Promise((resolve) => socket.once('readable', resolve))
    return socket
  }
  const first = await hold(alice)
  const again = await http(await tls(port, alice.tls), { path: SPEED_PATH })
  assert.deepEqual([again.status, codeOf(again)], [429, 'too_many'])
  const second = await hold(bob)
  const third = await http(await tls(port, carol.tls), { path: SPEED_PATH })
  assert.deepEqual([third.status, codeOf(third)], [429, 'too_many'])
  // A reader that disconnects releases its slot; one that stays is disconnected soon after the end of the test.
  second.destroy()
  const from = performance.now()
  await new Promise((resolve) => {
    first.once('close', resolve)
    first.on('error', () => {})
    first.resume()
  })
  assert.ok(performance.now() - from < SPEED.maxMs + SPEED.slackMs + 1_500)
  const { measure, stop } = tester(alice)
  assert.equal((await measure('download')).type, 'speed.measured')
  stop()
})

test('an abandoned test ends at once, and the next one gets its slot', async () => {
  trustAlice()
  const { measure, bus, stop } = tester(alice)
  const over = new AbortController()
  const untap = bus.tap(({ type }) => type === 'speed.progress' && over.abort())
  const queued = measure('upload')
  await assert.rejects(measure('download', over.signal), { code: 'abandoned' }).finally(untap)
  assert.equal((await queued).type, 'speed.measured')
  stop()
})

async function listening(server: Server | ReturnType<typeof createTcpServer>): Promise<Address & { id?: NodeId }> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { host: '127.0.0.1', port: (server.address() as AddressInfo).port }
}

/** Opens a Go node that serves pings and the routes of `answer`. */
async function goNode(answer: RequestListener) {
  const server = createServer((request, response) =>
    request.url === '/server_info' ? void response.end('{"Hostname":"go"}') : answer(request, response),
  )
  const at = await listening(server)
  const close = () => {
    server.closeAllConnections()
    server.close()
  }
  return { at, close }
}

test('a Go node is measured by its /50 and by a GET of /upload, as P2PRC does', async () => {
  let uploaded = 0
  let head = ''
  const go = await goNode((request, response) => {
    if (request.url === '/50') return response.end(Buffer.alloc(SPEED.fileBytes, 7))
    assert.deepEqual([request.method, request.url], ['GET', '/upload'])
    request.on('data', (chunk: Buffer) => {
      if (uploaded === 0) head = chunk.toString('latin1', 0, 200)
      uploaded += chunk.length
    })
    request.on('end', () => response.end("'50' uploaded!"))
  })
  const { measure, stop } = tester(alice, go.at)
  try {
    const fact = await measure()
    assert.ok(fact.type === 'speed.measured' && fact.id === undefined)
    assert.ok(Number(fact.download) > 50 && Number(fact.upload) > 50, JSON.stringify(fact))
    assert.match(head, /^--\S+\r\nContent-Disposition: form-data; name="file"; filename="50"\r\n/)
    assert.ok(uploaded < SPEED.maxBytes + 1_000_000)
  } finally {
    stop()
    go.close()
  }
})

test('a Go node without its file, as every new one is, is measured as far as it serves', async () => {
  const go = await goNode((request, response) => {
    if (request.url === '/50') return response.writeHead(404).end('404 page not found')
    request.resume().on('end', () => response.end('ok'))
  })
  const none = await goNode((_, response) => response.writeHead(404).end())
  try {
    const half = tester(alice, go.at)
    const fact = await half.measure()
    assert.ok(fact.type === 'speed.measured' && fact.download === null && Number(fact.upload) > 0)
    half.stop()
    const nothing = tester(alice, none.at)
    await assert.rejects(nothing.measure('download'), { code: 'not_served' })
    nothing.stop()
  } finally {
    go.close()
    none.close()
  }
})

test('a peer that hangs, is absent, or is another node costs its timeout', async () => {
  const open = new Set<Socket>()
  const silent = createTcpServer((socket) => open.add(socket))
  const at = await listening(silent)
  const hangs = await goNode(() => {})
  const nobody = await goNode(() => {})
  nobody.close()
  try {
    const cases: [Address & { id?: NodeId }, RegExp][] = [
      [nobody.at, /^unreachable$/],
      [{ ...harness.where, id: mallory.id }, /^wrong_node$/],
      [at, /^timed_out$/],
      [hangs.at, /^timed_out$/],
    ]
    for (const [where, code] of cases) {
      const { measure, stop } = tester(alice, where)
      const from = performance.now()
      await assert.rejects(measure('download'), (error: { code: string }) => code.test(error.code))
      assert.ok(performance.now() - from < 9_500)
      stop()
    }
  } finally {
    silent.close()
    for (const socket of open) socket.destroy()
    hangs.close()
  }
})

test('/50 and /upload are refused in the clear without --open', async () => {
  trustAlice()
  for (const path of ['/50', '/upload']) {
    const reply = await http(port, { path })
    assert.deepEqual([reply.status, codeOf(reply)], [403, 'not_trusted'])
  }
})

async function bytesOf(headers: Record<string, string> = {}) {
  const response = await fetch(`http://127.0.0.1:${port}/50`, { headers })
  return { response, bytes: Buffer.from(await response.arrayBuffer()) }
}

test('with --open, /50 is 50 MB of incompressible data, whole and in matching ranges', async () => {
  rights.current = { trusted: new Set(), open: true, relay: 'off' }
  const { response, bytes } = await bytesOf()
  assert.deepEqual([response.status, bytes.length], [200, 50_000_000])
  assert.equal(response.headers.get('content-length'), '50000000')
  const { deflateSync } = await import('node:zlib')
  assert.ok(deflateSync(bytes.subarray(0, 1_000_000)).length > 999_000)
  const part = await bytesOf({ range: 'bytes=1048570-1048600' })
  assert.deepEqual(
    [part.response.status, part.response.headers.get('content-range')],
    [206, 'bytes 1048570-1048600/50000000'],
  )
  assert.ok(part.bytes.equals(bytes.subarray(1_048_570, 1_048_601)))
  const beyond = await bytesOf({ range: 'bytes=50000000-' })
  assert.deepEqual([beyond.response.status, beyond.response.headers.get('content-range')], [416, 'bytes */50000000'])
})

const part = (name: string, text: string) =>
  `--b\r\nContent-Disposition: form-data; name="${name}"; filename="big.bin"\r\n\r\n${text}\r\n--b--\r\n`

test('with --open, /upload discards a file, by GET as P2PRC sends it and by POST', async () => {
  rights.current = { trusted: new Set(), open: true, relay: 'off' }
  const headers = { 'content-type': 'multipart/form-data; boundary=b' }
  for (const method of ['GET', 'POST']) {
    const reply = await http(port, { method, path: '/upload', headers, body: part('file', 'x'.repeat(100_000)) })
    assert.deepEqual([reply.status, reply.text], [200, "'big.bin' uploaded!"])
    const wrong = await http(port, { method, path: '/upload', headers, body: part('other', 'x') })
    assert.deepEqual([wrong.status, codeOf(wrong)], [400, 'bad_request'])
  }
  const none = await http(port, { path: '/upload' })
  assert.deepEqual([none.status, codeOf(none)], [415, 'bad_media_type'])
  const large = await http(port, { path: '/upload', headers, body: Buffer.alloc(SPEED.fileBytes + 10_000_000) }).catch(
    (error: NodeJS.ErrnoException) => error.code ?? '',
  )
  // The kernel decides whether the answer or the end of the connection arrives first.
  if (typeof large === 'string') assert.match(large, /EPIPE|ECONNRESET/)
  else assert.equal(codeOf(large), 'too_large')
})
