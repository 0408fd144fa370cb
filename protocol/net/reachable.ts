import ipaddr from 'ipaddr.js'
import { canonicalHost } from './address.ts'
import { parseIp } from './ranges.ts'

/**
 * The ranges that are not dialled if an anonymous caller names an address in them. IANA's registries do not suffice:
 * some of their ranges may be dialled, and they do not name the addresses at which clouds serve the credentials of a
 * machine. The first range that matches gives the reason.
 */
const refusedRanges: readonly (readonly [why: string, ranges: readonly string[]])[] = [
  ['a metadata address', ['169.254.169.254/32', '100.100.100.200/32', '168.63.129.16/32', 'fd00:ec2::254/128']],
  // https://www.iana.org/assignments/iana-ipv4-special-registry and
  // https://www.iana.org/assignments/iana-ipv6-special-registry.
  ['a protocol address', ['192.0.0.0/24']],
  ['an address of no machine', ['0.0.0.0/8', '::/128']],
  ['a loopback address', ['127.0.0.0/8', '::1/128']],
  ['a link-local address', ['169.254.0.0/16', 'fe80::/10', 'fec0::/10']],
  ['a relay address', ['192.88.99.0/24']],
  ['a multicast address', ['224.0.0.0/4', 'ff00::/8']],
  ['a reserved address', ['240.0.0.0/4']],
  // These are all forms of an IPv4 address within an IPv6 address.
  [
    'an IPv4 address in disguise',
    ['::/96', '::ffff:0:0:0/96', '64:ff9b::/96', '64:ff9b:1::/48', '2001::/32', '2002::/16'],
  ],
  ['a discard address', ['100::/64']],
]

const ranges = Object.fromEntries(refusedRanges.map(([why, list]) => [why, list.map((cidr) => ipaddr.parseCIDR(cidr))]))

const ALLOWED = 'allowed'

/**
 * Ports of well-known services without authentication, which an anonymous caller could reach through this node. Of the
 * ports below 1024, only those of the web are allowed.
 */
const guardedPorts = new Set([2_375, 2_376, 2_379, 3_306, 5_432, 5_984, 6_379, 9_200, 10_250, 11_211, 27_017])

/**
 * Returns why an IP address and port from an anonymous caller may not be dialled; undefined if they may. `test` permits
 * loopback addresses. Names must be resolved before.
 */
export function refusal(host: string, port: number, { test = false }: { test?: boolean } = {}): string | undefined {
  const ip = parseIp(canonicalHost(host))
  if (!ip) return 'not an ip address'
  if (guardedPorts.has(port) || (port < 1_024 && port !== 80 && port !== 443)) return 'a port of another service'
  const why = host.includes('%') ? 'a link-local address' : ipaddr.subnetMatch(ip, ranges, ALLOWED)
  return why === ALLOWED || (test && why === 'a loopback address') ? undefined : why
}
