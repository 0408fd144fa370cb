import { BlockList } from 'node:net'
import { isIPv4, isIPv6 } from './address.ts'

/**
 * Which addresses named by anonymous callers may be dialled. Pure: the name has been looked up before. `net.BlockList` rather
 * than a package, since the packages for this have failed more than once (CVE-2023-42282, CVE-2024-29415).
 */

type Range = readonly [address: string, prefix: number, why: string]

/** https://www.iana.org/assignments/iana-ipv4-special-registry, and where clouds serve a machine's own credentials. */
const ranges4: readonly Range[] = [
  ['169.254.169.254', 32, 'a metadata address'],
  ['100.100.100.200', 32, 'a metadata address'],
  ['168.63.129.16', 32, 'a metadata address'],
  ['192.0.0.0', 24, 'a protocol address'],
  ['0.0.0.0', 8, 'an address of no machine'],
  ['127.0.0.0', 8, 'a loopback address'],
  ['169.254.0.0', 16, 'a link-local address'],
  ['192.88.99.0', 24, 'a relay address'],
  ['224.0.0.0', 4, 'a multicast address'],
  ['240.0.0.0', 4, 'a reserved address'],
]

/** https://www.iana.org/assignments/iana-ipv6-special-registry; every form that hides an IPv4 address is refused. */
const ranges6: readonly Range[] = [
  ['fd00:ec2::254', 128, 'a metadata address'],
  ['::', 128, 'an address of no machine'],
  ['::1', 128, 'a loopback address'],
  ['::', 96, 'an IPv4 address in disguise'],
  ['::ffff:0:0:0', 96, 'an IPv4 address in disguise'],
  ['64:ff9b::', 96, 'an IPv4 address in disguise'],
  ['64:ff9b:1::', 48, 'an IPv4 address in disguise'],
  ['2001::', 32, 'an IPv4 address in disguise'],
  ['2002::', 16, 'an IPv4 address in disguise'],
  ['100::', 64, 'a discard address'],
  ['fe80::', 10, 'a link-local address'],
  ['fec0::', 10, 'a link-local address'],
  ['ff00::', 8, 'a multicast address'],
]

const blocks = [...ranges4.map((range) => block(range, 'ipv4')), ...ranges6.map((range) => block(range, 'ipv6'))]

/** Services that an anonymous caller could have us poke: below 1024 only the web's ports, above it the well-known unguarded. */
const guardedPorts = new Set([2_375, 2_376, 2_379, 3_306, 5_432, 5_984, 6_379, 9_200, 10_250, 11_211, 27_017])

/** Why an ip and port may not be dialled on an anonymous caller's word; undefined where it may. `test` permits loopback. */
export function refusal(host: string, port: number, { test = false }: { test?: boolean } = {}): string | undefined {
  const ip = canonicalHost(host)
  const family = isIPv4(ip) ? 'ipv4' : isIPv6(ip) ? 'ipv6' : undefined
  if (!family) return 'not an ip address'
  if (guardedPorts.has(port) || (port < 1_024 && port !== 80 && port !== 443)) return 'a port of another service'
  const why = ip.includes('%')
    ? 'a link-local address'
    : blocks.find((each) => each.family === family && each.list.check(ip, family))?.why
  return test && why === 'a loopback address' ? undefined : why
}

/** One spelling for one address: IPv6 compressed and in lower case, IPv4 in IPv6 as IPv4. Names only in lower case. */
export function canonicalHost(host: string): string {
  const lower = host.toLowerCase().replace(/^\[(.*)\]$/, '$1')
  if (!isIPv6(lower) || lower.includes('%')) return lower
  const compressed = new URL(`http://[${lower}]/`).hostname.slice(1, -1)
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(compressed)
  if (!mapped) return compressed
  const bits = [mapped[1], mapped[2]].map((part) => Number.parseInt(part ?? '0', 16))
  return bits.flatMap((part) => [part >> 8, part & 255]).join('.')
}

function block([address, prefix, why]: Range, family: 'ipv4' | 'ipv6') {
  const list = new BlockList()
  list.addSubnet(address, prefix, family)
  return { family, list, why }
}
