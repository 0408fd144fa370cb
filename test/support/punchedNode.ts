import { once } from 'node:events'
import { join } from 'node:path'
import { loadIdentity } from '../../actors/identity.ts'
import type { Upgrade } from '../../actors/listeners/principal.ts'
import { openListener } from '../../actors/listeners/tcp.ts'
import { createDialer } from '../../actors/net/dialer.ts'
import type { PunchedStream } from '../../actors/net/punched/punchedStream.ts'
import { createPunched } from '../../actors/net/punched.ts'
import { startRelayDht } from '../../actors/relay/dht.ts'
import { createRelayQuota } from '../../actors/relay/quota.ts'
import { RELAY_LIMITS } from '../../protocol/defaults/relay.ts'
import type { NodeId } from '../../protocol/ids.ts'

/**
 * A node's part of the punched path, as a process for a network namespace. Its identity lies in the folder of the first
 * argument.
 *
 * - `relay <folder> <host> <port>`: runs the DHT and the blind relay until it is killed.
 * - `listen <folder> <host> <port> <key of the relay>`: serves an echo over TLS to everybody.
 * - `connect <folder> <host> <port> <key of the peer> <id of the peer> <ms>`: dials the peer and sends numbers over the stream, until
 *   it has moved to a direct path or `ms` have passed. Prints a `Tried` as JSON.
 */
export interface Tried {
  /** Milliseconds until the stream was open, and until it was direct. */
  openedMs: number
  directMs: number | null
  wasRelayed: boolean
  echoes: number
}

/** How often a number is sent. */
const ECHO_MS = 50

const [mode, folder = '', host = '', port = '', ...rest] = process.argv.slice(2)
const identity = await loadIdentity({ key: join(folder, 'key'), publicKey: join(folder, 'key.pub') }, 'node')
const at = { host, port: Number(port) }
const options = { identity, keyOf: async () => undefined, authorize: () => true, accept: () => {} }

/** Serves what others request over a punched path: every request is upgraded to an echo. */
async function listen(key: string): Promise<void> {
  const upgrade: Upgrade = (_request, socket) => void socket.on('error', () => {}).pipe(socket)
  const listener = await openListener({ identity, host: '127.0.0.1', port: 0, handle: () => {}, upgrade })
  const punched = createPunched({ ...options, accept: (stream) => listener.accept(stream) })
  await punched.listen({ ...at, key }, AbortSignal.timeout(20_000))
  console.log('listens')
}

async function connect(key: string, id: NodeId, ms: number): Promise<Tried> {
  const punched = createPunched({ ...options, keyOf: async () => key })
  let path: PunchedStream | undefined
  const dialer = createDialer({
    identity,
    punched: { connect: async (...args) => (path = (await punched.connect(...args)) as PunchedStream) },
  })
  const startedAt = performance.now()
  const elapsed = () => Math.round(performance.now() - startedAt)
  const { stream } = await dialer.dial({ id, endpoints: [{ kind: 'punched', ...at }] }, { purpose: 'command' })
  if (!path) throw new Error('the dialer did not use the punched path')
  const openedMs = elapsed()
  const wasRelayed = path.isRelayed
  stream.write('GET / HTTP/1.1\r\nHost: node\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n')
  let directMs: number | null = null
  let echoes = 0
  while (directMs === null && elapsed() < ms) {
    const number = Buffer.alloc(4)
    number.writeUInt32BE(echoes)
    stream.write(number)
    const [answer] = (await once(stream, 'data')) as [Buffer]
    if (!answer.equals(number)) throw new Error(`not ${number.toString('hex')}: ${answer.toString('hex')}`)
    echoes += 1
    if (!path.isRelayed) directMs = elapsed()
    else await new Promise((resolve) => setTimeout(resolve, ECHO_MS))
  }
  stream.destroy()
  await once(path, 'close')
  await punched.close()
  return { openedMs, directMs, wasRelayed, echoes }
}

if (mode === 'relay') {
  const quota = createRelayQuota(RELAY_LIMITS, () => false)
  startRelayDht({
    identity,
    ...at,
    authorize: () => true,
    quota,
    onChange: (change) => console.log(JSON.stringify(change)),
  })
  setInterval(() => {}, 60_000)
} else if (mode === 'listen') await listen(rest[0] as string)
else if (mode === 'connect') {
  const [key, id, ms] = rest as [string, NodeId, string]
  console.log(JSON.stringify(await connect(key, id, Number(ms))))
  process.exit(0)
}
