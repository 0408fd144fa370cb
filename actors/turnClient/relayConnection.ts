import { arch, hostname, platform } from 'node:os'
import type { Duplex } from 'node:stream'
import { fromCallback } from 'xstate'
import type { RelayCommand, RelayEmits } from '../../machines/turnClient/session.ts'
import type { TunnelSpec } from '../../machines/turnClient/tunnel.ts'
import { RELAY_PING_INTERVAL_MS } from '../../protocol/defaults/relay.ts'
import { FRP_SILENCE_TIMEOUT_MS } from '../../protocol/defaults/turnClient.ts'
import { frpKey, privilegeKey } from '../../protocol/wire/frp/cipher.ts'
import type { FrpMessage, FrpOutgoing } from '../../protocol/wire/frp/message.ts'
import { encryptedStream } from '../frp/encryptedStream.ts'
import { createFrpChannel, type FrpChannel, type FrpChannelEnd } from '../frp/frpChannel.ts'
import { splice } from '../frp/splice.ts'
import type { YamuxEnd } from '../frp/yamux.ts'
import type { FrpTransport } from './frpTransport.ts'
import { serveDatagrams } from './serveDatagrams.ts'

/** Stock relays demand three parts, and at least 0.18.0. This is the version whose behaviour this client has. */
const FRP_VERSION = '0.45.0'

export interface RelayConnectionOptions {
  /** Reaches the relay of this id, which is empty for a session that runs by itself. */
  transport(relay: string): Promise<FrpTransport>
  /** The token of a relay, empty if it has none. */
  token(relay: string): string
  /**
   * The user whose name stands before that of each tunnel, with a point between; none for a relay of this project. Names
   * are unique among all clients of stock frp.
   */
  user?(relay: string): string | undefined
  /** Whether the proxies ask for encrypted work connections, for a relay that is reached without TLS. */
  encryptWork?: boolean
  /** Connects to what a tunnel leads to. */
  connectLocal(name: string): Promise<Duplex>
  /** The port of this machine to which the datagrams of a tunnel go. */
  localUdpPort(name: string): number | undefined
  /** Whether a datagram that came out of a tunnel is not for its port. */
  isProbe?(name: string, payload: Buffer): boolean
  /** The wall clock, in seconds, for the proof in a login. */
  now?: () => number
}

/** The connection of a session to its relay. */
export function relayConnection(options: RelayConnectionOptions) {
  const { encryptWork = false, now = () => Math.floor(Date.now() / 1000) } = options
  return fromCallback<RelayCommand, { relay: string }, RelayEmits>(({ input, sendBack, receive }) => {
    const token = options.token(input.relay)
    const key = frpKey(token)
    const proof = () => {
      const timestamp = now()
      return { privilege_key: privilegeKey(token, timestamp), timestamp }
    }
    const user = options.user?.(input.relay) ?? ''
    const prefix = user && `${user}.`
    const nameOf = (proxy: string) => (proxy.startsWith(prefix) ? proxy.slice(prefix.length) : '')
    let transport: FrpTransport | undefined
    let control: FrpChannel | undefined
    let isOver = false
    let runId = ''
    const protocols = new Map<string, TunnelSpec['protocol']>()
    const timers = { ping: undefined as NodeJS.Timeout | undefined, silence: undefined as NodeJS.Timeout | undefined }

    const end = (why: string) => {
      if (isOver) return
      isOver = true
      clearInterval(timers.ping)
      clearTimeout(timers.silence)
      control?.close()
      transport?.close()
      sendBack({ type: 'relay.lost', why })
    }

    const onControl = (message: FrpMessage) => {
      timers.silence?.refresh()
      // A second answer to the login would start the timers again, and the first ones would never end.
      if (message.kind === 'LoginResp' && message.body.error === '' && !timers.ping) onLogin(message.body.run_id)
      if (message.kind === 'ReqWorkConn') void openWork()
      else if (message.kind === 'NewProxyResp') {
        const body = { ...message.body, proxy_name: nameOf(message.body.proxy_name) }
        sendBack({ type: 'relay.received', message: { ...message, body } })
      } else sendBack({ type: 'relay.received', message })
    }

    // The bytes right behind the relay's answer are encrypted already.
    function onLogin(id: string): void {
      runId = id
      control?.encrypt(key)
      timers.ping = setInterval(() => send({ kind: 'Ping', body: proof() }), RELAY_PING_INTERVAL_MS)
      timers.silence = setTimeout(() => end('the relay is silent'), FRP_SILENCE_TIMEOUT_MS)
    }

    async function openWork(): Promise<void> {
      const stream = await transport?.open().catch(() => undefined)
      if (!stream || isOver) return void stream?.destroy()
      const work = createFrpChannel(stream, {
        onMessage(message) {
          if (message.kind !== 'StartWorkConn' || message.body.error !== '') return work.close()
          const name = nameOf(message.body.proxy_name)
          // A relay that names another port of this machine would else reach it.
          if (!protocols.has(name)) return work.close()
          const bytes = encryptWork ? encryptedStream(work.detach(), key) : work.detach()
          if (protocols.get(name) === 'udp')
            serveDatagrams(bytes, options.localUdpPort(name), (payload) => options.isProbe?.(name, payload) ?? false)
          else void serveUser(bytes, name)
        },
        onEnd: () => {},
      })
      work.send({ kind: 'NewWorkConn', body: { run_id: runId, ...proof() } })
    }

    async function serveUser(user: Duplex, name: string): Promise<void> {
      // frp has no message for a service that does not answer: the relay sees the end of the stream.
      const local = await options.connectLocal(name).catch(() => undefined)
      if (local) await splice(user, local, { halfClose: 'lost' })
      else user.destroy()
    }

    const send = (message: FrpOutgoing) => control?.send(message)
    receive((command) => {
      if (command.type === 'login') {
        const body = { version: FRP_VERSION, hostname: hostname(), os: platform(), arch: arch(), user, pool_count: 1 }
        send({ kind: 'Login', body: { ...body, run_id: command.runId, ...proof() } })
      } else if (command.type === 'request') {
        const { name, protocol, remotePort, domain } = command.tunnel
        protocols.set(name, protocol)
        const proxy = {
          proxy_name: prefix + name,
          proxy_type: protocol,
          remote_port: remotePort,
          use_encryption: encryptWork,
          ...(domain !== undefined && { custom_domains: [domain] }),
        }
        send({ kind: 'NewProxy', body: proxy })
      } else {
        protocols.delete(command.name)
        send({ kind: 'CloseProxy', body: { proxy_name: prefix + command.name } })
      }
    })

    async function begin(): Promise<void> {
      transport = await options.transport(input.relay)
      void transport.ended.then((why) => end(lossOf(why)))
      const stream = await transport.open()
      if (isOver) return transport.close()
      control = createFrpChannel(stream, { onMessage: onControl, onEnd: (why) => end(lossOf(why)) })
      sendBack({ type: 'relay.connected' })
    }
    begin().catch((error: Error) => end(error.message))
    return () => end('ended')
  })
}

/** What the end of a control connection means for the owner. */
function lossOf(why: FrpChannelEnd | YamuxEnd): string {
  if (why === 'unknownType') return 'the relay has another token, or does not speak frp'
  if (why === 'closed') return 'the relay closed the connection'
  if (why === 'pingTimeout' || why === 'backlog') return 'the relay is silent'
  return why === 'goAway' ? 'the relay ended the connection' : `the relay sent what is no message (${why})`
}
