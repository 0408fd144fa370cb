import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { Agent, request } from 'node:https'
import { type AddressInfo, connect } from 'node:net'
import { test } from 'node:test'
import { WebSocket, WebSocketServer } from 'ws'
import { configuredHome } from '../support/cliHomes.ts'
import { until } from '../support/lender.ts'
import { freePort, p2prc, p2prcJson, startNode } from '../support/processes.ts'

/** Domains through the real command line and real nodes: one shows them, and two others map ports. */

const DOMAIN = 'shop.example.org'

/** Fetches the page of the domain at the relay, over TLS, as if DNS said that the domain is there. */
async function fetched(port: number, host = DOMAIN): Promise<{ status: number; text: string }> {
  const asked = request({ host: '127.0.0.1', port, servername: host, headers: { host }, rejectUnauthorized: false })
  asked.end()
  const [response] = await once(asked, 'response')
  let text = ''
  for await (const chunk of response) text += chunk
  return { status: response.statusCode, text }
}

/** The head of the answer to a request without TLS. */
async function answeredInClear(port: number): Promise<string> {
  const socket = connect(port, '127.0.0.1').setEncoding('utf8')
  socket.write(`GET /page HTTP/1.1\r\nHost: ${DOMAIN}:${port}\r\nConnection: close\r\n\r\n`)
  const [head] = await once(socket, 'data')
  socket.destroy()
  return head
}

test('map --domain: a page and a WebSocket through a domain at the relay; another node gets it not, and it ends with the mapping', async (t) => {
  const page = createServer((asked, response) => response.end(`hello of ${asked.headers.host}`))
  const echo = new WebSocketServer({ server: page })
  echo.on('connection', (socket) => socket.on('message', (data) => socket.send(`echo of ${data}`)))
  await new Promise<void>((resolve) => page.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    page.closeAllConnections()
    page.close()
  })
  const local = String((page.address() as AddressInfo).port)

  const proxyPort = await freePort()
  const [shows, plain, borrower, other] = await Promise.all([
    configuredHome({ Test: true, ProxyPort: String(proxyPort) }),
    configuredHome({ Test: true }),
    configuredHome({ Test: true }),
    configuredHome({ Test: true }),
  ])
  const relay = await startNode(t, shows)
  const [, node] = await Promise.all([plain, borrower, other].map((home) => startNode(t, home, relay.where)))

  const { id } = await p2prcJson(shows, 'id')
  // Gossip says which node shows domains, a moment after the start.
  let mapped = await p2prc(borrower, 'map', local, '--domain', DOMAIN, '--json')
  await until(async () => {
    if (mapped.code !== 0) mapped = await p2prc(borrower, 'map', local, '--domain', DOMAIN, '--json')
    return mapped.code === 0
  }, 20_000)
  const mapping = JSON.parse(mapped.stdout.trimEnd().split('\n').at(-1) as string)
  assert.deepEqual([mapping.relay, mapping.url], [id, `https://${DOMAIN}:${proxyPort}/`])
  assert.deepEqual(await fetched(proxyPort), { status: 200, text: `hello of ${DOMAIN}` })
  assert.match(await answeredInClear(proxyPort), new RegExp(`^HTTP/1.1 308 .*location: ${mapping.url}page`, 'is'))
  const socket = new WebSocket(`wss://127.0.0.1:${proxyPort}/`, [], {
    agent: new Agent({ rejectUnauthorized: false, servername: DOMAIN }),
    headers: { host: DOMAIN },
  })
  await once(socket, 'open')
  socket.send('a word')
  const [answer] = await once(socket, 'message')
  assert.equal(String(answer), 'echo of a word')
  socket.terminate()

  const [listed] = await p2prcJson(borrower, 'map', 'ls')
  assert.deepEqual([listed.url, listed.domain, listed.state, listed.via], [mapping.url, DOMAIN, 'open', id])
  const { ports } = await p2prcJson(shows, 'relay', 'ls')
  assert.deepEqual(
    ports.map(({ port, domains }: Record<string, unknown>) => [port, domains]),
    [[mapping.address.port, [DOMAIN]]],
  )
  const taken = await p2prc(other, 'map', local, '--domain', DOMAIN)
  assert.notEqual(taken.code, 0)
  assert.match(taken.stderr, /belongs to another node/)
  assert.deepEqual(await p2prcJson(other, 'map', 'ls'), [])
  const wrong = await p2prc(borrower, 'map', local, '--domain', 'localhost')
  assert.deepEqual([wrong.code, wrong.stdout], [2, ''])
  assert.match(wrong.stderr, /domain/)

  const udp = await p2prc(borrower, 'map', local, '--udp', '--domain', DOMAIN)
  assert.deepEqual([udp.code, udp.stdout], [2, ''])
  assert.match(udp.stderr, /--domain is for TCP/)

  // Another name for the port takes the place of the first one.
  const renamed = await p2prcJson(borrower, 'map', local, '--domain', 'books.example.org')
  assert.equal(renamed.url, `https://books.example.org:${proxyPort}/`)
  assert.equal((await fetched(proxyPort, 'books.example.org')).text, 'hello of books.example.org')
  assert.equal((await fetched(proxyPort)).status, 503)

  // It comes back after a restart of the node, at the same relay.
  await node?.stop()
  await until(async () => (await fetched(proxyPort, 'books.example.org')).status === 503, 10_000)
  await startNode(t, borrower)
  await until(async () => (await fetched(proxyPort, 'books.example.org')).status === 200, 20_000)

  assert.equal((await p2prc(borrower, 'map', 'rm', 'books.example.org')).code, 0)
  await until(async () => (await fetched(proxyPort, 'books.example.org')).status === 503, 5_000)
  assert.deepEqual((await p2prcJson(shows, 'relay', 'ls')).ports, [])
})
