import { PORT } from '../defaults/node.ts'
import { AppError } from '../errors.ts'

/** A TCP address. `host` is a name, an IPv4 address, or an IPv6 address without brackets. */
export interface Address {
  host: string
  port: number
}

const label = /^(?!-)[a-z0-9_-]{1,63}(?<!-)$/i
const ipv4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/

/**
 * Parses `name`, `ip`, `ip:port`, `name:port`, `v6`, `[v6]` or `[v6]:port`; the default port is `PORT`. Throws
 * `bad_address`, also for old spellings of IPv4 such as `127.1` or `0x7f.1`, because they would bypass checks.
 */
export function parseAddress(where: string): Address {
  const bracketed = /^\[([^\]]*)\](?::(\d{1,5}))?$/.exec(where)
  if (bracketed && isIPv6(bracketed[1] ?? '')) return checked(where, bracketed[1] ?? '', bracketed[2])
  if (isIPv6(where)) return checked(where, where, undefined)
  const plain = /^([^:]*)(?::(\d{1,5}))?$/.exec(where)
  const host = plain?.[1] ?? ''
  if (!isIPv4(host) && !isName(host)) throw bad(where)
  return checked(where, host, plain?.[2])
}

/** Returns the text that `parseAddress` parses: `host:port`, with brackets around an IPv6 address. */
export function formatAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

export function isIPv4(host: string): boolean {
  return ipv4.test(host)
}

/** Whether `host` is an IPv6 address, with or without a zone, as in `fe80::1%eth0`. */
export function isIPv6(host: string): boolean {
  const [address = '', zone, ...rest] = host.split('%')
  if (rest.length > 0 || (zone !== undefined && !/^[\w.-]{1,32}$/.test(zone))) return false
  return /^[0-9a-f:.]{2,45}$/i.test(address) && address.includes(':') && URL.canParse(`http://[${address}]/`)
}

/**
 * Returns the canonical form of a host: compressed IPv6, IPv4 instead of IPv4-mapped IPv6, and everything in lower
 * case.
 */
export function canonicalHost(host: string): string {
  const lower = host.toLowerCase().replace(/^\[(.*)\]$/, '$1')
  if (!isIPv6(lower) || lower.includes('%')) return lower
  const compressed = new URL(`http://[${lower}]/`).hostname.slice(1, -1)
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(compressed)
  if (!mapped) return compressed
  const bits = [mapped[1], mapped[2]].map((part) => Number.parseInt(part ?? '0', 16))
  return bits.flatMap((part) => [part >> 8, part & 255]).join('.')
}

/** Whether `host` is a loopback address, in any form that a socket reports. */
export function isLoopback(host: string): boolean {
  return host === '::1' || /^(::ffff:)?127\./.test(host)
}

function isName(host: string): boolean {
  if (host.length > 253) return false
  const labels = host.replace(/\.$/, '').split('.')
  return labels.every((part) => label.test(part)) && !/^(\d+|0x[0-9a-f]*)$/i.test(labels.at(-1) ?? '')
}

function checked(where: string, host: string, port: string | undefined): Address {
  const number = port === undefined ? PORT : Number(port)
  if (number < 1 || number > 65_535) throw bad(where)
  return { host: host.toLowerCase(), port: number }
}

function bad(where: string): AppError {
  return new AppError('bad_address', { where: where.replace(/[^\x20-\x7e]/g, '?').slice(0, 128) })
}
