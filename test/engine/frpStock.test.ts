import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { after, test } from 'node:test'
import { connect as connectTls, createServer as createTlsServer } from 'node:tls'
import { makeCertificate } from '../../actors/identity/certificate.ts'
import { createRelayServer } from '../../actors/relay/frpServer.ts'
import { createRelayQuota } from '../../actors/relay/quota.ts'
import { multiplexed, unmultiplexed } from '../../actors/turnClient/frpTransport.ts'
import { startSession } from '../../actors/turnClient/startSession.ts'
import { freePort } from '../../bench/children.ts'
import { RELAY_LIMITS } from '../../protocol/defaults/relay.ts'
import { assertDatagramEchoed, assertEchoed, echoedAfterHalfClose, startEcho } from '../support/echoService.ts'
import { type FrpMode, frpModes, frpVersion, modeName, startFrpc, startFrps, stopFrp } from '../support/frpPrograms.ts'

/** `npm run soak -- frpStock` runs all modes; `npm test` those that differ most. */
const modes = process.env.P2PRC_SOAK
  ? frpModes
  : frpModes.filter(
      ({ mux, tls, encrypted }) =>
        (mux && tls === 'none' && !encrypted) || (!mux && tls === '0x16' && encrypted) || (mux && tls === '0x17'),
    )

const TOKEN = 'a token of the test'
const folder = mkdtempSync(join(tmpdir(), 'p2prc-frp-'))
const echo = await startEcho()
after(() => {
  echo.close()
  rmSync(folder, { recursive: true })
})

/** Everything that must go through a pair of ports of a relay. */
async function assertPasses(tcp: number, udp: number): Promise<void> {
  await assertEchoed(tcp, 10)
  await Promise.all(Array.from({ length: 20 }, () => assertEchoed(tcp, 50_000)))
  await assertEchoed(tcp, 20 * 1024 * 1024)
  const answer = await echoedAfterHalfClose(tcp)
  assert.ok('request'.startsWith(answer), 'frp closes both directions after one has ended, and may cut off the answer')
  for (const size of [20, 1_400]) await assertDatagramEchoed(udp, size)
}

const server = frpVersion('frps')
for (const mode of modes) {
  const name = `client of stock frps${server ? ` ${server}` : ''}: ${modeName(mode)}`
  test(name, { skip: server === undefined && 'there is no frps on the PATH' }, async () => {
    const port = await freePort()
    const frps = await startFrps({ ...mode, folder, version: server as string, token: TOKEN, port })
    const dial = () => dialRelay(port, mode.tls)
    const session = startSession(
      {
        transport: () => (mode.mux ? multiplexed(dial) : Promise.resolve(unmultiplexed(dial))),
        token: () => TOKEN,
        encryptWork: mode.encrypted,
        localUdpPort: () => echo.udp,
        async connectLocal() {
          const socket = connect({ port: echo.tcp, host: '127.0.0.1', allowHalfOpen: true })
          await once(socket, 'connect')
          return socket
        },
      },
      [],
    )
    const ports = new Map<string, number>()
    const opened = new Promise<void>((resolve, reject) => {
      session.actor.on('tunnel.opened', ({ name, remotePort }) => {
        if (ports.set(name, remotePort).size === 2) resolve()
      })
      session.actor.on('tunnel.refused', ({ why }) => reject(new Error(why)))
      session.actor.on('session.lost', ({ why }) => reject(new Error(why)))
      session.actor.on('session.refused', ({ why }) => reject(new Error(why)))
    })
    for (const protocol of ['tcp', 'udp'] as const)
      session.open({ name: protocol, protocol, remotePort: await freePort() })
    try {
      await opened
      await assertPasses(ports.get('tcp') as number, ports.get('udp') as number)
    } finally {
      session.stop()
      await stopFrp(frps)
    }
  })
}

const client = frpVersion('frpc')
for (const mode of modes) {
  const name = `relay of stock frpc${client ? ` ${client}` : ''}: ${modeName(mode)}`
  test(name, { skip: client === undefined && 'there is no frpc on the PATH' }, async () => {
    const relay = await listenAsRelay()
    const [remoteTcp, remoteUdp] = [await freePort(), await freePort()]
    const frpc = startFrpc({
      ...{ ...mode, folder, version: client as string, token: TOKEN, port: relay.port },
      ...{ localTcp: echo.tcp, localUdp: echo.udp, remoteTcp, remoteUdp },
    })
    try {
      await relay.lending(2)
      await assertPasses(remoteTcp, remoteUdp)
      assert.equal(relay.tls(), mode.tls, 'the client has spoken as it was told')
    } finally {
      await stopFrp(frpc)
      await relay.lending(0)
      relay.close()
    }
  })
}

/** Connects to a relay, in the way of a mode. */
async function dialRelay(port: number, tls: FrpMode['tls']): Promise<Duplex> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  await once(socket, 'connect')
  if (tls === 'none') return socket
  if (tls === '0x17') socket.write(Buffer.of(0x17))
  const secure = connectTls({ socket, rejectUnauthorized: false })
  await once(secure, 'secureConnect')
  return secure
}

/** A relay that tells by the first byte how a client speaks. */
async function listenAsRelay() {
  const relay = createRelayServer({
    token: TOKEN,
    host: '127.0.0.1',
    quota: createRelayQuota(RELAY_LIMITS, () => false),
  })
  const { privateKey } = generateKeyPairSync('ed25519')
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
  const secure = createTlsServer({ key, cert: makeCertificate(privateKey, 'relay') }, (socket) =>
    relay.accept(socket, { caller: 'anonymous', address: '127.0.0.1' }),
  )
  const sockets = new Set<Socket>()
  let tls: FrpMode['tls'] = 'none'
  const listener = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('readable', () => {
      const chunk: Buffer | null = socket.read()
      if (!chunk) return void socket.destroy()
      const isHead = chunk[0] === 0x17
      socket.unshift(isHead ? chunk.subarray(1) : chunk)
      if (isHead || chunk[0] === 0x16) {
        tls = isHead ? '0x17' : '0x16'
        secure.emit('connection', socket)
      } else relay.accept(socket, { caller: 'anonymous', address: '127.0.0.1' })
    })
  }).listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const lent = () => [...relay.logins.values()].reduce((sum, { meters }) => sum + meters.size, 0)
  return {
    port: (listener.address() as { port: number }).port,
    tls: () => tls,
    /** Resolves when so many ports are lent. */
    async lending(count: number): Promise<void> {
      while (lent() !== count) await new Promise((resolve) => setTimeout(resolve, 20))
    },
    close() {
      relay.close()
      listener.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}
