import { z } from 'zod'
import { LEGACY_TEXT_MAX_CHARS } from '../defaults/ipTable.ts'
import { BODY_MAX_BYTES } from '../defaults/listeners.ts'
import { PORT } from '../defaults/node.ts'
import { AppError, toAppError } from '../errors.ts'
import { nodeId } from '../ids.ts'
import { readJson } from '../json.ts'
import { goFields, goList, goObject } from './go.ts'
import { FILE_VERSION } from './version.ts'

/**
 * `ip_table.json` and the table on the wire: P2PRC's document in every historic form (compatibility 2.1, 2.5).
 * Documents are written with the exact JSON types that Go reads, because Go silently ignores a field of another type.
 */

/** The indent of the file: one space, as in Go. */
export const IP_TABLE_INDENT = ' '

const unitNs: Record<string, number> = { '': 1, ns: 1, us: 1e3, µs: 1e3, μs: 1e3, ms: 1e6, s: 1e9 }

/**
 * Parses an integer, a quoted number or a printed duration such as `28.172471ms` as nanoseconds. Go reads only
 * integers.
 */
function nanoseconds(value: unknown): number {
  const [, digits, unit = ''] = /^\s*(\d{1,18}(?:\.\d{1,18})?)\s*(ns|us|µs|μs|ms|s)?\s*$/.exec(String(value)) ?? []
  const ns = Math.round(Number(digits) * (unitNs[unit] ?? Number.NaN))
  return Number.isSafeInteger(ns) ? ns : 0
}

function megabits(value: unknown): number {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value
  return typeof number === 'number' && Number.isFinite(number) && number >= 0 ? number : 0
}

function portText(value: unknown): string {
  const number = typeof value === 'string' && /^\s*\d{1,5}\s*$/.test(value) ? Number(value) : value
  return Number.isInteger(number) && Number(number) >= 1 && Number(number) <= 65_535 ? String(number) : ''
}

const duration = z.unknown().transform(nanoseconds).default(0)
const rate = z.unknown().transform(megabits).default(0)
const port = z.unknown().transform(portText).default('')

/** An entry of P2PRC's table, as it is written and shown. Keys that another version adds are kept. */
export const tableEntry = z.looseObject({
  Name: z.string(),
  MachineUsername: z.string(),
  IPV4: z.string(),
  IPV6: z.string(),
  /** Nanoseconds. */
  Latency: z.number(),
  /** Mbit/s. */
  Download: z.number(),
  Upload: z.number(),
  ServerPort: z.string(),
  UDPServerPort: z.string(),
  BareMetalSSHPort: z.string(),
  NAT: z.boolean(),
  EscapeImplementation: z.string(),
  ProxyServer: z.boolean(),
  UnSafeMode: z.boolean(),
  PublicKey: z.string(),
  CustomInformation: z.string(),
  /** The node id, if the peer has proved one. This field and those below are not in Go's table, and Go ignores them. */
  NodeId: nodeId.optional(),
  /** Further addresses (`ip:port`, `[v6]:port`), which `IPV4`, `IPV6` and `ServerPort` cannot express. */
  Addresses: z.array(z.string()).max(64).optional(),
  /** Whether the owner added the entry; then it is never forgotten. */
  Added: z.boolean().optional(),
  /**
   * Addresses that the owner named or at which the peer proved its key. They are dialled in whatever range they are.
   */
  Trusted: z.array(z.string()).max(64).optional(),
  /** When the peer last answered this node, in milliseconds since 1970. */
  AnsweredAt: z.number().optional(),
  /**
   * The specifications of its machine in that answer: sizes in MiB, the names of the cards. An entry stays a flat object,
   * so that what is whole in a damaged file can be found.
   */
  Cores: z.number().optional(),
  RAM: z.number().optional(),
  RAMFree: z.number().optional(),
  Disk: z.number().optional(),
  Load: z.tuple([z.number(), z.number(), z.number()]).optional(),
  GPUs: z.array(z.string()).max(256).optional(),
})

export type TableEntry = z.infer<typeof tableEntry>

const { shape } = tableEntry

/** What a table says of a peer that has no key, apart from its addresses and from measurements. */
export const legacyFields = z.object({
  Name: shape.Name,
  MachineUsername: shape.MachineUsername,
  UDPServerPort: shape.UDPServerPort,
  BareMetalSSHPort: shape.BareMetalSSHPort,
  NAT: shape.NAT,
  EscapeImplementation: shape.EscapeImplementation,
  ProxyServer: shape.ProxyServer,
  UnSafeMode: shape.UnSafeMode,
  CustomInformation: shape.CustomInformation,
})

export type LegacyFields = z.infer<typeof legacyFields>

/** Returns what an entry says of a peer that has no key, with texts of bounded length. */
export function legacyFieldsOf(entry: TableEntry): LegacyFields {
  const fields = legacyFields.parse(entry)
  const bounded = Object.entries(fields).map(([name, value]) => [
    name,
    typeof value === 'string' ? value.slice(0, LEGACY_TEXT_MAX_CHARS) : value,
  ])
  return Object.fromEntries(bounded) as LegacyFields
}

/** The schema that reads an entry of any version. */
const readEntry = goObject({
  ...goFields(tableEntry.shape),
  Latency: duration,
  Download: rate,
  Upload: rate,
  ServerPort: port,
  UDPServerPort: port,
  BareMetalSSHPort: port,
})

/**
 * Converts an entry of an older version: v1 has no port, the original seeds write `port no`, v1.1 and v2 write bytes.
 */
function migrated(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  const keys = new Map(Object.keys(value).map((key) => [key.toLowerCase(), key]))
  const read = (name: string) => (value as Record<string, unknown>)[keys.get(name) ?? '']
  const changed = Object.entries(value).filter(([key]) => !/^port[ _]?no$/i.test(key))
  const oldPort = ['port no', 'port_no', 'portno'].map(read).find((found) => found !== undefined)
  if (!keys.has('serverport')) changed.push(['ServerPort', portText(oldPort) || PORT])
  if (typeof read('nat') === 'string' && !keys.has('unsafemode')) {
    changed.push(['CustomInformation', fromBytes(read('custominformation'))])
  }
  return Object.fromEntries(changed)
}

/** Decodes bytes, which Go writes as base64. Text that is not the base64 of valid UTF-8 is returned unchanged. */
function fromBytes(value: unknown): string {
  if (typeof value !== 'string') return ''
  try {
    const bytes = Uint8Array.from(atob(value), (character) => character.charCodeAt(0))
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return value
  }
}

/** Skips entries that are not objects, because one broken entry of a peer must not hide the others. */
const entries = z.preprocess(
  (list) => (Array.isArray(list) ? list.filter(isObject).map(migrated) : list),
  goList(readEntry),
)

/** The schema of the file and of the document on the wire. A document that was written is read back unchanged. */
export const ipTableFile = goObject({
  Version: z.number().optional(),
  ip_address: entries,
  /**
   * Peers that no longer answer. They are not listed, but probed from time to time, and listed again if they answer.
   */
  Dormant: entries.optional().catch(undefined),
})

export type IpTableFile = z.infer<typeof ipTableFile>

export function emptyIpTable(): IpTableFile {
  return { Version: FILE_VERSION, ip_address: [] }
}

/** Returns an entry with these fields and Go's zero values for the others. */
export function newEntry(fields: Partial<TableEntry>): TableEntry {
  return readEntry.parse({ ServerPort: String(PORT), ...fields })
}

/**
 * Parses a table document of another node. Throws `too_large`, and `protocol_error` if the text is not JSON, not a
 * table, or nested so deeply that serialising it would overflow the stack.
 */
export function parseIpTable(body: string, from: string): IpTableFile {
  if (body.length > BODY_MAX_BYTES) throw new AppError('too_large', { max: BODY_MAX_BYTES })
  const protocolError = (why: string, cause?: unknown) => new AppError('protocol_error', { where: from, why }, cause)
  let document: unknown
  try {
    document = readJson(body)
  } catch (error) {
    throw protocolError(`its table cannot be read: ${toAppError(error).message}`, error)
  }
  const checked = ipTableFile.safeParse(document)
  if (!checked.success || !isObject(document)) throw protocolError('it sent no table')
  return checked.data
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
