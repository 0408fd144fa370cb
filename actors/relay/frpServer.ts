import { randomBytes } from 'node:crypto'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { createActor } from 'xstate'
import { RELAY_MUX_PING, RELAY_SILENCE_TIMEOUT_MS } from '../../protocol/defaults/relay.ts'
import {
  FRP_FIRST_MESSAGE_TIMEOUT_MS,
  FRP_POOL_MAX,
  FRP_SILENCE_TIMEOUT_MS,
} from '../../protocol/defaults/turnClient.ts'
import { prefix64Of } from '../../protocol/net/subnet.ts'
import { frpKey } from '../../protocol/wire/frp/cipher.ts'
import { createFrpChannel, type FrpChannel } from '../frp/frpChannel.ts'
import { createYamux } from '../frp/yamux.ts'
import type { LentDomains } from './lentPorts.ts'
import { createProofCheck, type LoginBody } from './loginProof.ts'
import type { RelayQuota } from './quota.ts'
import { createLogin, loginLogic, type RelayClient, type RelayLogin } from './relayLogin.ts'

/** Stock clients before 0.50 refuse a server of another major version. */
const FRP_VERSION = '0.45.0'

/** The time between the probes of a connection that is silent, where the system can tell that its other end is gone. */
const KEEP_ALIVE_MS = 1_000

export interface RelayServerOptions {
  /** The address on which ports are bound; all of them if it is absent. */
  host?: string
  quota: RelayQuota
  /** If absent, the relay shows no domains. */
  domains?: LentDomains
  /** With it, clients without a key may log in where they need a token. Empty if there is none. */
  token: string
  /** Returns why a login is refused, or undefined. `hasToken`: the client has proved that it knows the token. */
  authorize?(client: RelayClient, hasToken: boolean): string | undefined
  /** Starts the machine of a login. If absent, the machine runs by itself. */
  onLogin?(login: RelayLogin): void
  onRefused?(client: RelayClient, why: string): void
}

/** frp's server: accepts control connections and work connections, multiplexed or not. */
export interface RelayServer {
  /**
   * Takes over a connection of a client, below which TLS may be. The first byte tells whether it is multiplexed. A client
   * reaches its own logins alone: another one who knows the id of a session neither ends it nor serves its users.
   * `release` is called as soon as the limits of the relay count the connection.
   */
  accept(connection: Duplex, client: RelayClient, release?: () => void): void
  /** The logins by their client and the id of their session. */
  readonly logins: ReadonlyMap<string, RelayLogin>
  close(): void
}

/** yamux begins with its version, which no message does. */
const YAMUX_VERSION = 0

interface Connection extends RelayClient {
  isMultiplexed: boolean
  /** The limits of the relay count the connection from now on. */
  release(): void
  /** Ends the session to which a stream belongs. */
  close(): void
}

export function createRelayServer(options: RelayServerOptions): RelayServer {
  const { quota, domains, host, token, authorize = () => undefined, onLogin = runAlone, onRefused = () => {} } = options
  const check = createProofCheck(token)
  const logins = new Map<string, RelayLogin>()
  const connections = new Set<Duplex>()
  let serial = 0
  let isClosed = false

  function accept(connection: Duplex, client: RelayClient, release = () => {}): void {
    connection.on('error', () => {})
    if (isClosed) return void connection.destroy()
    connections.add(connection)
    connection.once('close', () => connections.delete(connection))
    // A client whose machine has lost its power says nothing any more.
    if (connection instanceof Socket) connection.setKeepAlive(true, KEEP_ALIVE_MS)
    connection.once('readable', () => {
      const chunk: Buffer | null = connection.read()
      if (chunk === null) return void connection.destroy()
      connection.unshift(chunk)
      if (chunk[0] === YAMUX_VERSION) acceptSession(connection, client, release)
      else serve(connection, { ...client, isMultiplexed: false, release, close: () => {} })
    })
  }

  /** A session that has no login, or whose login has ended, would be counted by nobody. */
  function acceptSession(connection: Duplex, client: RelayClient, release: () => void): void {
    const close = () => connection.destroy()
    const timer = setTimeout(close, FRP_FIRST_MESSAGE_TIMEOUT_MS)
    connection.once('close', () => clearTimeout(timer))
    const onLogin = () => {
      clearTimeout(timer)
      release()
    }
    const from = { ...client, isMultiplexed: true, release: onLogin, close }
    createYamux(connection, { role: 'server', onStream: (stream) => serve(stream, from), ping: RELAY_MUX_PING })
  }

  /** Reads the first message of a stream, which says what it is for. */
  function serve(stream: Duplex, from: Connection): void {
    const timer = setTimeout(() => channel.close(), FRP_FIRST_MESSAGE_TIMEOUT_MS)
    let login: RelayLogin | undefined
    const channel = createFrpChannel(stream, {
      onMessage(message) {
        clearTimeout(timer)
        if (login) login.receive(message)
        else if (message.kind === 'Login') login = logIn(message.body, from, channel)
        else if (message.kind === 'NewWorkConn') addWork(message.body.run_id, from, channel)
        else channel.close()
      },
      onEnd(why) {
        clearTimeout(timer)
        login?.end(why)
      },
    })
  }

  function addWork(runId: string, from: Connection, channel: FrpChannel): void {
    const login = logins.get(keyOf(from, runId))
    if (login) {
      if (!from.isMultiplexed) from.release()
      return void login.work.add(channel.detach())
    }
    channel.send({ kind: 'StartWorkConn', body: { error: 'no client control info found' } })
    channel.close()
  }

  /** Starts the login of a client. Returns undefined if it is refused. */
  function logIn(body: LoginBody, from: Connection, channel: FrpChannel): RelayLogin | undefined {
    const { caller, address, isMultiplexed, release, close } = from
    const proof = check(body)
    const refusal = 'refusal' in proof ? proof.refusal : authorize(from, proof.token !== '')
    if (refusal || 'refusal' in proof) return refuse(from, channel, refusal ?? 'refused')
    const runId = body.run_id || randomBytes(8).toString('hex')
    const key = keyOf(from, runId)
    logins.get(key)?.end('the client logged in again')
    const giveBack = quota.takeLogin(holderOf(from))
    if (!giveBack) return refuse(from, channel, 'too many logins')
    release()
    channel.send({ kind: 'LoginResp', body: { version: FRP_VERSION, run_id: runId } })
    const secret = frpKey(proof.token)
    channel.encrypt(secret)
    serial += 1
    const login = createLogin({
      ...{ id: `login ${serial}`, runId, caller, address, holder: holderOf(from), quota, channel, key: secret },
      poolCount: Math.min(body.pool_count, FRP_POOL_MAX),
      ...(domains && { domains }),
      ...(host !== undefined && { host }),
      ...(!isMultiplexed && { silenceMs: caller === 'anonymous' ? FRP_SILENCE_TIMEOUT_MS : RELAY_SILENCE_TIMEOUT_MS }),
      release: giveBack,
      onEnd() {
        if (logins.get(key) === login) logins.delete(key)
        close()
      },
    })
    logins.set(key, login)
    onLogin(login)
    return login
  }

  function refuse(from: RelayClient, channel: FrpChannel, error: string): undefined {
    channel.send({ kind: 'LoginResp', body: { version: FRP_VERSION, error } })
    channel.close()
    onRefused(from, error)
  }

  return {
    accept,
    logins,
    close() {
      isClosed = true
      for (const login of [...logins.values()]) login.end('the relay stops')
      for (const connection of connections) connection.destroy()
    },
  }
}

/** Whom the quota counts: a node by its id, or everybody without a key at one address. */
export function holderOf({ caller, address }: RelayClient): string {
  return caller === 'anonymous' ? prefix64Of(address) : caller
}

function keyOf(client: RelayClient, runId: string): string {
  return `${holderOf(client)} ${runId}`
}

/** Runs the machine of a login that belongs to no concern. */
function runAlone(login: RelayLogin): void {
  const { id, runId, poolCount } = login
  createActor(
    loginLogic(() => login),
    { input: { loginId: id, runId, poolCount } },
  ).start()
}
