import ipaddr from 'ipaddr.js'
import { isIPv4, isIPv6 } from './address.ts'

/** Parses an IP address and ignores its zone. IPv4-mapped IPv6 becomes IPv4. Returns undefined for any other text. */
export function parseIp(host: string): ipaddr.IPv4 | ipaddr.IPv6 | undefined {
  return isIPv4(host) || isIPv6(host) ? ipaddr.process(host.replace(/%.*$/, '')) : undefined
}

/**
 * Returns the IANA special-purpose range of an IP address, with the names of ipaddr.js: `unicast` if it is in none.
 * Returns undefined for any other text. Documentation ranges such as 192.0.2.0/24 are `reserved`, which is not private.
 */
export function rangeOf(host: string): ReturnType<(ipaddr.IPv4 | ipaddr.IPv6)['range']> | undefined {
  return parseIp(host)?.range()
}

/**
 * Whether a host is in a range of one network or machine, or in the one that providers share among customers (RFC
 * 6598), so that nobody outside reaches it.
 */
export function isShared(host: string): boolean {
  return isPrivate(host) || rangeOf(host) === 'carrierGradeNat'
}

/** Whether an address is valid only within one network or machine, and means different machines elsewhere. */
export function isPrivate(host: string): boolean {
  const range = rangeOf(host)
  return range === 'private' || range === 'uniqueLocal' || range === 'linkLocal' || range === 'loopback'
}
