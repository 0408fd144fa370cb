import { canonicalHost, formatAddress, isIPv4, isIPv6, parseAddress } from './address.ts'

/** A TCP port that can be dialled as it stands. `host` is a name, an IPv4 or an IPv6 address without brackets. */
export interface DirectEndpoint {
  kind: 'direct'
  host: string
  port: number
}

/**
 * One way to reach a peer. Later kinds (mapped by a router, relayed, punched, over an existing link) join this union;
 * a node that does not know a kind skips such endpoints, so that older nodes still use the rest.
 */
export type Endpoint = DirectEndpoint

/** Longest text of an endpoint in a record or a file. */
export const ENDPOINT_MAX_CHARS = 64

/** The text of a kind other than `direct`, such as `relayed://…`. */
const OTHER_KIND = /^[a-z][a-z0-9+.-]*:\/\//

/** Whether a text is of an endpoint whose kind this version does not know. */
export function isOtherKind(text: unknown): boolean {
  return typeof text === 'string' && OTHER_KIND.test(text)
}

export function directEndpoint({ host, port }: { host: string; port: number }): DirectEndpoint {
  return { kind: 'direct', host: canonicalHost(host), port }
}

/** The text that stands for an endpoint in records, files and messages, and equals that of the same endpoint only. */
export function formatEndpoint(endpoint: Endpoint): string {
  return formatAddress(endpoint)
}

/** Reads what `formatEndpoint` writes; undefined for a kind that this version does not know. Throws `bad_address`. */
export function parseEndpoint(text: string): Endpoint | undefined {
  return isOtherKind(text) ? undefined : directEndpoint(parseAddress(text))
}

/** The endpoints in a list of texts. Those that are damaged or of an unknown kind are skipped. */
export function parseEndpoints(texts: readonly string[]): Endpoint[] {
  return texts.flatMap((text) => {
    try {
      return parseEndpoint(text) ?? []
    } catch {
      return []
    }
  })
}

export function isSameEndpoint(one: Endpoint, other: Endpoint): boolean {
  return one.host === other.host && one.port === other.port
}

/** Whether it names an address rather than a host that must be resolved first. */
export function isNumeric({ host }: Endpoint): boolean {
  return isIPv4(host) || isIPv6(host)
}
