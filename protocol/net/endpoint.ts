import { canonicalHost, formatAddress, isIPv4, isIPv6, parseAddress } from './address.ts'

/**
 * A TCP address that can be dialled directly. `host` is a name, an IPv4 address, or an IPv6 address without brackets.
 */
export interface DirectEndpoint {
  kind: 'direct'
  host: string
  port: number
}

/**
 * One way to reach a peer. Later kinds (mapped by a router, relayed, hole-punched, over an existing link) will be
 * members of this union. A node skips endpoints of an unknown kind, so that older nodes can still use the others.
 */
export type Endpoint = DirectEndpoint

/** Maximum length of the text of an endpoint in a record or a file. */
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

/**
 * Returns the text of an endpoint for records, files and messages. Two endpoints are equal if and only if their texts
 * are.
 */
export function formatEndpoint(endpoint: Endpoint): string {
  return formatAddress(endpoint)
}

/**
 * Parses the text of an endpoint. Returns undefined for a kind that this version does not know. Throws `bad_address`.
 */
export function parseEndpoint(text: string): Endpoint | undefined {
  return isOtherKind(text) ? undefined : directEndpoint(parseAddress(text))
}

/** Parses a list of texts, and skips those that are invalid or of an unknown kind. */
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

/** Whether the host is an IP address, rather than a name that must be resolved first. */
export function isNumeric({ host }: Endpoint): boolean {
  return isIPv4(host) || isIPv6(host)
}
