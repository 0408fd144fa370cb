import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { createImageList } from '../../../actors/containerManager/imageFolders.ts'
import { BODY_MAX_BYTES } from '../../../protocol/defaults/listeners.ts'
import { newEntry } from '../../../protocol/files/ipTable.ts'
import type { BusEvent } from '../../../protocol/index.ts'
import { directEndpoint } from '../../../protocol/net/endpoint.ts'
import { codeOf, http, httpHarness } from '../../support/httpHarness.ts'

const listed: { images: () => ReturnType<ReturnType<typeof createImageList>> } = { images: async () => [] }
const harness = await httpHarness({ images: () => listed.images() })
const { bus, seen, listener, dir } = harness
after(() => harness.close())
const { port } = listener

const lender = newEntry({ Name: 'lender', IPV4: '10.0.0.1' })
const own = JSON.stringify({ ip_address: [lender] })
bus.on('table.addUnverified', ({ requestId }) => bus.publish({ type: 'table.unverifiedAdded', requestId }))
bus.on('table.show', ({ requestId }) => {
  bus.publish({ type: 'table.page', requestId, offset: 0, entries: [lender] })
  bus.publish({ type: 'table.shown', requestId, count: 1 })
})

/** Returns the `table.addUnverified` commands that reached the bus since the last call. */
function exchanges() {
  const found = seen.filter(
    (event): event is Extract<BusEvent, { type: 'table.addUnverified' }> => event.type === 'table.addUnverified',
  )
  seen.length = 0
  return found
}

const field = (name: string, text: string) => `Content-Disposition: form-data; name="${name}"\r\n\r\n${text}`
const file = (name: string, text: string) =>
  `Content-Disposition: form-data; name="${name}"; filename="ip_table.json"\r\nContent-Type: application/octet-stream\r\n\r\n${text}`

function upload(parts: readonly string[], end = '--b--\r\n') {
  const body = `${parts.map((part) => `--b\r\n${part}\r\n`).join('')}${end}`
  const headers = { 'content-type': 'multipart/form-data; boundary=b' }
  return http(port, { method: 'POST', path: '/IpTable', headers, body })
}

const table = '{"ip_address":[{"Name":"go","IPV4":"10.0.0.7","ServerPort":"8090"},{"IPV4":"10.0.0.8","port no":8088}]}'

for (const [how, part] of [
  ["Go's file", file('json', table)],
  ['a field', field('json', table)],
] as const) {
  test(`${how} with a table gets this node's table, and its addresses are added as unverified`, async () => {
    exchanges()
    const reply = await upload([part])
    assert.deepEqual([reply.status, reply.text], [200, own])
    assert.equal(reply.headers['content-type'], 'application/json; charset=utf-8')
    const [exchange] = exchanges()
    assert.deepEqual(
      exchange?.unverified.map(({ endpoint }) => endpoint),
      [directEndpoint({ host: '10.0.0.7', port: 8_090 }), directEndpoint({ host: '10.0.0.8', port: 8_088 })],
    )
    assert.deepEqual([exchange?.from, exchange?.caller], ['127.0.0.1', 'anonymous'])
  })
}

const wrong: [string, () => ReturnType<typeof upload>, number, string][] = [
  ['no part', () => upload([]), 400, 'bad_request'],
  ['another name', () => upload([file('table', table)]), 400, 'bad_request'],
  ['another field', () => upload([field('__proto__', table)]), 400, 'bad_request'],
  ['two parts', () => upload([file('json', table), file('json', table)]), 400, 'bad_request'],
  ['a part without its end', () => upload([file('json', table)], ''), 400, 'bad_request'],
  ['not JSON', () => upload([file('json', 'junk')]), 400, 'bad_request'],
  ['null', () => upload([file('json', 'null')]), 400, 'bad_request'],
  ['deep JSON', () => upload([file('json', `{"ip_address":${'['.repeat(100_000)}`)]), 400, 'bad_request'],
  ['a table too large', () => upload([file('json', 'x'.repeat(BODY_MAX_BYTES + 1))]), 413, 'too_large'],
  ['a field too large', () => upload([field('json', 'x'.repeat(BODY_MAX_BYTES + 1))]), 413, 'too_large'],
  ['JSON alone', () => sendAs('application/json'), 415, 'bad_media_type'],
  ['a form', () => sendAs('application/x-www-form-urlencoded'), 415, 'bad_media_type'],
  ['no boundary', () => sendAs('multipart/form-data'), 400, 'bad_request'],
]

function sendAs(type: string) {
  return http(port, { method: 'POST', path: '/IpTable', headers: { 'content-type': type }, body: table })
}

for (const [what, send, status, code] of wrong) {
  test(`${what} is ${code}, in one reply`, async () => {
    exchanges()
    const reply = await send()
    assert.deepEqual([reply.status, codeOf(reply)], [status, code], reply.text)
    assert.deepEqual(Object.keys(JSON.parse(reply.text)), ['error'])
    assert.deepEqual(exchanges(), [])
  })
}

test('GET of a table is not found', async () => {
  assert.equal((await http(port, { path: '/IpTable' })).status, 404)
})

test('images are listed as P2PRC lists them, and invalid folders are skipped', async () => {
  const images = join(dir, 'images')
  const ports = '{"Port":[{"PortName":"SSH","InternalPort":22,"Type":"tcp"}]}'
  const made: Record<string, Record<string, string>> = {
    desk: { Dockerfile: 'FROM x', 'description.txt': 'A desk\n', 'ports.json': ports },
    bare: { Dockerfile: 'FROM x', 'description.txt': 'no ports' },
    broken: { Dockerfile: 'FROM x', 'description.txt': 'x', 'ports.json': '{' },
    'Not-A-Name': { Dockerfile: 'FROM x', 'description.txt': 'x', 'ports.json': ports },
    empty: {},
  }
  assert.equal((await http(port, { path: '/ShowImages' })).text, '{"DockerContainer":null}')
  for (const [name, files] of Object.entries(made)) {
    await mkdir(join(images, name), { recursive: true })
    for (const [path, text] of Object.entries(files)) await writeFile(join(images, name, path), text)
  }
  listed.images = createImageList(images)
  const reply = await http(port, { path: '/ShowImages' })
  assert.equal(reply.headers['content-type'], 'application/json; charset=utf-8')
  assert.deepEqual(JSON.parse(reply.text), {
    DockerContainer: [{ DockerContainerName: 'desk', ContainerDescription: 'A desk' }],
  })
  listed.images = createImageList(join(dir, 'nowhere'))
  assert.equal((await http(port, { path: '/ShowImages' })).text, '{"DockerContainer":null}')
})
