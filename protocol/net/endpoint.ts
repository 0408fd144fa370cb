import { canonicalHost, formatAddress, isIPv4, isIPv6, parseAddress } from './address.ts'

/**
 * The kinds of endpoint, best first. `direct`: a TCP address of the peer itself. `mapped`: one of its router, which
 * passes connections on to it. `punched`: the UDP address of a relay's DHT, through which both find each other and then
 * send datagrams directly. `relayed`: a TCP address of a relay, which passes connections on.
 */
export const endpointKinds = ['direct', 'mapped', 'punched', 'relayed'] as const

export type EndpointKind = (typeof endpointKinds)[number]

/**
 * One way to reach a peer. `host` is a name, an IPv4 address, or an IPv6 address without brackets. A node skips endpoints of
 * an unknown kind, so that older nodes can still use the others.
 */
export interface Endpoint {
  kind: EndpointKind
  host: string
  port: number
}

export interface DirectEndpoint extends Endpoint {
  kind: 'direct'
}

/** Maximum length of the text of an endpoint in a record or a file. */
export const ENDPOINT_MAX_CHARS = 64

/** The text of a kind other than `direct`, such as `relayed://…`. */
const OTHER_KIND = /^([a-z][a-z0-9+.-]*):\/\//

/** Whether a text is of an endpoint whose kind this version does not know. */
export function isOtherKind(text: unknown): boolean {
  const kind = typeof text === 'string' ? OTHER_KIND.exec(text)?.[1] : undefined
  return kind !== undefined && (kind === 'direct' || !isKind(kind))
}

export function directEndpoint({ host, port }: { host: string; port: number }): DirectEndpoint {
  return { kind: 'direct', host: canonicalHost(host), port }
}

/**
 * Returns the text of an endpoint for records, files and messages: `host:port` for a direct one, else
 * `kind://host:port`. Two endpoints are equal if and only if their texts are.
 */
export function formatEndpoint(endpoint: Endpoint): string {
  const address = formatAddress(endpoint)
  return endpoint.kind === 'direct' ? address : `${endpoint.kind}://${address}`
}

/**
 * Parses the text of an endpoint. Returns undefined for a kind that this version does not know. Throws `bad_address`.
 */
export function parseEndpoint(text: string): Endpoint | undefined {
  if (isOtherKind(text)) return undefined
  const [prefix = '', kind = 'direct'] = OTHER_KIND.exec(text) ?? []
  return { ...directEndpoint(parseAddress(text.slice(prefix.length))), kind: kind as EndpointKind }
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

/**
 * Whether two endpoints are dialled at the same place, whoever opened it: a TCP address is one place as a direct, a mapped
 * or a relayed endpoint, and another one than the UDP address of a punched endpoint.
 */
export function isSameEndpoint(one: Endpoint, other: Endpoint): boolean {
  return one.host === other.host && one.port === other.port && isPunched(one) === isPunched(other)
}

/** A key for `isSameEndpoint`. */
export function placeOf(endpoint: Endpoint): string {
  return isPunched(endpoint) ? formatEndpoint(endpoint) : formatAddress(endpoint)
}

/** Whether many peers share this endpoint, so that it identifies none of them. */
export function isPunched({ kind }: Endpoint): boolean {
  return kind === 'punched'
}

/** The rank of a kind, 0 for the best. */
export function kindRank({ kind }: Endpoint): number {
  return endpointKinds.indexOf(kind)
}

/** The rungs of the ladder on which nodes reach each other, the best first. */
export const rungs = ['direct IPv6', 'direct IPv4', 'mapped', 'punched', 'relayed'] as const

export type Rung = (typeof rungs)[number]

/** Returns the rung of an endpoint. A host name, whose address families are not known, counts as IPv4. */
export function rungNameOf({ kind, host }: Endpoint): Rung {
  if (kind !== 'direct') return kind
  return isIPv6(host) ? 'direct IPv6' : 'direct IPv4'
}

/** Whether the host is an IP address, rather than a name that must be resolved first. */
export function isNumeric({ host }: Pick<Endpoint, 'host'>): boolean {
  return isIPv4(host) || isIPv6(host)
}

function isKind(kind: string): kind is EndpointKind {
  return (endpointKinds as readonly string[]).includes(kind)
}
