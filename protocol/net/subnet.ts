import { parseAddress } from './address.ts'
import { isPrivate, parseIp, rangeOf } from './ranges.ts'

/**
 * Limits what one owner may hold. Keys cost nothing, addresses do: all ids in one subnet count as possibly one owner,
 * so that many invented nodes can neither fill the table nor surround a node (GossipSub's colocation, S. 48).
 */
export interface Subnet {
  /** Two addresses with the same name are in the same subnet. */
  name: string
  /** In a private range or without an address: machines of one network, of which there may rightly be many. */
  private: boolean
}

/** The subnet of `ip:port` or `[v6]:port`: /24 of IPv4, /56 of IPv6, each machine where the range is private. */
export function subnetOf(address: string | undefined): Subnet {
  const host = address && hostOf(address)
  if (!host) return { name: '-', private: true }
  const ip = parseIp(host)
  if (!ip) return { name: host, private: false }
  // Nodes of one machine differ in their ports alone.
  if (rangeOf(host) === 'loopback') return { name: address, private: true }
  if (isPrivate(host)) return { name: ip.kind() === 'ipv4' ? ip.toString() : host, private: true }
  const bytes = ip.toByteArray()
  const name =
    ip.kind() === 'ipv4'
      ? bytes.slice(0, 3).join('.')
      : bytes
          .slice(0, 7)
          .map((byte) => byte.toString(16).padStart(2, '0'))
          .join('')
  return { name, private: false }
}

function hostOf(address: string): string | undefined {
  try {
    return parseAddress(address).host
  } catch {
    return undefined
  }
}
