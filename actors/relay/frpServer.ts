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

export interface RelayServerOptions extends Pick<LentPortsOptions, 'host' | 'quota'> {
  token: string
  /** Returns why a login of the client is refused, or undefined. */
  authorize?(login: LoginBody, client: string): string | undefined
}

interface Login {
  actor: ActorRefFrom<typeof loginMachine>
  work: WorkPool
}

/** frp's server: accepts control connections and work connections, multiplexed or not. */
export interface RelayServer {
  /**
   * Takes over a connection of a client, below which TLS may be. The first byte tells whether it is multiplexed. A client
   * reaches its own logins alone: another one who knows the id of a session neither ends it nor serves its users.
   */
  accept(connection: Duplex, client: string): void
  /** The logins by their client and the id of their session. */
  readonly logins: ReadonlyMap<string, Login>
  close(): void
}

/** yamux begins with its version, which no message does. */
const YAMUX_VERSION = 0

export function createRelayServer(options: RelayServerOptions): RelayServer {
  const { token, authorize = () => undefined } = options
  const key = frpKey(token)
  const logins = new Map<string, Login>()

  function accept(connection: Duplex, client: string): void {
    connection.on('error', () => {})
    connection.once('readable', () => {
      const chunk: Buffer | null = connection.read()
      if (chunk === null) return void connection.destroy()
      connection.unshift(chunk)
      if (chunk[0] === YAMUX_VERSION)
        createYamux(connection, { role: 'server', onStream: (stream) => serve(stream, client) })
      else serve(connection, client)
    })
  }

  /** Reads the first message of a stream, which says what it is for. */
  function serve(stream: Duplex, client: string): void {
    const timer = setTimeout(() => channel.close(), FRP_FIRST_MESSAGE_TIMEOUT_MS)
    let onMessage = (message: FrpMessage) => {
      clearTimeout(timer)
      if (message.kind === 'Login') onMessage = logIn(message.body, client, channel, (ended) => (onEnd = ended))
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
      const login = logins.get(loginKey(client, runId))
      if (login) login.work.add(channel.detach())
      else {
        channel.send({ kind: 'StartWorkConn', body: { error: 'no client control info found' } })
        channel.close()
      }
    }
  }

  /** Starts the login of a client. Returns what receives its further messages. */
  function logIn(
    body: LoginBody,
    client: string,
    channel: FrpChannel,
    whenEnded: (onEnd: (why: string) => void) => void,
  ) {
    const refusal = isProof(body) ? authorize(body, client) : "token in login doesn't match token from configuration"
    const runId = body.run_id || randomBytes(8).toString('hex')
    const loginId = loginKey(client, runId)
    if (!refusal) logins.get(loginId)?.actor.send({ type: 'login.close', why: 'the client logged in again' })
    const release = refusal ? undefined : options.quota.takeLogin(client)
    if (!release) {
      const error = refusal || 'too many logins'
      channel.send({ kind: 'LoginResp', body: { version: FRP_VERSION, error } })
      channel.close()
      return () => {}
    }
    channel.send({ kind: 'LoginResp', body: { version: FRP_VERSION, run_id: runId } })
    channel.encrypt(key)

    let receiveMessage: (event: ClientEmits) => void = () => {}
    const work = createWorkPool(() => channel.send({ kind: 'ReqWorkConn', body: {} }))
    const control = fromCallback<ClientCommand, undefined, ClientEmits>(({ sendBack, receive }) => {
      receiveMessage = sendBack
      receive(({ message }) => channel.send(message))
      return () => channel.close()
    })
    const actor = createActor(
      loginMachine.provide({ actors: { client: control, ports: lentPorts({ ...options, client, work, key }) } }),
      { input: { runId, poolCount: Math.min(body.pool_count, FRP_POOL_MAX) } },
    )
    const login = { actor, work }
    logins.set(loginId, login)
    actor.subscribe({
      complete() {
        work.close()
        release()
        if (logins.get(loginId) === login) logins.delete(loginId)
      },
    })
    whenEnded((why) => receiveMessage({ type: 'client.ended', why }))
    actor.start()
    return (message: FrpMessage) => receiveMessage({ type: 'client.received', message })
  }

  const loginKey = (client: string, runId: string) => `${client} ${runId}`

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
