import { z } from 'zod'
import { UNVERIFIED_MAX } from '../defaults/ipTable.ts'
import type { NodeId } from '../ids.ts'
import { isIPv4, isIPv6 } from '../net/address.ts'
import { directEndpoint, type Endpoint } from '../net/endpoint.ts'

/** The service type by which the nodes of a LAN find each other, with DNS-based service discovery (RFC 6763) over mDNS. */
export const SERVICE = '_p2prc._tcp.local'

/** Time to live of the records. RFC 6762 recommends 120 seconds for records that contain a host name. */
const TTL_SECONDS = 120

/** A resource record in the form that the DNS library uses. */
export type AnnouncedRecord =
  | { type: 'PTR'; name: string; ttl: number; data: string }
  | { type: 'SRV'; name: string; ttl: number; data: { target: string; port: number } }
  | { type: 'TXT'; name: string; ttl: number; data: string[] }
  | { type: 'A' | 'AAAA'; name: string; ttl: number; data: string }

export interface Announcement {
  answers: AnnouncedRecord[]
  additionals: AnnouncedRecord[]
}

/** Returns the node's records for one interface. `goodbye` withdraws them. The names contain the id, so that they are unique. */
export function announcement(id: NodeId, port: number, hosts: readonly string[], goodbye = false): Announcement {
  const ttl = goodbye ? 0 : TTL_SECONDS
  const name = instanceOf(id)
  const target = `${labelOf(id)}.p2prc.local`
  const addresses = hosts
    .filter((host) => isIPv4(host) || isIPv6(host))
    .map((host) => ({ type: isIPv4(host) ? ('A' as const) : ('AAAA' as const), name: target, ttl, data: host }))
  return {
    answers: [{ type: 'PTR', name: SERVICE, ttl, data: name }],
    additionals: [
      { type: 'SRV', name, ttl, data: { target, port } },
      { type: 'TXT', name, ttl, data: [`id=${id}`] },
      ...addresses,
    ],
  }
}

/** Whether a query is for this service type. */
export function isServiceQuery(questions: unknown): boolean {
  return list(questions, question).some(
    ({ name, type }) => name.toLowerCase() === SERVICE && (type === 'PTR' || type === 'ANY'),
  )
}

/** Returns the endpoints of other nodes in a response. Any host of the LAN may have sent it, in any shape. */
export function endpointsIn(packet: { answers?: unknown; additionals?: unknown }, own: NodeId): Endpoint[] {
  const records = [...list(packet.answers, record), ...list(packet.additionals, record)]
  const found: Endpoint[] = []
  for (const { name, type, ttl, data } of records) {
    const service = type === 'SRV' ? srv.safeParse(data).data : undefined
    const lower = name.toLowerCase()
    if (!service || ttl === 0 || !lower.endsWith(`.${SERVICE}`) || lower === instanceOf(own).toLowerCase()) continue
    for (const other of records) {
      if (other.ttl === 0 || other.name.toLowerCase() !== service.target.toLowerCase()) continue
      if (other.type !== 'A' && other.type !== 'AAAA') continue
      const host = typeof other.data === 'string' ? other.data : ''
      if (isIPv4(host) || isIPv6(host)) found.push(directEndpoint({ host, port: service.port }))
      if (found.length === UNVERIFIED_MAX.perHost) return found
    }
  }
  return found
}

const question = z.object({ name: z.string(), type: z.string() })
const record = z.object({ name: z.string(), type: z.string(), ttl: z.number().catch(TTL_SECONDS), data: z.unknown() })
const srv = z.object({ target: z.string(), port: z.number().int().min(1).max(65_535) })

/** Returns the valid entries of a list, of which it reads at most as many as a legitimate packet has. */
function list<T>(values: unknown, shape: z.ZodType<T>): T[] {
  if (!Array.isArray(values)) return []
  return values.slice(0, 64).flatMap((value) => {
    const checked = shape.safeParse(value)
    return checked.success ? [checked.data] : []
  })
}

function instanceOf(id: NodeId): string {
  return `${labelOf(id)}.${SERVICE}`
}

/** Encodes a fingerprint as a DNS label. It is in hex, because DNS ignores case, which base64 needs. */
function labelOf(id: NodeId): string {
  const bytes = Uint8Array.from(atob(id.slice('SHA256:'.length)), (character) => character.charCodeAt(0))
  return [...bytes.slice(0, 16)].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}
