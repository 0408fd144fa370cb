import { DISCOVERY, UNVERIFIED_MAX } from '../../protocol/defaults/ipTable.ts'
import { type Endpoint, formatEndpoint } from '../../protocol/net/endpoint.ts'

/**
 * Returns a filter that passes each endpoint once in `refoundIntervalMs`. Every query on a LAN makes all nodes answer
 * everybody, so that most of what a node hears while others start, it has just heard.
 */
export function createFoundFilter(now: () => number = () => performance.now()): (found: Endpoint[]) => Endpoint[] {
  const passedAt = new Map<string, number>()
  return (found) =>
    found.filter((endpoint) => {
      const key = formatEndpoint(endpoint)
      const last = passedAt.get(key)
      if (last !== undefined && now() - last < DISCOVERY.refoundIntervalMs) return false
      if (passedAt.size >= UNVERIFIED_MAX.all) passedAt.clear()
      passedAt.set(key, now())
      return true
    })
}
