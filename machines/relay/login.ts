import { type AnyActorRef, assign, enqueueActions, fromCallback, sendTo, setup } from 'xstate'
import type { FrpMessage, FrpOutgoing } from '../../protocol/wire/frp/message.ts'

/** A port of this relay that a client has. `name` is empty for Go P2PRC. */
export interface LentPort {
  name: string
  protocol: 'tcp' | 'udp'
  port: number
}

/** What the control connection of the client is told. */
export type ClientCommand = { type: 'send'; message: FrpOutgoing }

/** The events of the control connection of the client. */
export type ClientEmits = { type: 'client.received'; message: FrpMessage } | { type: 'client.ended'; why: string }

/** The events of what binds the ports. */
export type PortsEmits =
  /** `domainPort` is where its domains are shown, 0 if it has none. */
  { type: 'port.bound'; port: LentPort; domainPort: number } | { type: 'port.refused'; name: string; error: string }

export type PortsCommand =
  | {
      type: 'bind'
      name: string
      protocol: 'tcp' | 'udp'
      port: number
      encrypted: boolean
      domains: readonly string[]
    }
  | { type: 'release'; name: string }

export type LoginEvent =
  | ClientEmits
  | PortsEmits
  | { type: 'login.close'; why: string }
  /** Frees one port, of which frp cannot tell the client. */
  | { type: 'login.freePort'; name: string; why: string }

/** The events of a login to its parent. */
export type LoginEmits =
  | { type: 'login.lent'; loginId: string; port: LentPort }
  | { type: 'login.freed'; loginId: string; port: LentPort; why: string }
  | { type: 'login.ended'; loginId: string; why: string }

export interface LoginInput {
  /** The id of the login in this process. */
  loginId: string
  /** Is told what is lent and freed; absent for a login that runs by itself. */
  parent?: AnyActorRef
  runId: string
  /** Work connections that are requested in advance. */
  poolCount: number
}

interface Context extends LoginInput {
  ports: Readonly<Record<string, LentPort>>
  why: string
}

/**
 * One client of this relay, after its login: lends it ports, requests work connections for their users, and frees
 * everything as soon as its control connection has ended.
 */
export const loginMachine = setup({
  types: { context: {} as Context, input: {} as LoginInput, events: {} as LoginEvent, output: {} as { why: string } },
  actors: {
    /** Owns the control connection. */
    client: fromCallback<ClientCommand, { loginId: string }, ClientEmits>(() => {}),
    /** Owns the listeners and the users' connections, and frees them when it is stopped. */
    ports: fromCallback<PortsCommand, { loginId: string }, PortsEmits>(() => {}),
  },
  guards: {
    isPing: (_, { message }: { message: FrpMessage }) => message.kind === 'Ping',
    isRequest: (_, { message }: { message: FrpMessage }) => message.kind === 'NewProxy',
    isRelease: (_, { message }: { message: FrpMessage }) => message.kind === 'CloseProxy',
  },
  actions: {
    setWhy: assign({ why: (_, { why }: { why: string }) => why }),
    fillPool: enqueueActions(({ context, enqueue }) => {
      for (let count = 0; count < context.poolCount; count++)
        enqueue.sendTo('client', toSend({ kind: 'ReqWorkConn', body: {} }))
    }),
    sendPong: sendTo('client', toSend({ kind: 'Pong', body: {} })),
    bindPort: enqueueActions(({ context, enqueue }, { message }: { message: FrpMessage }) => {
      if (message.kind !== 'NewProxy') return
      const {
        proxy_name: name,
        proxy_type,
        remote_port: port,
        use_encryption: encrypted,
        custom_domains,
      } = message.body
      const domains = custom_domains ?? []
      const error = refusalOf(context, message.body)
      if (error) enqueue.sendTo('client', toSend({ kind: 'NewProxyResp', body: { proxy_name: name, error } }))
      else {
        const protocol = proxy_type === 'udp' ? 'udp' : 'tcp'
        enqueue.sendTo('ports', { type: 'bind', name, protocol, port, encrypted, domains } satisfies PortsCommand)
      }
    }),
    releasePort: enqueueActions(({ context, enqueue }, { name, why }: { name: string; why: string }) => {
      const { [name]: released, ...ports } = context.ports
      enqueue.sendTo('ports', { type: 'release', name } satisfies PortsCommand)
      if (!released) return
      enqueue.assign({ ports })
      const { parent, loginId } = context
      if (parent) enqueue.sendTo(parent, { type: 'login.freed', loginId, port: released, why } satisfies LoginEmits)
    }),
    tellLent: enqueueActions(({ context: { parent, loginId }, enqueue }, { port }: { port: LentPort }) => {
      if (parent) enqueue.sendTo(parent, { type: 'login.lent', loginId, port } satisfies LoginEmits)
    }),
    tellEnded: enqueueActions(({ context: { parent, loginId, why }, enqueue }) => {
      if (parent) enqueue.sendTo(parent, { type: 'login.ended', loginId, why } satisfies LoginEmits)
    }),
    addPort: assign({
      ports: ({ context }, { port }: { port: LentPort }) => ({ ...context.ports, [port.name]: port }),
    }),
    sendBound: sendTo('client', (_, { port: { name, port }, domainPort }: { port: LentPort; domainPort: number }) =>
      toSend({ kind: 'NewProxyResp', body: { proxy_name: name, remote_addr: `:${port}`, domain_port: domainPort } }),
    ),
    sendRefused: sendTo('client', (_, { name, error }: { name: string; error: string }) =>
      toSend({ kind: 'NewProxyResp', body: { proxy_name: name, error } }),
    ),
  },
}).createMachine({
  id: 'login',
  options: { maxIterations: 1_000 },
  context: ({ input }) => ({ ...input, ports: {}, why: '' }),
  invoke: [
    { id: 'client', src: 'client', input: ({ context: { loginId } }) => ({ loginId }) },
    { id: 'ports', src: 'ports', input: ({ context: { loginId } }) => ({ loginId }) },
  ],
  initial: 'active',
  output: ({ context: { why } }) => ({ why }),
  states: {
    active: {
      entry: 'fillPool',
      on: {
        'client.received': [
          { guard: { type: 'isPing', params: ({ event }) => event }, actions: 'sendPong' },
          {
            guard: { type: 'isRequest', params: ({ event }) => event },
            actions: { type: 'bindPort', params: ({ event }) => event },
          },
          {
            guard: { type: 'isRelease', params: ({ event }) => event },
            actions: { type: 'releasePort', params: ({ event }) => releaseOf(event.message) },
          },
        ],
        'port.bound': {
          actions: [
            { type: 'addPort', params: ({ event }) => event },
            { type: 'sendBound', params: ({ event }) => event },
            { type: 'tellLent', params: ({ event }) => event },
          ],
        },
        'port.refused': { actions: { type: 'sendRefused', params: ({ event }) => event } },
        'client.ended': { target: 'ended', actions: { type: 'setWhy', params: ({ event }) => event } },
        'login.freePort': { actions: { type: 'releasePort', params: ({ event }) => event } },
        'login.close': { target: 'ended', actions: { type: 'setWhy', params: ({ event }) => event } },
      },
    },
    ended: { type: 'final', entry: 'tellEnded' },
  },
})

function toSend(message: FrpOutgoing): ClientCommand {
  return { type: 'send', message }
}

function releaseOf(message: FrpMessage): { name: string; why: string } {
  const name = message.kind === 'CloseProxy' ? message.body.proxy_name : ''
  return { name, why: 'the client gave it back' }
}

type NewProxyBody = Extract<FrpMessage, { kind: 'NewProxy' }>['body']

/** Why a request for a port is refused before anything is bound, in the words of stock frp where it has any. */
function refusalOf(
  { ports }: Context,
  { proxy_name: name, proxy_type: type, use_compression, custom_domains }: NewProxyBody,
): string | undefined {
  if (use_compression) return 'compression is not supported'
  if (type !== '' && type !== 'tcp' && type !== 'udp') return `unknown proxy type: ${type}`
  if (type === 'udp' && custom_domains?.length) return 'a domain leads to a tcp port alone'
  if (Object.hasOwn(ports, name)) return `proxy [${name}] already exists`
  return undefined
}
