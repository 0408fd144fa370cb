import { lookup } from 'node:dns/promises'
import PQueue from 'p-queue'
import { PROBE } from '../../protocol/defaults/ipTable.ts'
import { AppError } from '../../protocol/errors.ts'
import type { PeerAt } from '../../protocol/ipTable.ts'
import { canonicalHost, formatAddress, isIPv4, isIPv6 } from '../../protocol/net/address.ts'
import { refusal } from '../../protocol/net/reachable.ts'

export interface DialGuard {
  /**
   * Waits for its turn and gives the one ip and port to connect to: the name is looked up once, and what was judged is
   * what is dialled. `trusted` is an address that the owner named or that answered before: no range, no turn.
   * `urgent` goes before the rest: somebody's life depends on the answer.
   * Rejects with `not_dialled`, `not_found`, `abandoned`, and `dialled_lately` where it was dialled within 30 s.
   */
  authorize(at: PeerAt, options?: { trusted?: boolean; urgent?: boolean; signal?: AbortSignal }): Promise<PeerAt>
  /** A node proved its key at this ip and port: it may be dialled as often as need be, in the ranges that are allowed. */
  markProved(at: PeerAt): void
  isSelf(at: PeerAt): boolean
}

/** Addresses of which is remembered that they answered. */
const PROVED_MAX = 4_096

export interface DialGuardOptions {
  /** P2PRC's `Test`: anonymous callers may name loopback addresses. */
  test: boolean
  /** Whether an address is this node's own: such a one is never dialled, trusted or not. */
  isSelf: (at: PeerAt) => boolean
  /** All addresses of a name; tests put their own here. */
  resolve?: (name: string) => Promise<string[]>
  /** Milliseconds that never go back. */
  now?: () => number
}

/** The one gate for dials that anonymous callers cause: nobody may use this node to flood, scan or reach inside. */
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
      if (time - last < PROBE.everyMs) break
      dialled.delete(key)
    }
    if (dialled.has(where)) throw new AppError('dialled_lately', { where })
    dialled.set(where, time)
  }

  return {
    isSelf,
    async authorize(at, { trusted = false, urgent = false, signal } = {}) {
      const where = formatAddress(at)
      if (isSelf(at)) throw new AppError('not_dialled', { where, why: 'this node itself' })
      if (trusted) return at
      const [host] = isIPv4(at.host) || isIPv6(at.host) ? [at.host] : await resolve(at.host).catch(() => [])
      if (!host) throw new AppError('not_found', { kind: 'host', id: at.host })
      const found = { host: canonicalHost(host), port: at.port }
      const why = isSelf(found) ? 'this node itself' : refusal(found.host, found.port, { test })
      if (why) throw new AppError('not_dialled', { where, why })
      const key = formatAddress(found)
      if (proved.has(key)) return found
      claimAddress(key)
      await queue
        .add(() => {}, { priority: urgent ? 1 : 0, ...(signal && { signal }) })
        .catch(() => {
          throw new AppError('abandoned')
        })
      // Its turn may have come late.
      dialled.delete(key)
      dialled.set(key, now())
      return found
    },
    markProved({ host, port }) {
      const key = formatAddress({ host: canonicalHost(host), port })
      proved.delete(key)
      proved.add(key)
      const [oldest] = proved
      if (proved.size > PROVED_MAX && oldest) proved.delete(oldest)
    },
  }
}

/** All addresses of a name, IPv6 first. Rejects as the resolver. */
export async function addressesOf(name: string): Promise<string[]> {
  const found = await lookup(name, { all: true, verbatim: false })
  return found.sort((one, other) => other.family - one.family).map(({ address }) => address)
}
