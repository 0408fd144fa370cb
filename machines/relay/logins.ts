import type { Caller, NodeId } from '../../protocol/ids.ts'
import type { LentPortView } from '../../protocol/relay.ts'
import type { LentPort } from './login.ts'

/** A client that has logged in, and its ports by their name. */
export interface Login {
  loginId: string
  runId: string
  /** Work connections that are requested in advance. */
  poolCount: number
  client: Caller
  /** The address from which it has logged in. */
  from: string
  ports: Readonly<Record<string, LentPort>>
}

export type Logins = Readonly<Record<string, Login>>

export interface PortOfLogin {
  loginId: string
  port: LentPort
}

interface Measure {
  requestId: string
  /** The clients whose streams are meant that go through the DHT. */
  dhtClients: readonly NodeId[]
  /** The fact that answers the request with the ports. */
  reply: 'relay.listed' | 'relay.closed'
}

/** The events of the server to the concern. */
export type RelayServerEmits =
  | { type: 'server.loggedIn'; login: Omit<Login, 'ports'> }
  /** The clients that have streams through the DHT now. */
  | { type: 'server.dhtClients'; clients: readonly NodeId[] }
  | { type: 'server.refused'; client: Caller; from: string; why: string }
  | ({ type: 'server.measured'; ports: LentPortView[] } & Measure)

export type RelayServerCommand =
  /** Requests what these ports carry. */
  | ({ type: 'measure'; ports: readonly PortOfLogin[] } & Measure)
  /** Refuses the logins of these clients, and of no others that it has refused before. */
  | { type: 'refuse'; holders: readonly string[] }
  /** Ends the streams of these clients through the DHT. */
  | { type: 'endStreams'; clients: readonly NodeId[] }

/** What the owner means: whole logins, or single ports of others. */
export interface Meant {
  logins: readonly Login[]
  ports: readonly PortOfLogin[]
  dhtClients: readonly NodeId[]
}

/** Looks up a port by its number or name, or else logins by a node id, the beginning of one, or an address. */
export function meantBy(logins: Logins, clients: readonly NodeId[], which: string): Meant | undefined {
  const all = Object.values(logins)
  const ports = allPorts(all).filter(({ port }) => String(port.port) === which || port.name === which)
  if (ports.length > 0) return { logins: [], ports, dhtClients: [] }
  const start = which.replace(/^SHA256:/, '')
  const meant = all.filter(
    ({ client, from }) =>
      (start !== '' && client.startsWith(`SHA256:${start}`)) || (client === 'anonymous' && from === which),
  )
  const dhtClients = clients.filter((client) => start !== '' && client.startsWith(`SHA256:${start}`))
  return meant.length + dhtClients.length > 0 ? { logins: meant, ports: [], dhtClients } : undefined
}

export function allPorts(logins: readonly Login[]): PortOfLogin[] {
  return logins.flatMap(({ loginId, ports }) => Object.values(ports).map((port) => ({ loginId, port })))
}

export function withPort(logins: Logins, { loginId, port }: PortOfLogin): Logins {
  const login = logins[loginId]
  return login ? { ...logins, [loginId]: { ...login, ports: { ...login.ports, [port.name]: port } } } : logins
}

export function withoutPort(logins: Logins, { loginId, port }: PortOfLogin): Logins {
  const login = logins[loginId]
  if (!login) return logins
  const { [port.name]: _, ...ports } = login.ports
  return { ...logins, [loginId]: { ...login, ports } }
}
