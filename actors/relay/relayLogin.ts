import { fromCallback } from 'xstate'
import {
  type ClientCommand,
  type ClientEmits,
  loginMachine,
  type PortsCommand,
  type PortsEmits,
} from '../../machines/relay/login.ts'
import type { Caller } from '../../protocol/ids.ts'
import type { FrpMessage } from '../../protocol/wire/frp/message.ts'
import type { FrpChannel } from '../frp/frpChannel.ts'
import { type LentDomains, lentPorts, type PortMeter } from './lentPorts.ts'
import type { RelayQuota, Release } from './quota.ts'
import { createWorkPool, type WorkPool } from './workPool.ts'

/** Who is at the other end of a connection, as the listener has identified them. */
export interface RelayClient {
  caller: Caller
  address: string
}

/** What the function of an actor without a chart is given. It returns what stops the actor. */
export interface ActorEnds<Command, Emits> {
  sendBack(event: Emits): void
  receive(listener: (command: Command) => void): void
}

/** A client after its login. A `loginMachine` with its actors decides what it gets. */
export interface RelayLogin extends RelayClient {
  id: string
  runId: string
  /** Work connections that are requested in advance. */
  poolCount: number
  /** The control connection, as an actor. */
  control(ends: ActorEnds<ClientCommand, ClientEmits>): () => void
  /** The ports, as an actor. */
  ports(ends: ActorEnds<PortsCommand, PortsEmits>): () => void
  work: WorkPool
  /** What each port carries, by its name. */
  meters: ReadonlyMap<string, PortMeter>
  receive(message: FrpMessage): void
  /** Ends the control connection and frees everything. May be called more than once. */
  end(why: string): void
}

export interface LoginParts extends RelayClient {
  id: string
  runId: string
  poolCount: number
  /** Whom the quota counts. */
  holder: string
  quota: RelayQuota
  domains?: LentDomains
  host?: string
  key: Uint8Array
  channel: FrpChannel
  /** How long the client may be silent; it has no limit of its own if absent. */
  silenceMs?: number
  release: Release
  /** Called once, when the login has ended. */
  onEnd(): void
}

export function createLogin(parts: LoginParts): RelayLogin {
  const { id, runId, poolCount, caller, address, holder, quota, domains, host, key, channel, silenceMs } = parts
  const { release, onEnd } = parts
  const ended = new AbortController()
  const meters = new Map<string, PortMeter>()
  const work = createWorkPool(() => channel.send({ kind: 'ReqWorkConn', body: {} }))
  /** Events before the actor of the control connection has started. */
  const early: ClientEmits[] = []
  let deliver = (event: ClientEmits): unknown => early.push(event)
  const timer = silenceMs === undefined ? undefined : setTimeout(() => end('the client is silent'), silenceMs)

  function end(why: string): void {
    if (ended.signal.aborted) return
    ended.abort()
    clearTimeout(timer)
    channel.close()
    work.close()
    release()
    onEnd()
    deliver({ type: 'client.ended', why })
  }

  function control({ sendBack, receive }: ActorEnds<ClientCommand, ClientEmits>): () => void {
    deliver = sendBack
    for (const event of early.splice(0)) sendBack(event)
    receive(({ message }) => channel.send(message))
    return () => end('the login has ended')
  }

  const options = {
    work,
    key,
    client: holder,
    quota,
    signal: ended.signal,
    meters,
    ...(domains && { domains }),
    ...(host !== undefined && { host }),
  }
  return {
    ...{ id, runId, poolCount, caller, address, work, meters, control, end },
    ports: lentPorts(options),
    receive(message) {
      timer?.refresh()
      deliver({ type: 'client.received', message })
    },
  }
}

/** The machine of logins with its actors. `find` returns the login with an id, undefined if it has ended. */
export function loginLogic(find: (loginId: string) => RelayLogin | undefined) {
  return loginMachine.provide({
    actors: {
      client: fromCallback<ClientCommand, { loginId: string }, ClientEmits>(({ input: { loginId }, ...ends }) => {
        const login = find(loginId)
        if (login) return login.control(ends)
        ends.sendBack({ type: 'client.ended', why: 'the login has ended' })
      }),
      ports: fromCallback<PortsCommand, { loginId: string }, PortsEmits>(({ input: { loginId }, ...ends }) =>
        find(loginId)?.ports(ends),
      ),
    },
  })
}
