import { randomUUID } from 'node:crypto'
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { createInterface } from 'node:readline'

/**
 * Measures what a router does, as RFC 5780 does with a STUN server of two addresses and two ports.
 *
 * - `natProbe.ts serve`: on a public machine, UDP and TCP on both ports.
 * - `natProbe.ts measure <first> <second>`: behind the router; prints a `Measured` as JSON.
 *
 * The servers are questioned over TCP about the datagrams, so that nobody has to wait for what a router has dropped: a
 * datagram that was sent before a TCP connection was opened has arrived before it, or never will.
 */
export interface Measured {
  udp: Behaviour
  tcp: Pick<Behaviour, 'mapping' | 'keepsPort'>
}

/** The terms of RFC 4787, sections 4.1 and 5; `none` where nothing passes. */
export interface Behaviour {
  mapping: Dependence
  filtering: Dependence
  keepsPort: boolean
}

export type Dependence = 'independent' | 'address' | 'addressAndPort' | 'none'

export const PROBE_PORTS = [3_478, 3_479] as const

interface Target {
  host: string
  port: number
}

/** A question to a server: where it saw a datagram come from, or to send one to an address. */
type Question = { seen: string } | { send: string; to: string }

const textOf = ({ address, port }: Pick<RemoteInfo, 'address' | 'port'>) => `${address}:${port}`

async function serve(): Promise<void> {
  for (const port of PROBE_PORTS) {
    const seen = new Map<string, string>()
    const datagrams = await bound(port)
    datagrams.on('message', (payload, from) => seen.set(String(payload), textOf(from)))
    const server = createServer((socket) => {
      const lines = createInterface(socket)
      for (const end of [socket, lines]) end.on('error', () => socket.destroy())
      lines.on('line', async (line) => {
        const question = JSON.parse(line) as Question
        const self = textOf({ address: socket.remoteAddress as string, port: socket.remotePort as number })
        if ('send' in question) await send(datagrams, question.send, targetOf(question.to))
        // Datagrams that the kernel already has are read before the answer.
        await settled()
        socket.write(`${JSON.stringify({ self, seen: 'seen' in question ? seen.get(question.seen) : undefined })}\n`)
      })
    })
    server.listen(port, '0.0.0.0')
    await once(server, 'listening')
  }
  console.log('probe serves')
}

async function measure(first: string, second: string): Promise<Measured> {
  const [port, otherPort] = PROBE_PORTS
  const targets = [
    { host: first, port },
    { host: first, port: otherPort },
    { host: second, port },
  ]
  return { udp: await measureUdp(targets), tcp: await measureTcp(targets) }
}

async function measureUdp(targets: readonly Target[]): Promise<Behaviour> {
  const mappingSocket = await bound(0)
  const mapped: (string | undefined)[] = []
  for (const target of targets) mapped.push(await mappedBy(mappingSocket, target))
  // A socket of its own, because the first one has opened the router for all targets.
  const filteringSocket = await bound(0)
  const received = new Set<string>()
  filteringSocket.on('message', (payload) => received.add(String(payload)))
  const [first] = targets as [Target]
  const open = await mappedBy(filteringSocket, first)
  if (open) for (const [at, target] of targets.entries()) await query(target, { send: String(at), to: open })
  await settled()
  const behaviour = {
    mapping: mappingOf(mapped),
    filtering: filteringOf(received),
    keepsPort: open !== undefined && targetOf(open).port === filteringSocket.address().port,
  }
  for (const socket of [mappingSocket, filteringSocket]) socket.close()
  return behaviour
}

/** Returns the address from which a server sees a socket, if it sees it. */
async function mappedBy(socket: Socket, target: Target): Promise<string | undefined> {
  const seen = randomUUID()
  await send(socket, seen, target)
  return (await query(target, { seen })).seen
}

async function measureTcp(targets: readonly Target[]): Promise<Measured['tcp']> {
  const mapped: string[] = []
  const reserved = createServer().listen(0)
  const { port } = reserved.address() as AddressInfo
  reserved.close()
  await once(reserved, 'close')
  for (const target of targets) mapped.push((await query(target, { seen: '' }, port)).self)
  return { mapping: mappingOf(mapped), keepsPort: targetOf(mapped[0] as string).port === port }
}

function mappingOf([first, otherPort, otherAddress]: readonly (string | undefined)[]): Dependence {
  if (first === undefined) return 'none'
  if (first !== otherPort) return 'addressAndPort'
  return first === otherAddress ? 'independent' : 'address'
}

function filteringOf(received: ReadonlySet<string>): Dependence {
  if (!received.has('0')) return 'none'
  if (received.has('2')) return 'independent'
  return received.has('1') ? 'address' : 'addressAndPort'
}

/** Asks one question on a connection of its own, from `localPort` where one is given. */
async function query(
  target: Target,
  question: Question,
  localPort?: number,
): Promise<{ self: string; seen: string | undefined }> {
  const socket = connect({ ...target, ...(localPort && { localPort }) })
  await once(socket, 'connect')
  socket.write(`${JSON.stringify(question)}\n`)
  const [line] = (await once(createInterface(socket), 'line')) as [string]
  // A reset, so that the port can be used again at once.
  socket.resetAndDestroy()
  return JSON.parse(line)
}

async function bound(port: number): Promise<Socket> {
  const socket = createSocket('udp4').bind(port)
  await once(socket, 'listening')
  return socket
}

function send(socket: Socket, payload: string, { host, port }: Target): Promise<void> {
  return new Promise((resolve, reject) =>
    socket.send(payload, port, host, (error) => (error ? reject(error) : resolve())),
  )
}

function targetOf(text: string): Target {
  const [host, port] = text.split(':') as [string, string]
  return { host, port: Number(port) }
}

async function settled(): Promise<void> {
  for (let pass = 0; pass < 3; pass += 1) await new Promise(setImmediate)
}

if (process.argv[1] === import.meta.filename) {
  const [, , mode, first = '', second = ''] = process.argv
  if (mode === 'serve') await serve()
  else console.log(JSON.stringify(await measure(first, second)))
}
