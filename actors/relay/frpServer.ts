import { randomBytes, timingSafeEqual } from 'node:crypto'
import type { Duplex } from 'node:stream'
import { type ActorRefFrom, createActor, fromCallback } from 'xstate'
import { type ClientCommand, type ClientEmits, loginMachine } from '../../machines/relay/login.ts'
import { FRP_FIRST_MESSAGE_TIMEOUT_MS, FRP_POOL_MAX } from '../../protocol/defaults/turnClient.ts'
import { frpKey, privilegeKey } from '../../protocol/wire/frp/cipher.ts'
import type { FrpMessage } from '../../protocol/wire/frp/message.ts'
import { createFrpChannel, type FrpChannel } from '../frp/frpChannel.ts'
import { createYamux } from '../frp/yamux.ts'
import { type LentPortsOptions, lentPorts } from './lentPorts.ts'
import { createWorkPool, type WorkPool } from './workPool.ts'

type LoginBody = Extract<FrpMessage, { kind: 'Login' }>['body']

/** Stock clients before 0.50 refuse a server of another major version. */
const FRP_VERSION = '0.45.0'

export interface RelayServerOptions extends Pick<LentPortsOptions, 'host' | 'choose'> {
  token: string
  /** Returns why a login is refused, or undefined. */
  authorize?(login: LoginBody): string | undefined
}

interface Login {
  actor: ActorRefFrom<typeof loginMachine>
  work: WorkPool
}

/** frp's server: accepts control connections and work connections, multiplexed or not. */
export interface RelayServer {
  /** Takes over a connection, below which TLS may be. The first byte tells whether it is multiplexed. */
  accept(connection: Duplex): void
  readonly logins: ReadonlyMap<string, Login>
  close(): void
}

/** yamux begins with its version, which no message does. */
const YAMUX_VERSION = 0

export function createRelayServer(options: RelayServerOptions): RelayServer {
  const { token, authorize = () => undefined } = options
  const key = frpKey(token)
  const logins = new Map<string, Login>()

  function accept(connection: Duplex): void {
    connection.on('error', () => {})
    connection.once('readable', () => {
      const chunk: Buffer | null = connection.read()
      if (chunk === null) return void connection.destroy()
      connection.unshift(chunk)
      if (chunk[0] === YAMUX_VERSION) createYamux(connection, { role: 'server', onStream: serve })
      else serve(connection)
    })
  }

  /** Reads the first message of a stream, which says what it is for. */
  function serve(stream: Duplex): void {
    const timer = setTimeout(() => channel.close(), FRP_FIRST_MESSAGE_TIMEOUT_MS)
    let onMessage = (message: FrpMessage) => {
      clearTimeout(timer)
      if (message.kind === 'Login') onMessage = logIn(message.body, channel, (ended) => (onEnd = ended))
      else if (message.kind === 'NewWorkConn') addWork(message.body.run_id)
      else channel.close()
    }
    let onEnd = (_why: string) => {}
    const channel = createFrpChannel(stream, {
      onMessage: (message) => onMessage(message),
      onEnd(why) {
        clearTimeout(timer)
        onEnd(why)
      },
    })

    function addWork(runId: string): void {
      const login = logins.get(runId)
      if (login) login.work.add(channel.detach())
      else {
        channel.send({ kind: 'StartWorkConn', body: { error: 'no client control info found' } })
        channel.close()
      }
    }
  }

  /** Starts the login of a client. Returns what receives its further messages. */
  function logIn(body: LoginBody, channel: FrpChannel, whenEnded: (onEnd: (why: string) => void) => void) {
    const error = isProof(body) ? authorize(body) : "token in login doesn't match token from configuration"
    if (error) {
      channel.send({ kind: 'LoginResp', body: { version: FRP_VERSION, error } })
      channel.close()
      return () => {}
    }
    const runId = body.run_id || randomBytes(8).toString('hex')
    logins.get(runId)?.actor.send({ type: 'login.close', why: 'the client logged in again' })
    channel.send({ kind: 'LoginResp', body: { version: FRP_VERSION, run_id: runId } })
    channel.encrypt(key)

    let receiveMessage: (event: ClientEmits) => void = () => {}
    const work = createWorkPool(() => channel.send({ kind: 'ReqWorkConn', body: {} }))
    const client = fromCallback<ClientCommand, undefined, ClientEmits>(({ sendBack, receive }) => {
      receiveMessage = sendBack
      receive(({ message }) => channel.send(message))
      return () => channel.close()
    })
    const actor = createActor(
      loginMachine.provide({ actors: { client, ports: lentPorts({ ...options, work, key }) } }),
      { input: { runId, poolCount: Math.min(body.pool_count, FRP_POOL_MAX) } },
    )
    const login = { actor, work }
    logins.set(runId, login)
    actor.subscribe({
      complete() {
        work.close()
        if (logins.get(runId) === login) logins.delete(runId)
      },
    })
    whenEnded((why) => receiveMessage({ type: 'client.ended', why }))
    actor.start()
    return (message: FrpMessage) => receiveMessage({ type: 'client.received', message })
  }

  function isProof({ privilege_key, timestamp }: LoginBody): boolean {
    const [given, expected] = [privilege_key, privilegeKey(token, timestamp)].map((text) => Buffer.from(text))
    return (
      given !== undefined &&
      expected !== undefined &&
      given.length === expected.length &&
      timingSafeEqual(given, expected)
    )
  }

  return {
    accept,
    logins,
    close() {
      for (const { actor } of logins.values()) actor.send({ type: 'login.close', why: 'the relay stops' })
    },
  }
}
