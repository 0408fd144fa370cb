import ipaddr from 'ipaddr.js'
import { isIPv4, isIPv6 } from './address.ts'

/** The address of an IP as text, IPv4 in IPv6 as IPv4 and without its zone; undefined for everything else. */
export function parseIp(host: string): ipaddr.IPv4 | ipaddr.IPv6 | undefined {
  return isIPv4(host) || isIPv6(host) ? ipaddr.process(host.replace(/%.*$/, '')) : undefined
}

/**
 * The IANA special-purpose range in which an IP lies, in the words of ipaddr.js; `unicast` for none, undefined for what is
 * no IP. Documentation ranges such as 192.0.2.0/24 are `reserved`, which is not private.
 */
export function rangeOf(host: string): ReturnType<(ipaddr.IPv4 | ipaddr.IPv6)['range']> | undefined {
  return parseIp(host)?.range()
}

/** Of one network or one machine, so that it names different machines in different places. */
export function isPrivate(host: string): boolean {
  const range = rangeOf(host)
  return range === 'private' || range === 'uniqueLocal' || range === 'linkLocal' || range === 'loopback'
}
