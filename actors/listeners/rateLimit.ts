import { ANONYMOUS_COUNTED_MAX } from '../../protocol/defaults/listeners.ts'
import { isLoopback } from '../../protocol/net/address.ts'
import { prefix64Of } from '../../protocol/net/subnet.ts'

export interface Rate {
  max: number
  windowMs: number
}

/**
 * Creates a fixed-window rate limit per address; the returned function says whether one more request is allowed. IPv6
 * addresses are counted by their first 64 bits, because one subscriber has at least such a prefix. Loopback addresses
 * are not limited: local programs have easier ways to overload the machine, and those of the owner send many requests.
 */
export function createRateLimit({ max, windowMs }: Rate): (address: string, now: number) => boolean {
  const counts = new Map<string, number>()
  let since = Number.NEGATIVE_INFINITY
  return (address, now) => {
    if (isLoopback(address)) return true
    if (now - since >= windowMs || counts.size >= ANONYMOUS_COUNTED_MAX) {
      counts.clear()
      since = now
    }
    const prefix = prefix64Of(address)
    const made = (counts.get(prefix) ?? 0) + 1
    counts.set(prefix, made)
    return made <= max
  }
}
