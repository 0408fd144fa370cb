import { createSocket } from 'node:dgram'
import { UDP_WORK_RETRY_MS } from '../../protocol/defaults/turnClient.ts'
import { encryptedStream } from '../frp/encryptedStream.ts'
import { createFrpChannel, type FrpChannel } from '../frp/frpChannel.ts'
import { createDatagramUsers } from './datagramUsers.ts'
import type { LendOptions } from './lentPorts.ts'

/** Lends a UDP port. All of its datagrams go through one work connection, which is replaced when it ends. */
export async function lendDatagrams({ name, host, port, work, key, pass }: LendOptions) {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4')
  let channel: FrpChannel | undefined
  let isClosed = false
  let retry: NodeJS.Timeout | undefined
  const users = createDatagramUsers()

  socket.on('message', (payload, { address, port: userPort }) => {
    // What exceeds the rate is lost, as on a link of that rate.
    if (pass(payload.length) > 0) return
    const r = users.add(address, userPort)
    channel?.send({ kind: 'UDPPacket', body: { c: payload.toString('base64'), r } })
  })

  async function openWork(): Promise<void> {
    const stream = await work.take()
    if (isClosed || !stream) {
      stream?.destroy()
      return scheduleRetry()
    }
    const start = createFrpChannel(stream, { onMessage: () => {}, onEnd: scheduleRetry })
    start.send({ kind: 'StartWorkConn', body: { proxy_name: name } })
    const bytes = start.detach()
    channel = createFrpChannel(key ? encryptedStream(bytes, key) : bytes, {
      onMessage(message) {
        const to = message.kind === 'UDPPacket' && message.body.r ? users.addressOf(message.body.r) : undefined
        if (message.kind !== 'UDPPacket' || to === undefined) return
        const payload = Buffer.from(message.body.c, 'base64')
        if (pass(payload.length) > 0) return
        socket.send(payload, message.body.r?.Port, to, () => {})
      },
      onEnd: scheduleRetry,
    })
  }

  function scheduleRetry(): void {
    channel = undefined
    if (!isClosed) retry = setTimeout(openWork, UDP_WORK_RETRY_MS)
  }

  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject)
    socket.bind(port, host, () => {
      socket.off('error', reject)
      socket.on('error', () => {})
      resolve()
    })
  })
  void openWork()
  return {
    port: socket.address().port,
    close() {
      isClosed = true
      clearTimeout(retry)
      channel?.close()
      socket.close()
    },
  }
}
