import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** A link in user space between a port of this machine and a target, for TCP and UDP, because few kernels have netem. */
export interface LossyLink {
  /** On this port of 127.0.0.1, TCP and UDP lead to the target. */
  readonly port: number
  /** One-way delay of each chunk and datagram in milliseconds. */
  delayMs: number
  /** The part of the datagrams that are lost, from 0 to 1. TCP has none to lose, because the kernels would send it again. */
  loss: number
  /** Nothing passes, and TCP connections stay open. */
  stall(stalled: boolean): void
  /** Resets all TCP connections on both sides. */
  reset(): void
  close(): Promise<void>
}

/** `random` returns numbers from 0 to below 1. */
export async function openLossyLink(
  target: { host: string; port: number },
  random: () => number = Math.random,
): Promise<LossyLink> {
  const sockets = new Set<Socket>()
  const relays = new Map<string, UdpSocket>()
  const timers = new Set<NodeJS.Timeout>()
  let waiting: (() => void)[] | undefined

  /** Passes something on when its delay is over, behind what waits already. */
  function later(pass: () => void): void {
    const timer = setTimeout(() => {
      timers.delete(timer)
      if (waiting) waiting.push(pass)
      else pass()
    }, link.delayMs)
    timers.add(timer)
  }

  function forward(from: Socket, to: Socket): void {
    sockets.add(from)
    from.on('error', () => to.destroy())
    from.on('close', () => sockets.delete(from))
    from.on('data', (chunk) => {
      from.pause()
      later(() => {
        if (to.destroyed) return
        // A slow reader holds the sender back, as on a real link. With a delay, one chunk is on its way at a time.
        if (to.write(chunk)) from.resume()
        else to.once('drain', () => from.resume())
      })
    })
    from.on('end', () => later(() => to.end()))
  }

  const server = createServer({ allowHalfOpen: true }, (client) => {
    const upstream = connect({ ...target, allowHalfOpen: true })
    forward(client, upstream)
    forward(upstream, client)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const datagrams = createSocket('udp4').bind(port, '127.0.0.1')
  await once(datagrams, 'listening')
  datagrams.on('message', (payload, { address, port: from }) => {
    const name = `${address}:${from}`
    let relay = relays.get(name)
    if (!relay) {
      relay = createSocket('udp4')
      relay.on('message', (answer) => passOrLose(() => datagrams.send(answer, from, address)))
      relays.set(name, relay)
    }
    const through = relay
    passOrLose(() => through.send(payload, target.port, target.host))
  })

  function passOrLose(pass: () => void): void {
    if (random() >= link.loss) later(pass)
  }

  const link: LossyLink = {
    port,
    delayMs: 0,
    loss: 0,
    stall(stalled) {
      const held = waiting ?? []
      waiting = stalled ? held : undefined
      if (!stalled) for (const pass of held) pass()
    },
    reset() {
      for (const socket of sockets) socket.resetAndDestroy()
    },
    async close() {
      for (const timer of timers) clearTimeout(timer)
      waiting = []
      for (const socket of sockets) socket.destroy()
      for (const socket of [datagrams, ...relays.values()]) socket.close()
      server.close()
      await once(server, 'close')
    },
  }
  return link
}
