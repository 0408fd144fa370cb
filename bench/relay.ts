import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { frpVersion, startFrpc, startFrps } from '../test/support/frpPrograms.ts'
import { bundled } from './bundled.ts'
import { type Bench, type Figure, interleave, median } from './measure.ts'
import { freePort, scratch, started } from './processes.ts'
import { dhtMemory, relayMemory } from './relayMemory.ts'

/** How a client and a relay speak with each other, and what is to be reached of frp that does the same. */
const modes = [
  { name: 'mux', mux: true, tls: false, goal: 1.2 },
  { name: 'no mux', mux: false, tls: false, goal: 1.3 },
  { name: 'mux and TLS', mux: true, tls: true, goal: 1.1 },
  { name: 'no mux and TLS', mux: false, tls: true, goal: 0.7 },
] as const

type Mode = (typeof modes)[number]

/** What one stream transfers in a measurement, and what 63 do together. */
const STREAM_BYTES = 128 * 1024 * 1024
const STREAMS = 63

const ROUND_TRIPS = 2_000
const CONNECTIONS = 200

const ROUNDS = 5

/** Measures a relay: two hops between a user and a service, all four of them processes of their own. */
export const bench: Bench = async () => {
  const host = await bundled('relayHost')
  const run = async (...options: (string | number)[]) => {
    const child = await started([host, ...options.map(String)], {}, /ready \d+/)
    return { child, port: Number(/ready (\d+)/.exec(child.text)?.[1]) }
  }
  const service = await run('service')
  const ours = new Map<Mode, number>()
  const theirs = new Map<Mode, number>()
  const stock = frpVersion('frps') && frpVersion('frpc')
  const running: { kill(signal: 'SIGKILL'): boolean }[] = [service.child]
  for (const mode of modes) {
    const relay = await run('relay')
    const client = await run('client', relay.port, service.port, mode.mux ? 'mux' : '', mode.tls ? 'tls' : '')
    running.push(relay.child, client.child)
    ours.set(mode, client.port)
    if (!stock) continue
    const { port, children } = await startStock(mode, service.port)
    running.push(...children)
    theirs.set(mode, port)
  }
  const [mux, noMux] = modes
  const at = (mode: Mode) => ours.get(mode) as number
  const figures: Figure[] = []
  if (stock) {
    for (const mode of modes) {
      const port = theirs.get(mode) as number
      figures.push(await throughput(`one stream, ${mode.name}`, `frp ${stock}`, at(mode), port, mode.goal))
    }
    const port = theirs.get(noMux) as number
    const against = { baseline: `frp ${stock}, no mux`, unit: 'µs', rounds: ROUNDS }
    figures.push(
      await interleave({
        ...{ ...against, what: '64-byte round trip (p50), no mux', goal: { sign: '≤', ratio: 1.1 } },
        ours: () => roundTrip(at(noMux)),
        theirs: () => roundTrip(port),
      }),
      await interleave({
        ...{ ...against, what: 'connect to first byte (p50), no mux', goal: { sign: '≤', ratio: 1.3 } },
        ours: () => firstByte(at(noMux)),
        theirs: () => firstByte(port),
      }),
    )
  } else {
    const second = await run('splice', service.port)
    const first = await run('splice', second.port)
    running.push(first.child, second.child)
    for (const mode of modes) {
      const goal = mode === noMux ? 0.7 : undefined
      figures.push(await throughput(`one stream, ${mode.name}`, 'two hops that splice', at(mode), first.port, goal))
    }
  }
  figures.push(
    await throughput('one stream, no mux', 'raw loopback', at(noMux), service.port, 0.35),
    await interleave({
      what: '63 streams of a session beside one that is stalled',
      baseline: '63 streams alone',
      unit: 'MB/s',
      goal: { sign: '≥', ratio: 0.9 },
      rounds: ROUNDS,
      ours: () => besideStalled(at(mux)),
      theirs: () => downloads(at(mux)),
    }),
  )
  for (const child of running) child.kill('SIGKILL')
  return [...figures, await relayMemory(host), await dhtMemory()]
}

/** Starts frp with the same settings. Returns the port at its server. */
async function startStock({ mux, tls }: Mode, localTcp: number) {
  const [port, remoteTcp, remoteUdp] = [await freePort(), await freePort(), await freePort()]
  const folder = scratch('frp')
  const options = { mux, tls: tls ? '0x16' : 'none', encrypted: false, folder, token: '', port } as const
  const server = await startFrps({ ...options, version: frpVersion('frps') as string })
  const version = frpVersion('frpc') as string
  const client = startFrpc({ ...options, version, localTcp, localUdp: localTcp, remoteTcp, remoteUdp })
  const deadline = performance.now() + 10_000
  while (!(await isServed(remoteTcp))) if (performance.now() > deadline) throw new Error('frp lends no port')
  return { port: remoteTcp, children: [server, client] }
}

async function isServed(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  return new Promise<boolean>((resolve) => {
    socket.once('data', () => resolve(true))
    for (const event of ['error', 'close']) socket.once(event, () => resolve(false))
  }).finally(() => socket.destroy())
}

function throughput(what: string, baseline: string, ours: number, theirs: number, goal?: number): Promise<Figure> {
  return interleave({
    ...{ what: `throughput over two hops, ${what}`, baseline, unit: 'MB/s', rounds: ROUNDS },
    ...(goal !== undefined && { goal: { sign: '≥', ratio: goal } }),
    ours: () => download(ours, STREAM_BYTES),
    theirs: () => download(theirs, STREAM_BYTES),
  })
}

/** Connects and reads the byte with which the service begins. */
async function user(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  await new Promise<void>((resolve, reject) => {
    socket.once('data', () => resolve()).once('error', reject)
    socket.once('close', () => reject(new Error(`the connection to port ${port} was closed`)))
  })
  return socket
}

/** Downloads over one connection. Resolves with MB a second. */
async function download(port: number, bytes: number): Promise<number> {
  const socket = await user(port)
  let left = bytes
  socket.on('data', (chunk) => {
    left -= chunk.length
  })
  const began = performance.now()
  socket.write(`d${bytes}`)
  await once(socket, 'close')
  if (left !== 0) throw new Error(`${left} bytes are missing`)
  return bytes / (performance.now() - began) / 1_000
}

/** Downloads over many connections at once. Resolves with MB a second of all of them. */
async function downloads(port: number): Promise<number> {
  const each = Math.floor(STREAM_BYTES / STREAMS)
  const began = performance.now()
  await Promise.all(Array.from({ length: STREAMS }, () => download(port, each)))
  return (each * STREAMS) / (performance.now() - began) / 1_000
}

async function besideStalled(port: number): Promise<number> {
  const stalled = await user(port)
  stalled.pause()
  stalled.write(`d${STREAM_BYTES}`)
  const measured = await downloads(port)
  stalled.destroy()
  return measured
}

/** Resolves with the median microseconds of a round trip of 64 bytes. */
async function roundTrip(port: number): Promise<number> {
  const socket = await user(port)
  socket.write('e')
  const payload = Buffer.alloc(64)
  const times: number[] = []
  for (let at = 0; at < ROUND_TRIPS; at++) {
    const began = performance.now()
    socket.write(payload)
    let left = payload.length
    while (left > 0) left -= ((await once(socket, 'data'))[0] as Buffer).length
    times.push((performance.now() - began) * 1_000)
  }
  socket.destroy()
  return median(times)
}

/** Resolves with the median microseconds from a connection to the first byte of the service. */
async function firstByte(port: number): Promise<number> {
  const times: number[] = []
  for (let at = 0; at < CONNECTIONS; at++) {
    const began = performance.now()
    const socket = await user(port)
    times.push((performance.now() - began) * 1_000)
    socket.destroy()
  }
  return median(times)
}
