import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { after, test } from 'node:test'
import { createDialer, type DialerOptions } from '../../actors/net/dialer.ts'
import { requestDialBack } from '../../actors/reachability/requestDialBack.ts'
import { createReachability } from '../../actors/reachability.ts'
import { supervise } from '../../actors/supervise.ts'
import { DIAL_BACKS_IN_ALL, DIAL_BACKS_PER_PEER } from '../../protocol/defaults/reachability.ts'
import { directEndpoint, formatEndpoint } from '../../protocol/net/endpoint.ts'
import { codeOf, command, type HttpHarness, httpHarness, newIdentity, tls } from '../support/httpHarness.ts'

const undo: (() => unknown)[] = []
after(async () => {
  for (const take of undo.reverse()) await take()
})

/** A node that answers `reach.dialBack`, and every endpoint that it dials. */
async function answering(options: Partial<DialerOptions> = { test: true }) {
  const harness = await httpHarness()
  const dialled: string[] = []
  const dialer = createDialer({ identity: harness.identity, ...options })
  const recording: typeof dialer = {
    ...dialer,
    dial: ((target, dial) => {
      dialled.push(...target.endpoints.map(formatEndpoint))
      return dialer.dial(target, dial as never)
    }) as typeof dialer.dial,
  }
  const resolve = async () => ({ endpoints: [] })
  const concern = supervise(createReachability({ resolve, dialer: recording, test: options.test ?? false }), {
    bus: harness.bus,
  })
  concern.start()
  undo.push(() => harness.close(), concern.stop)
  return { ...harness, dialled }
}

async function asking(): Promise<HttpHarness> {
  const harness = await httpHarness()
  undo.push(() => harness.close())
  return harness
}

function dialBackFrom(requester: HttpHarness, peer: HttpHarness, port: number) {
  const { id } = peer.identity
  const { signal } = new AbortController()
  const resolve = async () => ({ id, endpoints: [directEndpoint(peer.where)] })
  return requestDialBack(
    { ids: [id], port, signal },
    { resolve, dialer: createDialer({ identity: requester.identity, test: true }) },
  )
}

/** A port of this machine at which nothing listens. */
async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}

test('a peer dials back where it saw this node, proves its key there, and says why it could not', async () => {
  const [peer, node, other] = await Promise.all([answering(), asking(), asking()])
  const { id } = peer.identity
  assert.deepEqual(await dialBackFrom(node, peer, node.listener.port), [
    { by: id, endpoint: directEndpoint(node.where) },
  ])
  const codes = []
  for (const port of [await closedPort(), other.listener.port]) {
    const [answer] = await dialBackFrom(node, peer, port)
    assert.equal(answer?.endpoint.port, port)
    codes.push(answer?.failure?.code)
  }
  assert.deepEqual(codes, ['unreachable', 'wrong_node'])
  // Whoever refuses has not answered.
  node.bus.on('reach.dialBack', ({ requestId }) =>
    node.bus.publish({ type: 'reach.dialBackFailed', requestId, code: 'too_many', message: 'too many' }),
  )
  assert.deepEqual(await dialBackFrom(node, node, node.listener.port), [])
})

test('only the observed address is dialled, whatever the requester says, and only for a node that proves its key', async () => {
  const [peer, node] = await Promise.all([answering(), asking()])
  const socket = await tls(peer.listener.port, node.identity.tls as never)
  const forged = {
    type: 'reach.dialBack',
    port: node.listener.port,
    from: '10.9.9.9',
    host: '10.9.9.9',
    caller: 'owner',
  }
  const reply = await command(socket, { ...forged, endpoint: { kind: 'direct', host: '10.9.9.9', port: 1 } })
  socket.destroy()
  assert.match(reply.text, /"type":"reach.dialledBack"/)
  assert.deepEqual(peer.dialled, [`127.0.0.1:${node.listener.port}`])
  for (const port of [0, 65_536, 1.5, '22']) {
    const another = await tls(peer.listener.port, node.identity.tls as never)
    assert.equal(codeOf(await command(another, { type: 'reach.dialBack', port })), 'bad_request', String(port))
    another.destroy()
  }
  assert.equal(codeOf(await command(peer.listener.port, forged)), 'not_trusted', 'plain HTTP')
  peer.rights.current = { ...peer.rights.current, open: true }
  assert.equal(codeOf(await command(peer.listener.port, forged)), 'not_trusted', 'even where everybody may borrow')
  assert.match((await command(peer.socketPath, forged)).text, /"reach.dialBackFailed".*"bad_request"/)
  assert.equal(peer.dialled.length, 1)
})

test('a port of another service, and in production loopback, is not dialled, and the requester learns nothing from it', async () => {
  const [peer, strict, node] = await Promise.all([answering(), answering({}), asking()])
  for (const port of [22, 2_375]) assert.deepEqual(await dialBackFrom(node, peer, port), [], String(port))
  assert.deepEqual(await dialBackFrom(node, strict, node.listener.port), [])
  const socket = await tls(strict.listener.port, node.identity.tls as never)
  const reply = await command(socket, { type: 'reach.dialBack', port: node.listener.port })
  socket.destroy()
  assert.match(reply.text, /"not_dialled"/)
})

test('one node is dialled back a few times a minute, and all nodes together not much more often', async () => {
  const [peer, node] = await Promise.all([answering(), asking()])
  const asked = async (identity: HttpHarness['identity'], port: number) => {
    const socket = await tls(peer.listener.port, identity.tls as never)
    const { text } = await command(socket, { type: 'reach.dialBack', port })
    socket.destroy()
    return /"code":"(\w+)"/.exec(text)?.[1] ?? 'reached'
  }
  const codes = []
  for (let time = 0; time <= DIAL_BACKS_PER_PEER.max; time += 1)
    codes.push(await asked(node.identity, node.listener.port))
  assert.deepEqual(codes, [...Array(DIAL_BACKS_PER_PEER.max).fill('reached'), 'too_many'])
  // Keys cost nothing: new ones share the budget of all.
  const rest: string[] = []
  while (rest.length <= DIAL_BACKS_IN_ALL.max && !rest.includes('too_many')) {
    const fresh = await newIdentity(node.dir, 'fresh')
    for (let time = 0; time < DIAL_BACKS_PER_PEER.max; time += 1) rest.push(await asked(fresh, node.listener.port))
  }
  assert.ok(rest.includes('too_many'))
  assert.ok(peer.dialled.length <= DIAL_BACKS_IN_ALL.max)
})
