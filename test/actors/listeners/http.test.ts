import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { createHttpServer } from '../../../actors/listeners/httpServer.ts'
import type { Principal } from '../../../actors/listeners/principal.ts'
import { createRateLimit } from '../../../actors/listeners/rateLimit.ts'
import { openListener } from '../../../actors/listeners/tcp.ts'
import { COMMANDS_PATH, EVENTS_PATH, PING_PATH } from '../../../protocol/control.ts'
import { ANONYMOUS_COUNTED_MAX, BODY_MAX_BYTES } from '../../../protocol/defaults/listeners.ts'
import { type BusEvent, commands } from '../../../protocol/index.ts'
import { receivedSpecs } from '../../../protocol/wire/specs.ts'
import { nextEvent } from '../../support/harness.ts'
import {
  codeOf,
  command,
  http,
  httpHarness,
  lines,
  madeContainer,
  newIdentity,
  tls,
} from '../../support/httpHarness.ts'

const harness = await httpHarness()
const { bus, rights, seen, listener, socketPath, dir } = harness
after(() => harness.close())
const alice = await newIdentity(dir, 'alice')
const { port } = listener
const connectAs = (identity = alice) => tls(port, identity.tls)

const specs = receivedSpecs.parse({ Hostname: 'lender', CPU: 'x' })
const id = 'b'.repeat(64)
bus.on('node.show', ({ requestId }) => {
  const { publicKey } = harness.identity
  bus.publish({
    type: 'node.shown',
    requestId,
    id: harness.identity.id,
    name: 'lender',
    key: publicKey,
    version: '0',
    protocols: [1],
  })
})
bus.on('specs.get', ({ requestId }) => bus.publish({ type: 'specs.got', requestId, specs }))
bus.on('container.create', ({ requestId, image }) => {
  if (image === 'silent') return
  bus.publish({ type: 'container.progress', requestId, step: 'create', line: 'making' })
  if (image === 'none')
    bus.publish({ type: 'container.createFailed', requestId, code: 'bad_image', message: 'no such' })
  else bus.publish({ type: 'container.created', requestId, container: madeContainer() })
})
bus.on('container.remove', ({ requestId }) => bus.publish({ type: 'container.removed', requestId, id: id as never }))

/** Returns the commands that reached the bus since the last call. */
function arrived(): (BusEvent & { caller?: string })[] {
  const found = seen.filter(({ type }) => commands.has(type))
  seen.length = 0
  return found
}

const payloads: Record<string, object> = {
  'container.create': {},
  'container.remove': { id },
  'container.logs': { id },
  'specs.request': { where: 'x' },
  'loan.take': { where: 'x' },
  'loan.return': { id },
  'loan.find': { id },
  'loan.logs': { id },
  'trust.add': { key: 'x' },
  'trust.remove': { who: 'x' },
}

test('every command through every listener: a command that is not allowed never reaches the bus', async () => {
  const mallory = await newIdentity(dir, 'mallory')
  for (const open of [false, true]) {
    rights.current = { trusted: new Set([alice.id]), open, relay: 'off' }
    for (const [type, { action }] of commands) {
      const body = { type, caller: 'owner', ...payloads[type] }
      arrived()
      if (action !== 'see') {
        const reply = await command(port, body)
        assert.equal(reply.status, 403, `${type} in the clear`)
        assert.match(codeOf(reply), /^not_(trusted|owner)$/)
      }
      if (action === 'administer' || (action === 'borrow' && !open)) {
        const untrusted = await command(await connectAs(mallory), body)
        assert.equal(untrusted.status, 403, `${type} by an anonymous caller's key`)
        assert.equal(codeOf(untrusted), action === 'borrow' ? 'not_trusted' : 'not_owner')
      }
      if (action === 'administer') {
        const trusted = await command(await connectAs(), body)
        assert.equal(codeOf(trusted), 'not_owner', `${type} by a trusted peer`)
      }
      const withoutKey = action === 'see' ? undefined : await command(await tls(port), body)
      if (withoutKey) assert.equal(withoutKey.status, 403, `${type} over TLS without a key`)
      assert.deepEqual(arrived(), [], `${type} reached the bus`)
    }
  }
  rights.current = { trusted: new Set(), open: false, relay: 'off' }
})

test('every path and method without credentials: only what an anonymous caller may see is served, and nothing changes', async () => {
  const paths = [
    '/',
    '/server_info',
    '/server_specs',
    '/startcontainer',
    `/RemoveContainer?id=${id}`,
    COMMANDS_PATH,
    EVENTS_PATH,
    PING_PATH,
  ]
  paths.push(
    '/api',
    '/api/v1',
    '/api/v1/',
    `${COMMANDS_PATH}/`,
    '/api/v1/nothing',
    '//server_info',
    '/SERVER_INFO',
    '/removecontainer',
  )
  paths.push(
    '/50',
    '/upload',
    '/FRPPort',
    '/MAPPort',
    '/AddProxy',
    '/%2e%2e/etc/passwd',
    '/%zz',
    '/server_info/',
    '/server_info%00',
  )
  const methods = ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND', 'LINK']
  const served = new Set(['GET /server_info', 'GET /server_specs', `GET ${PING_PATH}`])
  arrived()
  for (const path of paths) {
    for (const method of methods) {
      const reply = await http(port, { method, path })
      const line = `${method} ${path}`
      assert.equal(reply.status === 200, served.has(line), `${line} gave ${reply.status} ${reply.text}`)
      assert.ok(reply.status < 500, line)
      if (path.startsWith('/api') && !served.has(line)) assert.match(codeOf(reply), /^[a-z_]+$/, line)
    }
  }
  assert.deepEqual(new Set(arrived().map(({ type }) => type)), new Set(['specs.get']))
})

test("an unknown path, and a method that a path does not have, is P2PRC's 404", async () => {
  for (const send of [
    { path: '/x' },
    { path: '/server_info', method: 'POST' },
    { path: '/server_info', method: 'PROPFIND' },
  ]) {
    const reply = await http(port, send)
    assert.deepEqual([reply.status, reply.text], [404, '404 page not found'])
    assert.equal(reply.headers['content-type'], 'text/plain; charset=utf-8')
  }
  assert.equal(codeOf(await http(port, { path: '/api/v1/x' })), 'not_found')
})

test('a refusal names the exact command for the lender, and after this command the peer may borrow', async () => {
  const refusal = await command(await connectAs(), { type: 'container.create' })
  const line = /p2prc trust add "([^"]+)"$/.exec(JSON.parse(refusal.text).error.message)?.[1]
  assert.equal(line, alice.publicKey)
  rights.current = { trusted: new Set([alice.id]), open: false, relay: 'off' }
  const reply = await command(await connectAs(), { type: 'container.create', requestId: 'mine' })
  assert.equal(reply.status, 200)
  rights.current = { trusted: new Set(), open: false, relay: 'off' }
})

test('a name in a certificate cannot inject anything into the command that the lender pastes', async () => {
  const evil = await newIdentity(dir, 'evil')
  const { makeCertificate } = await import('../../../actors/identity/certificate.ts')
  const { createPrivateKey } = await import('node:crypto')
  const cert = makeCertificate(createPrivateKey(evil.tls.key), 'x"; touch X; "')
  const refusal = await command(await tls(port, { key: evil.tls.key, cert }), { type: 'container.create' })
  assert.match(
    JSON.parse(refusal.text).error.message,
    /: p2prc trust add "ssh-ed25519 [A-Za-z0-9+/=]+ [A-Za-z0-9._-]+"$/,
  )
})

test("facts stream as NDJSON with the caller's own requestId and the terminal event last; only this reply has the secret", async () => {
  rights.current = { trusted: new Set([alice.id]), open: false, relay: 'off' }
  arrived()
  const reply = await command(await connectAs(), { type: 'container.create', requestId: 'mine 1' })
  assert.equal(reply.headers['content-type'], 'application/x-ndjson')
  assert.deepEqual(
    lines(reply).map(({ type, requestId }) => [type, requestId]),
    [
      ['container.progress', 'mine 1'],
      ['container.created', 'mine 1'],
    ],
  )
  assert.match(reply.text, /correct horse/)
  assert.ok(!JSON.stringify(seen).includes('correct horse'))
  const [create] = arrived()
  assert.deepEqual([create?.caller, (create as { requestId?: string }).requestId], [alice.id, `${alice.id} mine 1`])
  const failed = lines(await command(await connectAs(), { type: 'container.create', image: 'none' }))
  assert.deepEqual([failed.length, failed[1]?.type, failed[1]?.code], [2, 'container.createFailed', 'bad_image'])
  rights.current = { trusted: new Set(), open: false, relay: 'off' }
})

test("the owner's socket accepts every command, even without a requestId, as curl would send it", async () => {
  const [shown] = lines(await command(socketPath, { type: 'node.show' }))
  assert.equal(shown?.type, 'node.shown')
  assert.match(String(shown?.requestId), /^[0-9a-f-]{36}$/)
})

const tooDeep = `${'['.repeat(33)}${']'.repeat(33)}`
const bad: [string, string, string, string?][] = [
  ['not JSON', '{', 'bad_request'],
  ['nothing', '', 'bad_request'],
  ['null', 'null', 'bad_request'],
  ['a list', '[]', 'bad_request'],
  ['a number', '1', 'bad_request'],
  ['no type', '{}', 'bad_request'],
  ['a type that is not text', '{"type":1}', 'bad_request'],
  ['an unknown command', '{"type":"x.y"}', 'unknown_command'],
  ['a fact', '{"type":"trust.changed","trusted":[]}', 'unknown_command'],
  ['a name from Object', '{"type":"constructor"}', 'unknown_command'],
  ['a requestId that is not text', '{"type":"node.show","requestId":1}', 'bad_request'],
  ['an empty requestId', '{"type":"node.show","requestId":""}', 'bad_request'],
  ['a long requestId', JSON.stringify({ type: 'node.show', requestId: 'x'.repeat(129) }), 'bad_request'],
  ['a requestId with an escape code', '{"type":"node.show","requestId":"\\u001b[31m"}', 'bad_request'],
  ['__proto__', '{"type":"node.show","__proto__":{"caller":"owner"}}', 'bad_request'],
  ['__proto__ in disguise', '{"type":"node.show","\\u005f_proto__":{"caller":"owner"}}', 'bad_request'],
  ['deep JSON', `{"type":"node.show","x":${tooDeep}}`, 'bad_request'],
  ['very deep JSON', `{"type":"node.show","x":${'['.repeat(500_000)}`, 'bad_request'],
  ['a value outside the schema', '{"type":"container.create","ports":-1}', 'bad_request'],
  ['a shell string', '{"type":"container.remove","id":"\\"; touch X; \\""}', 'bad_request'],
  ['another content type', '{"type":"node.show"}', 'bad_media_type', 'text/plain'],
  ['a form', 'type=node.show', 'bad_media_type', 'application/x-www-form-urlencoded'],
]

for (const [what, body, code, type = 'application/json'] of bad) {
  test(`${what} as a command is ${code}, and nothing reaches the bus`, async () => {
    arrived()
    const reply = await command(socketPath, body, { 'content-type': type })
    assert.equal(codeOf(reply), code)
    assert.ok(reply.status >= 400 && reply.status < 500, String(reply.status))
    assert.match(reply.text, /^[\x20-\x7e–…•]+$/)
    assert.deepEqual(arrived(), [])
  })
}

test('JSON of the maximum depth and size is accepted, and one more byte is too_large', async () => {
  const fill = (bytes: number) => `{"type":"node.show","x":"${'x'.repeat(bytes - 27)}"}`
  assert.equal((await command(socketPath, fill(BODY_MAX_BYTES))).status, 200)
  assert.equal(codeOf(await command(socketPath, fill(BODY_MAX_BYTES + 1))), 'too_large')
  const deep = `{"type":"node.show","x":${'['.repeat(31)}${']'.repeat(31)}}`
  assert.equal((await command(socketPath, deep)).status, 200)
})

test('a client that disconnects abandons its request, unless another connection repeats the request', async () => {
  rights.current = { trusted: new Set([alice.id]), open: false, relay: 'off' }
  const identical = { type: 'container.create', image: 'silent', requestId: 'same' }
  const first = await connectAs()
  const asked = [nextEvent(bus, 'container.create'), command(first, identical).catch(() => undefined)]
  await asked[0]
  const second = await connectAs()
  const again = nextEvent(bus, 'container.create')
  const reply = command(second, identical)
  await again
  seen.length = 0
  first.destroy()
  await asked[1]
  await command(socketPath, { type: 'node.show' })
  assert.deepEqual(
    seen.filter(({ type }) => type === 'request.abandoned'),
    [],
  )
  bus.publish({ type: 'container.created', requestId: `${alice.id} same`, container: madeContainer() })
  assert.equal(lines(await reply).at(-1)?.type, 'container.created')

  const third = await connectAs()
  const abandoned = nextEvent(bus, 'request.abandoned')
  const once = nextEvent(bus, 'container.create')
  const lost = command(third, { ...identical, requestId: 'alone' }).catch(() => undefined)
  await once
  third.destroy()
  assert.equal((await abandoned).requestId, `${alice.id} alone`)
  await lost

  // When both have disconnected, both repetitions are abandoned, because the concern counts its waiters.
  const both = [await connectAs(), await connectAs()]
  const gone: Promise<unknown>[] = []
  for (const socket of both) {
    const received = nextEvent(bus, 'container.create')
    gone.push(command(socket, { ...identical, requestId: 'both' }).catch(() => undefined))
    await received
  }
  seen.length = 0
  const last = nextEvent(
    bus,
    'request.abandoned',
    () => seen.filter(({ type }) => type === 'request.abandoned').length === 2,
  )
  for (const socket of both) socket.destroy()
  assert.equal((await last).requestId, `${alice.id} both`)
  await Promise.all(gone)
  rights.current = { trusted: new Set(), open: false, relay: 'off' }
})

test('a command with the request id of another one that has no answer yet is refused at once', async () => {
  const asked = nextEvent(bus, 'container.create')
  const reply = command(socketPath, { type: 'container.create', image: 'silent', requestId: 'mine' })
  await asked
  seen.length = 0
  const [refused] = lines(await command(socketPath, { type: 'container.remove', id, requestId: 'mine' }))
  assert.equal((refused?.error as { code: string } | undefined)?.code, 'request_id_in_use')
  assert.deepEqual(
    seen.filter(({ type }) => type === 'container.remove' || type === 'request.abandoned'),
    [],
  )
  bus.publish({ type: 'container.created', requestId: 'mine', container: madeContainer() })
  assert.equal(lines(await reply).at(-1)?.type, 'container.created')
})

test('a concern that crashes during a request ends the stream with an error line', async () => {
  const asked = nextEvent(bus, 'container.create')
  const reply = command(socketPath, { type: 'container.create', image: 'silent' })
  await asked
  bus.publish({ type: 'node.concernCrashed', concern: 'containerManager', message: 'boom', retryMs: 1 })
  assert.equal((lines(await reply).at(-1)?.error as { code: string } | undefined)?.code, 'internal')
})

const foreign: [string, Record<string, string>][] = [
  ['another site', { origin: 'http://evil.example' }],
  ['a rebound name', { origin: 'http://evil.example:8088', host: 'evil.example:8088' }],
  ['another port', { origin: 'http://127.0.0.1:1' }],
  ['a file', { origin: 'null' }],
  ['an image in a page', { 'sec-fetch-site': 'cross-site' }],
  ['a link in a page', { referer: 'http://evil.example/x' }],
]

for (const [what, headers] of foreign) {
  test(`a request that ${what} made the owner's browser send is refused`, async () => {
    rights.current = { trusted: new Set(), open: true, relay: 'off' }
    arrived()
    const paths = [`/RemoveContainer?id=${id}`, '/startcontainer', '/server_specs']
    for (const path of paths) assert.equal(codeOf(await http(port, { path, headers })), 'foreign_origin', path)
    assert.equal(codeOf(await command(port, { type: 'node.show' }, headers)), 'foreign_origin')
    assert.deepEqual(arrived(), [])
    rights.current = { trusted: new Set(), open: false, relay: 'off' }
  })
}

test('a page of the node itself may send requests', async () => {
  const origin = `http://127.0.0.1:${port}`
  assert.equal((await command(port, { type: 'node.show' }, { origin, 'sec-fetch-site': 'same-origin' })).status, 200)
})

test('/server_info sends a request until the first reading, and is prepared in advance after it', async () => {
  arrived()
  const asked = await http(port, { path: '/server_info' })
  assert.deepEqual([asked.status, JSON.parse(asked.text)], [200, specs])
  assert.equal(arrived().length, 1)
  bus.publish({ type: 'specs.changed', specs: { ...specs, Hostname: 'new' } })
  arrived()
  for (const path of ['/server_info', '/server_specs']) {
    for (const listener of [port, socketPath]) {
      const reply = await http(listener, { path })
      assert.deepEqual([reply.status, JSON.parse(reply.text).Hostname], [200, 'new'])
      assert.equal(reply.headers['content-type'], 'application/json; charset=utf-8')
    }
  }
  assert.deepEqual(arrived(), [])
})

test('the rate limit is per address, and a new window starts at zero', async () => {
  const isWithin = createRateLimit({ max: 2, windowMs: 100 })
  const send = (address: string, now: number) => isWithin(address, now)
  assert.deepEqual(
    [send('10.0.0.1', 0), send('10.0.0.1', 1), send('10.0.0.1', 2), send('10.0.0.2', 3)],
    [true, true, false, true],
  )
  assert.deepEqual([send('10.0.0.1', 99), send('10.0.0.1', 100)], [false, true])
  const prefix64 = ['2001:db8::1', '2001:db8:0:0:5::1', '2001:db8:0:0:1:2:3:4', '2001:db8:0:1::1']
  assert.deepEqual(
    prefix64.map((address) => send(address, 100)),
    [true, true, false, true],
  )
  assert.deepEqual(
    [1, 2, 3].map(() => send('::1', 100)),
    [true, true, true],
  )
})

test('the rate limit forgets all counts before it counts more addresses than fit into its memory', async () => {
  const isWithin = createRateLimit({ max: 1, windowMs: 60_000 })
  assert.deepEqual([isWithin('10.0.0.1', 0), isWithin('10.0.0.1', 0)], [true, false])
  const address = (number: number) => `11.${number >> 16}.${(number >> 8) & 255}.${number & 255}`
  for (let number = 0; number < ANONYMOUS_COUNTED_MAX - 1; number += 1) isWithin(address(number), 0)
  assert.equal(isWithin('10.0.0.1', 0), true, 'counted anew')
  assert.equal(isWithin('10.0.0.1', 0), false)
})

test('too many requests of one anonymous caller are rejected with too_many before they are handled; the owner has no limit', async () => {
  const httpServer = await createHttpServer({
    bus,
    rights: () => rights.current,
    anonymousRate: { max: 3, windowMs: 60_000 },
  })
  let principal: Partial<Principal> = { address: '192.0.2.7' }
  const listener = await openListener({
    identity: harness.identity,
    port: 0,
    host: '127.0.0.1',
    handle: (request, response, found) => httpServer.handle(request, response, { ...found, ...principal }),
  })
  const replies = await Promise.all([1, 2, 3, 4].map(() => http(listener.port, { path: '/x' })))
  assert.deepEqual(replies.map(({ status }) => status).sort(), [404, 404, 404, 429])
  assert.equal(codeOf(await http(listener.port, { path: '/server_info' })), 'too_many')
  principal = { address: '192.0.2.8' }
  assert.equal((await http(listener.port, { path: '/x' })).status, 404)
  principal = { caller: 'owner', address: '192.0.2.7' }
  assert.equal((await http(listener.port, { path: '/x' })).status, 404)
  await httpServer.close()
  await listener.close()
})

test('close ends streams with `stopping`, and may be called twice', async () => {
  const other = await httpHarness()
  const asked = nextEvent(other.bus, 'container.create')
  const reply = command(other.socketPath, { type: 'container.create' })
  const legacy = nextEvent(other.bus, 'specs.get')
  const info = http(other.listener.port, { path: '/server_info' })
  const watched = http(other.socketPath, { path: EVENTS_PATH })
  await Promise.all([asked, legacy])
  const begun = performance.now()
  await other.close()
  await other.httpServer.close()
  await Promise.all([other.listener.close(), other.control.close()])
  assert.ok(performance.now() - begun < 1_000)
  assert.equal((lines(await reply).at(-1)?.error as { code: string } | undefined)?.code, 'stopping')
  assert.equal(codeOf(await info), 'stopping')
  await watched
})
