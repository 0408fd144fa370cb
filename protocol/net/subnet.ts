import { parseEndpoint } from './endpoint.ts'
import { isPrivate, parseIp, rangeOf } from './ranges.ts'

/**
 * The unit of quotas against Sybil attacks. Keys cost nothing, but addresses do, so all node ids in one subnet may have
 * the same owner. A quota per subnet prevents invented nodes from filling the table or eclipsing a node (GossipSub's IP
 * colocation factor, S. 48).
 */
export interface Subnet {
  /** Two addresses are in the same subnet if and only if their names are equal. */
  name: string
  /** Whether the address is private or missing. Such machines share a network, where many nodes are legitimate. */
  private: boolean
}

/**
 * Returns the subnet of the text of an endpoint: /24 of IPv4, /56 of IPv6, or the single machine in a private range.
 */
export function subnetOf(address: string | undefined): Subnet {
  const host = address && hostOf(address)
  if (!host) return { name: '-', private: true }
  const ip = parseIp(host)
  if (!ip) return { name: host, private: false }
  // The nodes of one machine differ only in their ports.
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
    return parseEndpoint(address)?.host
  } catch {
    return undefined
  }
}

/** Returns the first 64 bits of an IPv6 address, which one subscriber has at least, or the whole IPv4 address. */
export function prefix64Of(address: string): string {
  if (!address.includes(':') || address.startsWith('::ffff:')) return address
  const [head = '', tail] = address.split('::')
  const groups = head.split(':')
  if (tail === undefined) return groups.slice(0, 4).join(':')
  const behind = tail === '' ? [] : tail.split(':')
  const zeros = Array.from({ length: Math.max(0, 8 - groups.length - behind.length) }, () => '0')
  return [...groups, ...zeros, ...behind].slice(0, 4).join(':')
}
