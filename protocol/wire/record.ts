import { z } from 'zod'
import { type NodeId, nodeId } from '../ids.ts'
import { readJson } from '../json.ts'
import { ENDPOINT_MAX_CHARS, isNumeric, isOtherKind, parseEndpoint } from '../net/endpoint.ts'
import type { Specs } from '../specs.ts'

// A record is a node's own entry in the table. Only that node writes and signs it. Nodes forward the exact text that was
// signed, so keys of later versions are preserved, and different JSON writers cannot invalidate the signature.

/** The first 66 bits of a node id in base64, which identify a node in digests, suspicions and tables. */
export type ShortId = string & { readonly brand: 'ShortId' }

/** Characters of a `ShortId`. The first one determines the bucket in the digest, of which there are 64. */
export const SHORT_CHARS = 11

/** Maximum length of a record's text. A record whose fields are all at their limits needs half of it. */
export const RECORD_MAX_CHARS = 6_144

/** Sequence numbers have 32 bits: one update a second would use them up in 136 years. */
export const SEQ_MAX = 0xffff_ffff

/** Domain separation: it precedes the text in what is signed, so that no other signature of the key is valid for a record. */
const DOMAIN = 'p2prc record 1\n'

/** The capability in the record of a node that lends ports to every node that nobody can dial. */
const RELAY_CAPABILITY = 'relay'

/** The capability of one that lends them to those whom its owner trusts. It does not say who they are. */
const TRUSTED_RELAY_CAPABILITY = 'relay:trusted'

/** The capability of one that shows them under domains too. */
const DOMAINS_CAPABILITY = 'domains'

/** The capability that names the first UDP port of a relay's DHT while that is open. */
const DHT_CAPABILITY = /^dht:(\d{1,5})$/

const SIZE_MAX_MIB = 2 ** 40

export const machine = z.object({
  cores: z.int().min(0).max(65_535),
  ramMiB: z.int().min(0).max(SIZE_MAX_MIB),
  diskMiB: z.int().min(0).max(SIZE_MAX_MIB),
  gpus: z.array(z.string().max(64)).max(8),
})

export const recordSchema = z.object({
  id: nodeId,
  /** The OpenSSH line `ssh-ed25519 AAAA…`, whose fingerprint is `id`. */
  key: z.string().regex(/^ssh-ed25519 [A-Za-z0-9+/]{68}$/),
  /** Rises with every update and with every refutation of a suspicion. */
  seq: z.int().min(1).max(SEQ_MAX),
  name: z.string().max(128),
  /**
   * Texts of the endpoints at which the node can be dialled, best first; none for a node that only dials. Those that this
   * version does not know are skipped; the signed text, which travels on, keeps them.
   */
  endpoints: z.preprocess(
    (list) => (Array.isArray(list) ? list.filter((text) => !isOfLaterVersion(text)) : list),
    z.array(z.string().max(ENDPOINT_MAX_CHARS).refine(isIpAndPort)).max(8),
  ),
  /** The port on which the node listens. */
  port: z.int().min(0).max(65_535),
  /** The version of the program. */
  version: z.string().max(32),
  /** The owner's free text (`--amd`). */
  customInformation: z.string().max(2_048).default(''),
  capabilities: z.array(z.string().max(32)).max(16).default([]),
  /** The hardware of the machine. Its load changes too often to be gossiped; nodes request it directly. */
  machine: machine.optional(),
  /** Whether this is the author's farewell. A node that has left is not probed. */
  left: z.boolean().default(false),
})

export type NodeRecord = z.infer<typeof recordSchema>

export type Machine = z.infer<typeof machine>

/** The fields that a node may choose; the others follow from its key and its history. */
export type RecordFields = Omit<NodeRecord, 'id' | 'key' | 'seq' | 'left'>

export interface SignedRecord {
  readonly record: NodeRecord
  readonly short: ShortId
  readonly text: string
  /** Base64 of the Ed25519 signature over `signedBytes(text)`. */
  readonly signature: string
}

/** Signs a message, encoded as UTF-8, with the node's key. Returns base64. */
export type Sign = (message: string) => string

/** Whether `signature` is by the key in the OpenSSH line `key`, and the key's fingerprint is `id`. */
export type Verify = (id: NodeId, key: string, message: string, signature: string) => boolean

/** Returns the part of the specifications that a record carries. */
export function machineOf({ Cores, RAM, Disk, GPUs }: Pick<Specs, 'Cores' | 'RAM' | 'Disk' | 'GPUs'>): Machine {
  const whole = (amount: number) => Math.min(SIZE_MAX_MIB, Math.round(amount))
  return {
    cores: Math.min(65_535, Math.round(Cores)),
    ramMiB: whole(RAM),
    diskMiB: whole(Disk),
    gpus: GPUs.slice(0, 8).map(({ GpuName }) => GpuName.slice(0, 64).toWellFormed()),
  }
}

/** Returns to whom the node of a record lends ports: nobody, those whom its owner trusts, or every node. */
export function relaysTo(capabilities: readonly string[]): 'nobody' | 'trusted' | 'peers' {
  if (capabilities.includes(RELAY_CAPABILITY)) return 'peers'
  return capabilities.includes(TRUSTED_RELAY_CAPABILITY) ? 'trusted' : 'nobody'
}

/** Returns whether the node of a record shows the ports that it lends under domains. */
export function showsDomains(capabilities: readonly string[]): boolean {
  return capabilities.includes(DOMAINS_CAPABILITY)
}

/** Returns the first UDP port of a relay's DHT; undefined while it is closed. */
export function dhtPortOf(capabilities: readonly string[]): number | undefined {
  for (const one of capabilities) {
    const port = Number(DHT_CAPABILITY.exec(one)?.[1])
    if (port >= 1 && port <= 65_535) return port
  }
  return undefined
}

/** Returns capabilities that name this port of a DHT, or none. */
export function withDhtPort(capabilities: readonly string[], port: number | undefined): string[] {
  const others = capabilities.filter((one) => !DHT_CAPABILITY.test(one))
  return port === undefined ? others : [...others, `dht:${port}`]
}

export function shortOf(id: NodeId): ShortId {
  return id.slice(7, 7 + SHORT_CHARS) as ShortId
}

export function signRecord(record: NodeRecord, sign: Sign): SignedRecord {
  const text = JSON.stringify(record)
  return { record, short: shortOf(record.id), text, signature: sign(DOMAIN + text) }
}

/** Parses a record from the wire without verifying its signature. Returns undefined if it is not a valid record. */
export function readRecord(text: string, signature: string): SignedRecord | undefined {
  if (text.length > RECORD_MAX_CHARS) return undefined
  try {
    const parsed = recordSchema.safeParse(readJson(text))
    return parsed.success ? { record: parsed.data, short: shortOf(parsed.data.id), text, signature } : undefined
  } catch {
    return undefined
  }
}

/** Whether the author signed exactly this text. */
export function hasValidSignature({ record, text, signature }: SignedRecord, verify: Verify): boolean {
  return verify(record.id, record.key, DOMAIN + text, signature)
}

/** Whether a text is of an unknown kind, or says more of a known one than its address. */
function isOfLaterVersion(text: unknown): boolean {
  return typeof text === 'string' && (isOtherKind(text) || (text.includes('://') && !isIpAndPort(text)))
}

function isIpAndPort(where: string): boolean {
  try {
    const endpoint = parseEndpoint(where)
    return endpoint !== undefined && isNumeric(endpoint) && !endpoint.host.includes('%') && /:\d{1,5}$/.test(where)
  } catch {
    return false
  }
}
