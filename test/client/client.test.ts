import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, type TestContext, test } from 'node:test'
import { type Client, connect } from '../../client/client.ts'
import { controlSocket } from '../../client/controlSocket.ts'
import { type Exchange, httpTransport } from '../../client/httpTransport.ts'
import { COMMANDS_PATH, NDJSON } from '../../protocol/control.ts'
import { EVENTS_BACKLOG_MAX_BYTES } from '../../protocol/defaults/listeners.ts'
import { PROTOCOL_VERSION } from '../../protocol/defaults/node.ts'
import { nextEvent, nextTick } from '../support/harness.ts'
import { httpHarness, madeContainer } from '../support/httpHarness.ts'
import { startNode, temporaryHome } from '../support/processes.ts'

const harness = await httpHarness()
const { bus, socketPath } = harness
after(() => harness.close())
const client = connect({ transport: controlSocket({ path: socketPath }) })

const id = 'a'.repeat(64)
const many = 400
bus.on('container.create', ({ requestId, image }) => {
  if (image === 'silent') return
  bus.publish({ type: 'container.progress', requestId, step: 'create', line: '\u001b[31mred\u001b[0m\u202e' })
  if (image === 'half') return
  if (image === 'none')
    bus.publish({ type: 'container.createFailed', requestId, code: 'gpu_missing', message: 'none here' })
  else bus.publish({ type: 'container.created', requestId, container: madeContainer() })
})
bus.on('container.logs', ({ requestId }) => {
  const line = 'x'.repeat(EVENTS_BACKLOG_MAX_BYTES / 32)
  for (let count = 0; count < many; count += 1)
    bus.publish({ type: 'container.logged', requestId, stream: 'stdout', line })
  bus.publish({ type: 'container.logsEnded', requestId })
})

test('the facts of a request come in order, its answer last, secrets given out and texts cleaned', async () => {
  const request = client.request({ type: 'container.create' })
  const lines: string[] = []
  const types: string[] = []
  for await (const fact of request) {
    types.push(fact.type)
    if (fact.type === 'container.progress') lines.push(fact.line)
  }
  assert.deepEqual(types, ['container.progress', 'container.created'])
  assert.deepEqual(lines, ['red'], 'nothing in it can steer a terminal')
  const { container } = await request.answer
  assert.equal(container.SSHPassword, 'correct horse')
})

test('the answer alone reads the facts, which can be read once', async () => {
  const request = client.request({ type: 'container.create' })
  assert.equal((await request.answer).type, 'container.created')
  assert.equal((await request.answer).type, 'container.created', 'as often as it is asked for')
  assert.throws(() => request[Symbol.asyncIterator](), TypeError)
})

test('a request is sent at once, whoever reads it', async () => {
  const sent = nextEvent(bus, 'container.create', ({ requestId }) => requestId === 'mine')
  const request = client.request({ type: 'container.create', requestId: 'mine' })
  await sent
  assert.equal((await request.answer).requestId, 'mine')
})

test('a failure is the error of the facts, after its own fact, and of the answer', async () => {
  const request = client.request({ type: 'container.create', image: 'none' })
  const types: string[] = []
  const reading = async () => {
    for await (const { type } of request) types.push(type)
  }
  const failure = { name: 'AppError', code: 'gpu_missing', message: 'none here' }
  await assert.rejects(reading, failure)
  assert.deepEqual(types, ['container.progress', 'container.createFailed'])
  await assert.rejects(request.answer, failure)
})

test('types follow the slices: a wrong field, a wrong command and a fact of another noun do not compile', () => {
  const neverCalled = async (typed: Client) => {
    // @ts-expect-error a number is meant
    typed.request({ type: 'container.create', ports: 'two' })
    // @ts-expect-error there is no such command
    typed.request({ type: 'container.destroy' })
    // @ts-expect-error its id is missing
    typed.request({ type: 'container.remove' })
    const request = typed.request({ type: 'loan.take', where: 'x' })
    // @ts-expect-error this fact is another command's
    for await (const fact of request) if (fact.type === 'group.created') return
    const { loan } = await request.answer
    const password: string = loan.Container.SSHPassword
    return password
  }
  assert.equal(typeof neverCalled, 'function')
})

test('whoever stops reading, aborts or closes the client hangs up, and the node is told', async () => {
  const create = (image: string, signal?: AbortSignal) =>
    client.request({ type: 'container.create', image }, { signal })

  let abandoned = nextEvent(bus, 'request.abandoned')
  const stopped = create('half')
  for await (const _ of stopped) break
  await abandoned
  await assert.rejects(stopped.answer, { code: 'abandoned' })

  const abort = new AbortController()
  let asked = nextEvent(bus, 'container.create')
  abandoned = nextEvent(bus, 'request.abandoned')
  const aborted = create('silent', abort.signal)
  await asked
  abort.abort()
  await assert.rejects(aborted.answer, { code: 'abandoned' })
  await abandoned
  await assert.rejects(create('', abort.signal).answer, { code: 'abandoned' }, 'a signal that aborted before')

  const closing = connect({ transport: controlSocket({ path: socketPath }) })
  asked = nextEvent(bus, 'container.create')
  abandoned = nextEvent(bus, 'request.abandoned')
  const pending = closing.request({ type: 'container.create', image: 'silent' })
  await asked
  closing.close()
  closing.close()
  await assert.rejects(pending.answer, { code: 'abandoned' })
  await abandoned
  await assert.rejects(closing.request({ type: 'container.create' }).answer, { code: 'abandoned' })
})

test('a reader that is too slow is told so; it never takes a part for the whole', async () => {
  const request = client.request({ type: 'container.logs', id })
  const facts = request[Symbol.asyncIterator]()
  await facts.next()
  // The node has published everything before the first fact was read, so it has dropped this reader by now.
  await assert.rejects(
    async () => {
      for (let next = await facts.next(); !next.done; next = await facts.next());
    },
    { code: 'reader_slow' },
  )
  await assert.rejects(request.answer, { code: 'reader_slow' })
})

type Handler = (body: { type: string }, response: ServerResponse, count: number) => void

/** A node on a Unix socket that answers each request as the test says. */
async function scriptedNode(t: TestContext, handle: Handler) {
  const folder = await mkdtemp(join(tmpdir(), 'p2prc-client-'))
  const path = join(folder, 'control.sock')
  let count = 0
  const server = createServer(async (request, response) => {
    let text = ''
    for await (const chunk of request) text += chunk
    count += 1
    handle(request.url === COMMANDS_PATH ? JSON.parse(text) : { type: 'events' }, response, count)
  })
  server.listen(path)
  await once(server, 'listening')
  t.after(async () => {
    server.close()
    server.closeAllConnections()
    await rm(folder, { recursive: true })
  })
  const script = { requests: () => count, path }
  return { ...script, connect: (silenceMs = 5_000) => connect({ transport: controlSocket({ path, silenceMs }) }) }
}

function stream(response: ServerResponse, ...facts: object[]): void {
  response.writeHead(200, { 'content-type': NDJSON })
  for (const fact of facts) response.write(`${JSON.stringify(fact)}\n`)
}

function refuse(response: ServerResponse, code: string): void {
  response.writeHead(400, { 'content-type': 'application/json' })
  response.end(JSON.stringify({ error: { code, message: `${code}, says the node` } }))
}

const progress = { type: 'image.progress', requestId: 'x', line: 'pulling' }

test('a node that dies in mid-stream is connection_lost, for the facts, the answer and the events', async (t) => {
  const node = await scriptedNode(t, (_command, response) => {
    stream(response, progress)
    // Only when the fact is on its way, as a process that is killed between two facts.
    response.write('\n', () => response.destroy())
  })
  const request = node.connect().request({ type: 'image.build' })
  const seen: string[] = []
  const reading = async () => {
    for await (const { type } of request) seen.push(type)
  }
  await assert.rejects(reading, { code: 'connection_lost' })
  assert.deepEqual(seen, ['image.progress'])
  await assert.rejects(request.answer, { code: 'connection_lost' })
  await assert.rejects(
    async () => {
      for await (const _ of node.connect().events());
    },
    { code: 'connection_lost' },
  )
})

test('the same with a real node that is killed', async (t) => {
  const env = temporaryHome()
  const node = await startNode(t, env)
  const real = connect({ transport: controlSocket({ path: join(env.P2PRC as string, 'run/control.sock') }) })
  const following = async () => {
    for await (const { type } of real.events()) if (type === 'specs.got') node.process.kill('SIGKILL')
  }
  // The stream is open once an event that was caused afterwards has come; asking again is harmless.
  const asking = async () => {
    for (;;) await real.request({ type: 'specs.get' }).answer
  }
  await Promise.all([
    assert.rejects(following, { code: 'connection_lost' }),
    assert.rejects(asking, (error: { code: string }) => /^(connection_lost|unreachable)$/.test(error.code)),
  ])
})

test('where no node listens, requests and events are unreachable', async () => {
  const nowhere = connect({ transport: controlSocket({ path: join(tmpdir(), 'no-such.sock') }) })
  await assert.rejects(nowhere.request({ type: 'node.show' }).answer, { code: 'unreachable' })
})

test('a node that is silent is given up; a reader that takes its time is not taken for one', async (t) => {
  let finish = () => {}
  const node = await scriptedNode(t, (_command, response) => {
    stream(response, progress, progress)
    finish = () => response.end(`${JSON.stringify({ type: 'image.built', requestId: 'x', image: '' })}\n`)
  })
  const silenceMs = 5_000
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const slow = node.connect(silenceMs).request({ type: 'image.build' })
  let read = 0
  for await (const _ of slow) {
    t.mock.timers.tick(silenceMs + 1)
    read += 1
    if (read === 2) finish()
  }
  assert.equal((await slow.answer).type, 'image.built')
  const silent = node.connect(silenceMs).request({ type: 'loan.list' })[Symbol.asyncIterator]()
  await silent.next()
  await silent.next()
  const third = silent.next()
  // It has read what there was, and waits.
  await nextTick()
  t.mock.timers.tick(silenceMs - 1)
  await nextTick()
  t.mock.timers.tick(1)
  await assert.rejects(third, { code: 'timed_out' })
})

test('facts and keys of a newer node are passed through', async (t) => {
  const node = await scriptedNode(t, (_command, response) => {
    stream(response, { type: 'image.scanned', requestId: 'x', threats: 0 })
    response.end(`${JSON.stringify({ type: 'image.built', requestId: 'x', image: 'i', size: 7 })}\n`)
  })
  const request = node.connect().request({ type: 'image.build' })
  const facts: unknown[] = []
  for await (const fact of request) facts.push(fact)
  assert.deepEqual(facts, [
    { type: 'image.scanned', requestId: 'x', threats: 0 },
    { type: 'image.built', requestId: 'x', image: 'i', size: 7 },
  ])
  assert.equal((await request.answer).image, 'i')
})

test('an answer that stops half-way is no answer', async (t) => {
  const node = await scriptedNode(t, (_command, response) => {
    stream(response, progress)
    response.end()
  })
  await assert.rejects(node.connect().request({ type: 'image.build' }).answer, {
    code: 'protocol_error',
    message: /it ended with image\.progress/,
  })
})

/** A node that refuses everything but its greeting. */
const greeting = (protocols: unknown, code: string) => (t: TestContext) =>
  scriptedNode(t, ({ type }, response) => {
    if (type !== 'node.show') return refuse(response, code)
    stream(response)
    response.end(`${JSON.stringify({ type: 'node.shown', requestId: 'x', protocols })}\n`)
  })

for (const code of ['unknown_command', 'bad_request'])
  test(`a node that no longer speaks our version says other_version in place of ${code}`, async (t) => {
    const newer = PROTOCOL_VERSION + 1
    const node = await greeting([newer, newer + 1], code)(t)
    await assert.rejects(node.connect().request({ type: 'image.build' }).answer, {
      code: 'other_version',
      message: new RegExp(`speaks protocol version ${newer}, ${newer + 1}, and this P2PRC speaks ${PROTOCOL_VERSION}`),
    })
  })

test('a node that speaks our version too keeps its own error, and so does one whose greeting says nothing', async (t) => {
  for (const protocols of [[PROTOCOL_VERSION, PROTOCOL_VERSION + 1], 'all', undefined]) {
    const node = await greeting(protocols, 'unknown_command')(t)
    await assert.rejects(node.connect().request({ type: 'image.build' }).answer, {
      code: 'unknown_command',
      message: 'unknown_command, says the node',
    })
  }
})

test('an error that no version explains is not asked about', async (t) => {
  const node = await greeting([PROTOCOL_VERSION + 1], 'not_trusted')(t)
  await assert.rejects(node.connect().request({ type: 'image.build' }).answer, { code: 'not_trusted' })
  assert.equal(node.requests(), 1)
})

test('fetch can be the transport, as in a web page', async () => {
  bus.on('node.show', ({ requestId }) => {
    const { id: nodeId, publicKey: key } = harness.identity
    bus.publish({ type: 'node.shown', requestId, id: nodeId, name: 'n', key, version: '0', protocols: [1] })
  })
  const { port } = harness.where
  const exchange: Exchange = async ({ path, ...request }, signal) => {
    const { status, headers, body } = await fetch(`http://127.0.0.1:${port}${path}`, { ...request, signal })
    if (!body) throw new TypeError('no body')
    return { status, contentType: headers.get('content-type') ?? '', body }
  }
  const page = connect({ transport: httpTransport({ where: 'the node', exchange }) })
  assert.equal((await page.request({ type: 'node.show' }).answer).id, harness.identity.id)
  await assert.rejects(page.request({ type: 'container.create' }).answer, { code: 'not_trusted' })
})
