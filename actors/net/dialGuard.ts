import { lookup } from 'node:dns/promises'
import PQueue from 'p-queue'
import { PROBE } from '../../protocol/defaults/ipTable.ts'
import { AppError } from '../../protocol/errors.ts'
import type { NodeId } from '../../protocol/ids.ts'
import { type Endpoint, formatEndpoint, isNumeric, isPunched, placeOf } from '../../protocol/net/endpoint.ts'
import { refusal } from '../../protocol/net/reachable.ts'

export interface DialGuard {
  /**
   * Waits for the rate limit and resolves with the one numeric endpoint to connect to. The name is resolved once,
   * so that the checked address is the dialled one. `trusted` marks an endpoint that the owner named or that answered
   * before: it is exempt from ranges and rate. `urgent` dials go first, because the status of a peer depends on the
   * result. Rejects with `not_dialled`, `not_found`, `abandoned`, and with `dialled_lately` within 30 s of the
   * previous dial. `id` is the node that must answer: at a punched endpoint, each node counts by itself.
   */
  authorize(
    at: Endpoint,
    options?: { trusted?: boolean; urgent?: boolean; signal?: AbortSignal; id?: NodeId | undefined },
  ): Promise<Endpoint>
  /**
   * Records that a node proved its key at this numeric endpoint. It may then be dialled at any rate, within the
   * allowed ranges.
   */
  markProved(at: Endpoint): void
  isSelf(at: Endpoint): boolean
}

/** The number of proved addresses that are remembered. */
const PROVED_MAX = 4_096

export interface DialGuardOptions {
  /** P2PRC's `Test`: anonymous callers may name loopback addresses. */
  test: boolean
  /** Whether an endpoint is this node's own. Such an endpoint is never dialled, trusted or not. */
  isSelf: (at: Endpoint) => boolean
  /** Resolves a name to all its addresses; tests replace it. */
  resolve?: (name: string) => Promise<string[]>
  /** A monotonic clock in milliseconds. */
  now?: () => number
}

/**
 * Checks every dial that an anonymous caller causes, so that nobody can use this node to flood or scan others, or to
 * reach private networks.
 */
export function createDialGuard({
  test,
  isSelf,
  resolve = addressesOf,
  now = () => performance.now(),
}: DialGuardOptions): DialGuard {
  const queue = new PQueue({ intervalCap: PROBE.dialsPerSecond, interval: 1_000, strict: true })
  const dialled = new Map<string, number>()
  const proved = new Set<string>()

  function claimAddress(where: string): void {
    const time = now()
    for (const [key, last] of dialled) {
      if (time - last < PROBE.intervalMs) break
      dialled.delete(key)
    }
    if (dialled.has(where)) throw new AppError('dialled_lately', { where })
    dialled.set(where, time)
  }

  /** A punched endpoint is the address of a relay, also where this node is that relay. */
  const isOwn = (at: Endpoint) => !isPunched(at) && isSelf(at)

  return {
    isSelf,
    async authorize(at, { trusted = false, urgent = false, signal, id } = {}) {
      const where = formatEndpoint(at)
      if (isOwn(at)) throw new AppError('not_dialled', { where, why: 'this node itself' })
      if (trusted) return at
      const [host] = isNumeric(at) ? [at.host] : await resolve(at.host).catch(() => [])
      if (!host) throw new AppError('not_found', { kind: 'host', id: at.host })
      const found = { ...at, host }
      const why = isOwn(found) ? 'this node itself' : refusal(found.host, found.port, { test })
      if (why) throw new AppError('not_dialled', { where, why })
      if (proved.has(placeOf(found))) return found
      const key = isPunched(found) ? `${placeOf(found)} ${id}` : placeOf(found)
      claimAddress(key)
      await queue
        .add(() => {}, { priority: urgent ? 1 : 0, ...(signal && { signal }) })
        .catch(() => {
          throw new AppError('abandoned')
        })
      // The rate limit may have delayed the dial, so the time of the dial is recorded again.
      dialled.delete(key)
      dialled.set(key, now())
      return found
    },
    markProved(at) {
      const key = placeOf(at)
      proved.delete(key)
      proved.add(key)
      const [oldest] = proved
      if (proved.size > PROVED_MAX && oldest) proved.delete(oldest)
    },
  }
}

/** Resolves a name to all its addresses, IPv6 first. Rejects as the resolver does. */
export async function addressesOf(name: string): Promise<string[]> {
  const found = await lookup(name, { all: true, verbatim: false })
  return found.sort((one, other) => other.family - one.family).map(({ address }) => address)
}
