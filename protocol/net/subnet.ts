import { isIPv4, parseAddress } from './address.ts'

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
  if (!address) return { name: '-', private: true }
  let host: string
  try {
    host = parseAddress(address).host
  } catch {
    return { name: '-', private: true }
  }
  if (host.startsWith('::ffff:') && isIPv4(host.slice(7))) host = host.slice(7)
  if (isIPv4(host)) {
    if (/^127\./.test(host)) return { name: address, private: true }
    if (/^(10|192\.168|172\.(1[6-9]|2\d|3[01])|169\.254)\./.test(host)) return { name: host, private: true }
    return { name: host.slice(0, host.lastIndexOf('.')), private: false }
  }
  if (host === '::1') return { name: address, private: true }
  if (/^f[cd]|^fe[89ab]/.test(host)) return { name: host, private: true }
  return { name: firstBits(host), private: false }
}

/** The first 56 bits as 14 hex digits. */
function firstBits(host: string): string {
  const [head = '', tail = ''] = host.split('::')
  const groups = head === '' ? [] : head.split(':')
  const behind = tail === '' ? [] : tail.split(':')
  const gap = host.includes('::')
    ? Array.from({ length: Math.max(0, 8 - groups.length - behind.length) }, () => '0')
    : []
  return [...groups, ...gap, ...behind]
    .map((group) => group.padStart(4, '0'))
    .join('')
    .slice(0, 14)
}
