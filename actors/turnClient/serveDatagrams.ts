import { createSocket, type Socket } from 'node:dgram'
import type { Duplex } from 'node:stream'
import { FRP_PING_INTERVAL_MS, UDP_IDLE_TIMEOUT_MS, UDP_USERS_MAX } from '../../protocol/defaults/turnClient.ts'
import type { UdpAddress } from '../../protocol/wire/frp/message.ts'
import { createFrpChannel } from '../frp/frpChannel.ts'

/**
 * Passes the datagrams of a work connection to a port of this machine, from a socket of its own for each user, so that the
 * answers find their way back. What comes from more users than may have one is lost. `isProbe` keeps a datagram from the
 * port.
 */
export function serveDatagrams(
  stream: Duplex,
  port: number | undefined,
  isProbe: (payload: Buffer) => boolean = () => false,
): void {
  const users = new Map<string, { socket: Socket; idle: NodeJS.Timeout }>()
  const channel = createFrpChannel(stream, {
    onMessage(message) {
      if (message.kind !== 'UDPPacket' || !message.body.r || port === undefined) return
      const payload = Buffer.from(message.body.c, 'base64')
      if (!isProbe(payload)) socketOf(message.body.r)?.send(payload, port, '127.0.0.1')
    },
    onEnd() {
      clearInterval(ping)
      for (const { socket, idle } of users.values()) {
        clearTimeout(idle)
        socket.close()
      }
    },
  })
  // The relay gives up a work connection on which nothing arrives for a minute.
  const ping = setInterval(() => channel.send({ kind: 'Ping', body: {} }), FRP_PING_INTERVAL_MS)

  function socketOf(user: UdpAddress): Socket | undefined {
    const name = `${user.IP} ${user.Port}`
    const known = users.get(name)
    if (known) {
      known.idle.refresh()
      return known.socket
    }
    if (users.size >= UDP_USERS_MAX) return undefined
    const socket = createSocket('udp4')
    const close = () => {
      if (users.delete(name)) socket.close()
    }
    const idle = setTimeout(close, UDP_IDLE_TIMEOUT_MS)
    socket.on('message', (payload) => {
      idle.refresh()
      channel.send({ kind: 'UDPPacket', body: { c: payload.toString('base64'), r: user } })
    })
    socket.on('error', () => {})
    users.set(name, { socket, idle })
    return socket
  }
}
