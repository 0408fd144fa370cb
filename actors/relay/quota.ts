import { randomInt } from 'node:crypto'
import { PACED_CLIENTS_MAX, RELAY_BURST_MS, UNPRIVILEGED_PORT_MIN } from '../../protocol/defaults/relay.ts'

export interface RelayLimits {
  ports: { from: number; to: number }
  portsPerClient: number
  connectionsPerClient: number
  loginsPerClient: number
  logins: number
  pairsPerClient: number
  pairs: number
  /** What the users of one client may transfer in a second, in both directions. */
  bytesPerSecond: number
}

/** Gives back what was taken. May be called more than once. */
export type Release = () => void

/** A port that is reserved for a client until it is released. */
export interface ReservedPort {
  port: number
  release: Release
}

/** The one place that says how much a relay lends to whom. `client` is the node id, or the address of a client without a key. */
export interface RelayQuota {
  /** Reserves a port, a random one for 0. Throws an error in the words of stock frp, for which its clients look. */
  takePort(client: string, protocol: 'tcp' | 'udp', requested: number): ReservedPort
  /** Whether the client has this port. */
  holds(client: string, protocol: 'tcp' | 'udp', port: number): boolean
  /** Counts the connection of a user. Returns undefined if the client has too many. */
  takeConnection(client: string): Release | undefined
  /** Counts bytes of a client's users. Returns for how many milliseconds no more of them should pass. */
  takeBytes(client: string, bytes: number): number
  /** Counts a login. Returns undefined if there are too many. */
  takeLogin(client: string): Release | undefined
  /** Counts a client's half of a pair of streams that are relayed blindly. Returns undefined if there are too many. */
  takePair(client: string): Release | undefined
}

/** `isReserved` says which ports are never lent: the node's own. */
export function createRelayQuota(limits: RelayLimits, isReserved: (port: number) => boolean): RelayQuota {
  const from = Math.max(limits.ports.from, UNPRIVILEGED_PORT_MIN)
  const to = Math.min(limits.ports.to, 65_535)
  /** Who has a port, by its protocol and number. */
  const lent = new Map<string, string>()
  const portCounts = createCounts()
  const connectionCounts = createCounts()
  const logins = createCounts()
  const pairs = createCounts()

  /** Returns a random port that is free, searching upwards from it where most are lent. */
  function randomPort(protocol: string): number {
    const size = to - from + 1
    const start = size > 0 ? randomInt(size) : 0
    for (let step = 0; step < size; step++) {
      const port = from + ((start + step) % size)
      if (!isReserved(port) && !lent.has(`${protocol} ${port}`)) return port
    }
    throw new Error('no available port')
  }

  const pace = createPace(limits.bytesPerSecond)

  return {
    takePort(client, protocol, requested) {
      if (portCounts.get(client) >= limits.portsPerClient) throw new Error('exceed the max_ports_per_client')
      const isAllowed = requested === 0 || (requested >= from && requested <= to && !isReserved(requested))
      if (!isAllowed) throw new Error('port not allowed')
      const port = requested === 0 ? randomPort(protocol) : requested
      const key = `${protocol} ${port}`
      if (lent.has(key)) throw new Error('port already used')
      lent.set(key, client)
      const uncount = portCounts.add(client)
      return {
        port,
        release: () => {
          if (uncount()) lent.delete(key)
        },
      }
    },
    holds: (client, protocol, port) => lent.get(`${protocol} ${port}`) === client,
    takeConnection: (client) =>
      connectionCounts.get(client) < limits.connectionsPerClient ? connectionCounts.add(client) : undefined,
    takeBytes: pace,
    takeLogin: (client) =>
      logins.total() < limits.logins && logins.get(client) < limits.loginsPerClient ? logins.add(client) : undefined,
    takePair: (client) =>
      pairs.total() < 2 * limits.pairs && pairs.get(client) < limits.pairsPerClient ? pairs.add(client) : undefined,
  }
}

/** Counts for each client, which forget a client that has nothing. */
function createCounts() {
  const counts = new Map<string, number>()
  const get = (client: string) => counts.get(client) ?? 0
  let total = 0
  return {
    get,
    total: () => total,
    /** Returns what takes one off again; it returns whether it has, which it does once. */
    add(client: string): () => boolean {
      counts.set(client, get(client) + 1)
      total += 1
      let isCounted = true
      return () => {
        if (!isCounted) return false
        isCounted = false
        total -= 1
        const left = get(client) - 1
        if (left > 0) counts.set(client, left)
        else counts.delete(client)
        return true
      }
    },
  }
}

/** A token bucket for each client that holds the bytes of one burst. */
function createPace(bytesPerSecond: number) {
  /** When all that has passed would have passed at the rate. */
  const paidUntil = new Map<string, number>()
  return (client: string, bytes: number): number => {
    const now = performance.now()
    if (paidUntil.size >= PACED_CLIENTS_MAX) for (const [one, at] of paidUntil) if (at < now) paidUntil.delete(one)
    const at = Math.max(now, paidUntil.get(client) ?? 0) + (bytes / bytesPerSecond) * 1_000
    paidUntil.set(client, at)
    return Math.max(0, at - now - RELAY_BURST_MS)
  }
}
