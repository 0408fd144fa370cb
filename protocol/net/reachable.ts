import ipaddr from 'ipaddr.js'
import { canonicalHost } from './address.ts'
import { parseIp } from './ranges.ts'

/**
 * Which addresses named by anonymous callers may be dialled. Pure: the name has been looked up before. The list is ours,
 * because a range that is special for IANA is not always one that must not be dialled, and because of the addresses at
 * which clouds serve a machine's own credentials. The first range that matches gives the reason.
 */
const refusedRanges: readonly (readonly [why: string, ranges: readonly string[]])[] = [
  ['a metadata address', ['169.254.169.254/32', '100.100.100.200/32', '168.63.129.16/32', 'fd00:ec2::254/128']],
  // https://www.iana.org/assignments/iana-ipv4-special-registry and https://www.iana.org/assignments/iana-ipv6-special-registry.
  ['a protocol address', ['192.0.0.0/24']],
  ['an address of no machine', ['0.0.0.0/8', '::/128']],
  ['a loopback address', ['127.0.0.0/8', '::1/128']],
  ['a link-local address', ['169.254.0.0/16', 'fe80::/10', 'fec0::/10']],
  ['a relay address', ['192.88.99.0/24']],
  ['a multicast address', ['224.0.0.0/4', 'ff00::/8']],
  ['a reserved address', ['240.0.0.0/4']],
  // Every form that hides an IPv4 address in an IPv6 address.
  [
    'an IPv4 address in disguise',
    ['::/96', '::ffff:0:0:0/96', '64:ff9b::/96', '64:ff9b:1::/48', '2001::/32', '2002::/16'],
  ],
  ['a discard address', ['100::/64']],
]

const ranges = Object.fromEntries(refusedRanges.map(([why, list]) => [why, list.map((cidr) => ipaddr.parseCIDR(cidr))]))

const ALLOWED = 'allowed'

/** Services that an anonymous caller could have us poke: below 1024 only the web's ports, above it the well-known unguarded. */
const guardedPorts = new Set([2_375, 2_376, 2_379, 3_306, 5_432, 5_984, 6_379, 9_200, 10_250, 11_211, 27_017])

/** Why an ip and port may not be dialled on an anonymous caller's word; undefined where it may. `test` permits loopback. */
export function refusal(host: string, port: number, { test = false }: { test?: boolean } = {}): string | undefined {
  const ip = parseIp(canonicalHost(host))
  if (!ip) return 'not an ip address'
  if (guardedPorts.has(port) || (port < 1_024 && port !== 80 && port !== 443)) return 'a port of another service'
  const why = host.includes('%') ? 'a link-local address' : ipaddr.subnetMatch(ip, ranges, ALLOWED)
  return why === ALLOWED || (test && why === 'a loopback address') ? undefined : why
}
