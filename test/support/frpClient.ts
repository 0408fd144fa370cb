import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import { createFrpChannel } from '../../actors/frp/frpChannel.ts'
import type { Identity } from '../../actors/identity.ts'
import { frpKey, privilegeKey } from '../../protocol/wire/frp/cipher.ts'
import { encodeFrp, type FrpMessage, type FrpOutgoing } from '../../protocol/wire/frp/message.ts'
import { until } from './lender.ts'

/** Connects to a node's port, as the node with this identity or in clear. */
export async function connectFrp(port: number, identity?: Pick<Identity, 'tls'>): Promise<Duplex> {
  const socket = connect({ port, host: '127.0.0.1' }).on('error', () => {})
  await once(socket, 'connect')
  if (!identity) return socket
  const secure = connectTls({ socket, ...identity.tls, rejectUnauthorized: false }).on('error', () => {})
  await once(secure, 'secureConnect')
  return secure
}

export const loginMessage = (token: string, timestamp = Math.floor(Date.now() / 1_000), runId = '') =>
  encodeFrp({
    kind: 'Login',
    body: { version: '0.45.0', privilege_key: privilegeKey(token, timestamp), timestamp, run_id: runId },
  })

/** A client of frp without a multiplexer, which answers users with work connections that echo. */
export async function frpClient(port: number, { identity, token = '', login = loginMessage(token) }: FrpClientOptions) {
  const stream = await connectFrp(port, identity)
  const received: FrpMessage[] = []
  let runId = ''
  const channel = createFrpChannel(stream, {
    onMessage(message) {
      received.push(message)
      if (message.kind === 'LoginResp' && message.body.error === '') {
        runId = message.body.run_id
        channel.encrypt(frpKey(token))
      }
      if (message.kind === 'ReqWorkConn') void work()
    },
    onEnd: () => {},
  })

  async function work(): Promise<void> {
    const bytes = await connectFrp(port, identity)
    const start = createFrpChannel(bytes, { onMessage: () => start.detach().pipe(bytes), onEnd: () => {} })
    start.send({ kind: 'NewWorkConn', body: { run_id: runId } })
  }

  const bodiesOf = <K extends FrpMessage['kind']>(kind: K) =>
    received.flatMap((one) => (one.kind === kind ? [one.body as Extract<FrpMessage, { kind: K }>['body']] : []))
  stream.write(login)
  await until(async () => bodiesOf('LoginResp').length > 0 || stream.destroyed, 5_000)
  return {
    stream,
    /** Why the login was refused; empty if it was not. */
    refusal: bodiesOf('LoginResp')[0]?.error ?? 'closed without an answer',
    release: (proxy_name: string) => channel.send({ kind: 'CloseProxy', body: { proxy_name } }),
    ping: () => channel.send({ kind: 'Ping', body: {} }),
    /** Requests a port by a name, and resolves with the port, or throws why not. */
    async request(name: string, remote_port = 0): Promise<number> {
      const { error, remote_addr } = await this.propose({ proxy_name: name, remote_port })
      assert.equal(error, '')
      return Number(remote_addr.slice(1))
    },
    /** Sends a request for a port, and resolves with the answer. */
    async propose(body: Extract<FrpOutgoing, { kind: 'NewProxy' }>['body']) {
      const before = bodiesOf('NewProxyResp').length
      channel.send({ kind: 'NewProxy', body: { proxy_type: 'tcp', ...body } })
      await until(async () => bodiesOf('NewProxyResp').length > before, 5_000)
      return bodiesOf('NewProxyResp').at(-1) as Extract<FrpMessage, { kind: 'NewProxyResp' }>['body']
    },
    ended: () => (stream.closed ? Promise.resolve() : once(stream, 'close')),
  }
}

export interface FrpClientOptions {
  identity?: Pick<Identity, 'tls'>
  token?: string
  /** The bytes of the first message. */
  login?: Uint8Array
}
