import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { BusEvent } from '../../../protocol/index.ts'
import { nextEvent } from '../../support/harness.ts'
import { codeOf, http, httpHarness, madeContainer, newIdentity, rsaKey, tls } from '../../support/httpHarness.ts'

const harness = await httpHarness()
const { bus, rights, seen, listener } = harness
after(() => harness.close())
const { port } = listener
const alice = await newIdentity(harness.dir, 'alice')
const key = alice.publicKey
const encoded = encodeURIComponent(Buffer.from(`${key}\n`).toString('base64'))
const id = 'c'.repeat(64)

bus.on('container.create', ({ requestId, image }) => {
  if (image === 'silent') return
  if (image === 'none')
    bus.publish({ type: 'container.createFailed', requestId, code: 'bad_image', message: 'no such' })
  else if (image === 'hostile')
    bus.publish({
      type: 'container.createFailed',
      requestId,
      code: 'bad_image',
      message: 'no\r\nSet-Cookie: x\u001b[2J é',
    })
  else bus.publish({ type: 'container.created', requestId, container: madeContainer() })
})
bus.on('container.remove', ({ requestId, id }) => {
  if (id.startsWith('0')) {
    bus.publish({ type: 'container.removeFailed', requestId, code: 'not_found', message: 'There is none' })
  } else bus.publish({ type: 'container.removed', requestId, id: id as never })
})

function arrived(): BusEvent[] {
  const found = seen.filter(({ type }) => type === 'container.create' || type === 'container.remove')
  seen.length = 0
  return found
}

const mutating = ['/startcontainer', '/startcontainer?ports=abc', `/RemoveContainer?id=${id}`, '/RemoveContainer']

test('without --open no plain HTTP request changes anything', async () => {
  for (const path of mutating) {
    for (const method of ['GET', 'POST']) {
      const reply = await http(port, { method, path })
      assert.deepEqual([reply.status, codeOf(reply)], [403, 'not_trusted'], `${method} ${path}`)
      assert.match(reply.text, /p2prc start --open .*p2prc touch/)
    }
  }
  assert.deepEqual(arrived(), [])
})

test('Go is told why it gets no container in a redirection that it prints, and the lender who was refused', async () => {
  const go = { 'user-agent': 'Go-http-client/1.1' }
  const refused = nextEvent(bus, 'node.borrowerRefused')
  const reply = await http(port, { path: `/startcontainer?PublicKey=${encoded}`, headers: go })
  assert.equal(reply.status, 307)
  assert.match(String(reply.headers.location), /^refused:The lender does not trust this node to borrow\. [\x20-\x7e]+$/)
  const { type: _, ...who } = await refused
  assert.deepEqual(who, { from: '127.0.0.1', caller: 'anonymous' })
  const withKey = nextEvent(bus, 'node.borrowerRefused')
  assert.equal((await http(await tls(port, alice.tls), { path: '/startcontainer' })).status, 403)
  const { key: shownKey } = await withKey
  assert.equal(shownKey?.split(' ', 2).join(' '), key.split(' ', 2).join(' '))

  rights.current = { trusted: new Set(), open: true, relay: 'off' }
  const path = `/startcontainer?PublicKey=${encoded}&ContainerName=`
  const none = await http(port, { path: `${path}none`, headers: go })
  assert.deepEqual([none.status, none.headers.location, none.text], [307, 'refused:no such', ''])
  const hostile = await http(port, { path: `${path}hostile`, headers: go })
  assert.deepEqual(
    [hostile.status, hostile.headers.location, hostile.headers['set-cookie']],
    [307, 'refused:no Set-Cookie: x?[2J ?', undefined],
  )
  assert.equal(codeOf(await http(port, { path: `${path}none` })), 'bad_image')
  assert.equal((await http(port, { path: `${path}desk`, headers: go })).status, 200)
  rights.current = { trusted: new Set(), open: false, relay: 'off' }
  seen.length = 0
})

test('a trusted key may use the same routes over TLS, and the owner through the socket', async () => {
  rights.current = { trusted: new Set([alice.id]), open: false, relay: 'off' }
  const reply = await http(await tls(port, alice.tls), { path: `/RemoveContainer?id=${id}` })
  assert.deepEqual([reply.status, reply.text], [200, 'success'])
  assert.equal(
    (await http(harness.socketPath, { method: 'DELETE', path: `/RemoveContainer?id=${id}` })).text,
    'success',
  )
  assert.deepEqual(
    arrived().map((event) => 'caller' in event && event.caller),
    [alice.id, 'owner'],
  )
  rights.current = { trusted: new Set(), open: false, relay: 'off' }
})

test("with --open the response of /startcontainer has exactly P2PRC's keys and types, and this version's additional keys", async () => {
  rights.current = { trusted: new Set(), open: true, relay: 'off' }
  arrived()
  for (const method of ['GET', 'POST']) {
    const path = `/startcontainer?ports=3&GPU=true&ContainerName=desk&BaseImage=&PublicKey=${encoded}`
    const reply = await http(port, { method, path })
    assert.equal(reply.status, 200)
    assert.equal(reply.headers['content-type'], 'application/json; charset=utf-8')
    const shape = Object.entries(JSON.parse(reply.text)).map(([name, value]) => `${name}: ${typeof value}`)
    assert.deepEqual(shape.sort(), [
      'BaseImage: string',
      'GPU: string',
      'ID: string',
      'ImagePath: string',
      'LogsPath: string',
      'Ports: object',
      'SSHCommand: string',
      'SSHHostKey: string',
      'SSHPassword: string',
      'SSHPublicKey: string',
      'SSHUsername: string',
      'TagName: string',
      'TempPath: string',
      'VNCPassword: string',
      'VNCUsername: string',
    ])
    assert.equal(JSON.parse(reply.text).SSHPassword, 'correct horse')
    const [create] = arrived()
    const { requestId, ...command } = create as Extract<BusEvent, { type: 'container.create' }>
    assert.match(requestId, /^anonymous [0-9a-f-]{36}$/)
    const expected = {
      type: 'container.create',
      key,
      ports: 3,
      udpPorts: 0,
      gpu: true,
      image: 'desk',
      caller: 'anonymous',
    }
    assert.deepEqual(command, expected)
  }
})

test('every parameter may be omitted', async () => {
  rights.current = { trusted: new Set(), open: true, relay: 'off' }
  arrived()
  assert.equal((await http(port, { path: '/startcontainer' })).status, 200)
  const [create] = arrived() as Extract<BusEvent, { type: 'container.create' }>[]
  assert.deepEqual([create?.key, create?.ports, create?.gpu, create?.image], ['', 0, false, ''])
})

test('a key as Go P2PRC makes it, RSA of 1024 bits, is accepted with --open over plain HTTP alone', async () => {
  rights.current = { trusted: new Set([alice.id]), open: true, relay: 'off' }
  const line = rsaKey(1_024)
  const path = `/startcontainer?PublicKey=${encodeURIComponent(Buffer.from(`${line}\n`).toString('base64'))}`
  arrived()
  assert.equal((await http(port, { path })).status, 200)
  assert.equal((arrived()[0] as { key?: string }).key, line)
  for (const known of [await tls(port, alice.tls), harness.socketPath])
    assert.equal(codeOf(await http(known, { path })), 'bad_key')
  const weaker = encodeURIComponent(Buffer.from(rsaKey(1_016)).toString('base64'))
  assert.equal(codeOf(await http(port, { path: `/startcontainer?PublicKey=${weaker}` })), 'bad_key')
  assert.deepEqual(arrived(), [])
})

test('a + in the base64 that was not escaped arrives as a space, and is accepted', async () => {
  rights.current = { trusted: new Set(), open: true, relay: 'off' }
  arrived()
  // The base64 of this text has a +.
  const line = `${key.split(' ').slice(0, 2).join(' ')} ~~~>>>`
  const base64 = Buffer.from(line).toString('base64')
  assert.match(base64, /\+/)
  const escaped = base64.replaceAll('=', '%3D').replaceAll('/', '%2F')
  assert.equal((await http(port, { path: `/startcontainer?PublicKey=${escaped}` })).status, 200)
  assert.equal((arrived()[0] as { key?: string }).key, line)
})

const wrong: [string, string, number][] = [
  ['/startcontainer?ports=-1', 'bad_count', 400],
  ['/startcontainer?ports=65', 'bad_count', 400],
  ['/startcontainer?ports=65536', 'bad_count', 400],
  ['/startcontainer?ports=abc', 'bad_count', 400],
  ['/startcontainer?ports=1e9', 'bad_count', 400],
  ['/startcontainer?ports=1e1', 'bad_count', 400],
  ['/startcontainer?ports=0x1', 'bad_count', 400],
  ['/startcontainer?ports=1.5', 'bad_count', 400],
  ['/startcontainer?ports=%201', 'bad_count', 400],
  ['/startcontainer?ports=%1b%5b31m', 'bad_count', 400],
  ['/startcontainer?ports=99999999999999999999', 'bad_count', 400],
  ['/startcontainer?ports=1&ports=1', 'bad_request', 400],
  ['/startcontainer?GPU=yes', 'bad_request', 400],
  ['/startcontainer?GPU=true&GPU=false', 'bad_request', 400],
  [`/startcontainer?PublicKey=${encoded}&PublicKey=${encoded}`, 'bad_request', 400],
  ['/startcontainer?PublicKey=x', 'bad_key', 400],
  ['/startcontainer?PublicKey=%22;%20touch%20X;%20%22', 'bad_key', 400],
  [`/startcontainer?PublicKey=${Buffer.from('hello').toString('base64')}`, 'bad_key', 400],
  [`/startcontainer?PublicKey=${Buffer.from(`command="x" ${key}`).toString('base64url')}`, 'bad_key', 400],
  [`/startcontainer?PublicKey=${encodeURIComponent(Buffer.from(`${key}\n${key}`).toString('base64'))}`, 'bad_key', 400],
  ['/startcontainer?BaseImage=alpine', 'bad_image', 400],
  ['/startcontainer?BaseImage=x%0aRUN%20y', 'bad_image', 400],
  [`/startcontainer?ContainerName=${'x'.repeat(129)}`, 'bad_request', 400],
  ['/startcontainer?ContainerName=none', 'bad_image', 400],
  ['/RemoveContainer', 'bad_request', 400],
  ['/RemoveContainer?id=', 'bad_request', 400],
  ['/RemoveContainer?ID=0', 'bad_request', 400],
  // Under --open every stranger is the same borrower, so the beginning of an id would end somebody else's container.
  ['/RemoveContainer?id=01e5', 'bad_request', 400],
  [`/RemoveContainer?id=${'c'.repeat(63)}`, 'bad_request', 400],
  ['/RemoveContainer?id=$(x)', 'bad_request', 400],
  ['/RemoveContainer?id=a%0ab', 'bad_request', 400],
  [`/RemoveContainer?id=${id}&id=${id}`, 'bad_request', 400],
  [`/RemoveContainer?id=${'0'.repeat(64)}`, 'not_found', 404],
]

for (const [path, code, status] of wrong) {
  test(`${path.slice(0, 60)} is ${code}, in one reply`, async () => {
    rights.current = { trusted: new Set(), open: true, relay: 'off' }
    arrived()
    const reply = await http(port, { path })
    assert.deepEqual([codeOf(reply), reply.status], [code, status])
    assert.deepEqual(Object.keys(JSON.parse(reply.text)), ['error'])
    assert.match(reply.text, /^[\x20-\x7e…–]+$/)
    if (!/none|0{64}/.test(path)) assert.deepEqual(arrived(), [])
  })
}

test('a client that disconnects during a create abandons it', async () => {
  rights.current = { trusted: new Set([alice.id]), open: false, relay: 'off' }
  const asked = nextEvent(bus, 'container.create')
  const abandoned = nextEvent(bus, 'request.abandoned')
  const connection = await tls(port, alice.tls)
  const reply = http(connection, { path: '/startcontainer?ContainerName=silent' }).catch(() => undefined)
  const { requestId } = await asked
  connection.destroy()
  assert.equal((await abandoned).requestId, requestId)
  await reply
})
