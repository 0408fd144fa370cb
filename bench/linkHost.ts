import { fork } from 'node:child_process'
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { connect as connectTls, createServer as createTlsServer } from 'node:tls'
import { WebSocket, WebSocketServer } from 'ws'
import { createSign } from '../actors/gossip/recordSignature.ts'
import { createGossip, openGossipListener } from '../actors/gossip.ts'
import { makeCertificate } from '../actors/identity/certificate.ts'
import { ed25519Line, parsePublicKey } from '../actors/identity/sshPublicKey.ts'
import { type Identity, loadIdentity } from '../actors/identity.ts'
import { openListener } from '../actors/listeners/tcp.ts'
import { createDialer } from '../actors/net/dialer.ts'
import { openStore } from '../actors/store.ts'
import { supervise } from '../actors/supervise.ts'
import { createBus } from '../protocol/bus.ts'
import { emptyGossip, gossipFile } from '../protocol/files/gossip.ts'
import { GOSSIP_PATH } from '../protocol/gossip.ts'
import type { NodeId } from '../protocol/ids.ts'
import type { BusEvent } from '../protocol/index.ts'
import { directEndpoint } from '../protocol/net/endpoint.ts'
import { decode, encode } from '../protocol/wire/gossip.ts'
import { signRecord } from '../protocol/wire/record.ts'
import { scratch } from './processes.ts'

/**
 * A process that accepts links and prints the resident memory that each costs it. Its child process dials them, so that
 * only the accepting end is counted. The mode `gossip` runs the gossip concern; `bareTls` and `bare` run the ws library
 * alone, with and without TLS.
 */
const [mode = 'gossip', count = '200', port] = process.argv.slice(2)
const links = Number(count)

/** Limits under which every link stays active, whichever end dialled it. */
const config = { maxLinks: 5_000, maxSockets: 5_000, maxLinksPerSubnet: 5_000, minOutboundLinks: 0, targetLinks: 1 }

/** All links idle for this long before memory is read. */
const IDLE_MS = 5_000

const folder = scratch('link')

if (port === undefined) await host()
else await dialAll(Number(port))

async function host(): Promise<void> {
  let open = 0
  const opened = (change: number) => {
    open += change
  }
  const listening = mode === 'gossip' ? await gossipHost(opened) : await bareHost(opened)
  const child = fork(import.meta.filename, [mode, count, String(listening)], { execArgv: [] })
  process.once('exit', () => child.kill('SIGKILL'))
  // The first third of the links warms up what a process allocates once: compiled code, buffer pools, heap pages.
  const first = Math.floor(links / 3)
  while (open < first) await wait(50)
  const before = await settledBytes()
  child.send('go on')
  while (open < links) await wait(50)
  const after = await settledBytes()
  console.log(`${((after - before) / (links - first) / 1_000).toFixed(1)} kB a link`)
}

/** Waits until the process is idle, collects garbage and returns its resident memory in bytes. */
async function settledBytes(): Promise<number> {
  await wait(IDLE_MS)
  for (let times = 0; times < 5; times += 1) {
    global.gc?.()
    await wait(100)
  }
  return process.memoryUsage.rss()
}

async function identityOf(name: string): Promise<Identity> {
  return loadIdentity({ key: join(folder, name), publicKey: join(folder, `${name}.pub`) }, name)
}

async function gossipHost(opened: (change: number) => void): Promise<number> {
  const bus = createBus<BusEvent>()
  const identity = await identityOf('host')
  const gossipListener = openGossipListener()
  const listener = await openListener({
    identity,
    handle: () => {},
    upgrade: gossipListener.upgrade,
    host: '127.0.0.1',
    port: 0,
  })
  const { port } = listener
  const store = await openStore(join(folder, 'gossip.json'), {
    schema: gossipFile,
    empty: emptyGossip,
    indent: ' ',
    onDamaged() {},
  })
  const concern = createGossip({
    identity,
    store,
    links: { source: gossipListener, dialer: createDialer({ identity, test: true }) },
    config,
  })
  const supervised = supervise(concern, { bus })
  bus.publish({ type: 'table.selfAddressesChanged', endpoints: [directEndpoint({ host: '127.0.0.1', port })], port })
  supervised.start()
  bus.on('record.merged', () => opened(1))
  return port
}

async function bareHost(opened: (change: number) => void): Promise<number> {
  const { tls } = await identityOf('host')
  const web = createServer()
  new WebSocketServer({ server: web, perMessageDeflate: false }).on('connection', () => opened(1))
  const plain = mode === 'bare'
  const server = plain
    ? web
    : createTlsServer({ ...tls, minVersion: 'TLSv1.3', requestCert: true, rejectUnauthorized: false }, (socket) =>
        web.emit('connection', socket),
      )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as { port: number }).port
}

async function dialAll(port: number): Promise<void> {
  const goOn = once(process, 'message')
  for (let index = 0; index < links; index += 1) {
    if (index === Math.floor(links / 3)) await goOn
    const { privateKey } = generateKeyPairSync('ed25519')
    const key = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
    const tls = { key, cert: makeCertificate(privateKey, `n${index}`) }
    const socket =
      mode === 'bare'
        ? connect(port, '127.0.0.1')
        : connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, ...tls })
    const link = new WebSocket(`ws://peer${GOSSIP_PATH}`, { createConnection: () => socket, perMessageDeflate: false })
    await once(link, 'open')
    if (mode === 'gossip') keepAlive(link, key, privateKey)
  }
}

/** Behaves like a node as far as a link needs it: sends a hello, and acks every ping with the same root. */
function keepAlive(link: WebSocket, pem: string, privateKey: KeyObject): void {
  const { x = '' } = createPublicKey(privateKey).export({ format: 'jwk' })
  const key = ed25519Line(Buffer.from(x, 'base64url'))
  const { text, signature } = signRecord(
    {
      id: parsePublicKey(key).fingerprint as NodeId,
      key,
      seq: 1,
      name: 'idle',
      endpoints: [],
      port: 0,
      version: '1',
      customInformation: '',
      capabilities: [],
      left: false,
    },
    createSign(pem),
  )
  const root = 'A'.repeat(11)
  const greeting = { record: [text, signature] as [string, string], root, active: true, links: 1 }
  link.send(encode({ kind: 'link/hello', body: greeting }))
  link.on('message', (data) => {
    const message = decode(String(data))
    if (typeof message === 'string' || message.kind !== 'probe/ping') return
    const { nonce, root } = message.body
    link.send(encode({ kind: 'probe/ack', body: { nonce, root, active: true } }))
  })
}
