import { z } from 'zod'
import { type NodeId, nodeId } from '../ids.ts'
import { readJson } from '../json.ts'
import { isIPv4, isIPv6, parseAddress } from '../net/address.ts'
import type { Specs } from '../specs.ts'

/**
 * A node's own entry in the table: written and signed by that node alone. It travels as the exact text that was signed,
 * so keys that a later version adds survive the journey, and two writers of JSON cannot disagree about the bytes.
 */

/** The first 66 bits of a node id, in base64: what stands for a node in digests, suspicions and tables. */
export type ShortId = string & { readonly brand: 'ShortId' }

/** Characters of a `ShortId`. The first one is also the bucket of the digest, of which there are 64. */
export const SHORT_CHARS = 11

/** Longest text of a record. All fields at their limits need half of it. */
export const RECORD_MAX_CHARS = 6_144

/** Sequence numbers fit 32 bits: a change a second would take 136 years to use them up. */
export const SEQ_MAX = 0xffff_ffff

/** Signed before the text, so that no other signature of the key can pass for a record's. */
const DOMAIN = 'p2prc record 1\n'

/** A pebibyte and more. */
const SIZE_MAX_MIB = 2 ** 40

export const machine = z.object({
  cores: z.int().min(0).max(65_535),
  ramMiB: z.int().min(0).max(SIZE_MAX_MIB),
  diskMiB: z.int().min(0).max(SIZE_MAX_MIB),
  gpus: z.array(z.string().max(64)).max(8),
})

export const recordSchema = z.object({
  id: nodeId,
  /** `ssh-ed25519 AAAA…`; its fingerprint is `id`. */
  key: z.string().regex(/^ssh-ed25519 [A-Za-z0-9+/]{68}$/),
  /** Rises with every change, and with every proof of life after a suspicion. */
  seq: z.int().min(1).max(SEQ_MAX),
  name: z.string().max(128),
  /** Where the node can be dialled, `ip:port` or `[v6]:port`, best first; none for a node that only dials. */
  addresses: z.array(z.string().max(64).refine(isIpAndPort)).max(8),
  /** The port on which the node itself listens. */
  port: z.int().min(0).max(65_535),
  /** Of the program. */
  version: z.string().max(32),
  /** The owner's free text (`--amd`). */
  customInformation: z.string().max(2_048).default(''),
  capabilities: z.array(z.string().max(32)).max(16).default([]),
  /** What the machine has. How busy it is changes too often to travel: whoever is near enough asks. */
  machine: machine.optional(),
  /** The author's farewell: it stops, and nobody has to probe it. */
  left: z.boolean().default(false),
})

export type NodeRecord = z.infer<typeof recordSchema>

export type Machine = z.infer<typeof machine>

/** The fields that a node may set freely; the rest follows from its key and its history. */
export type RecordFields = Omit<NodeRecord, 'id' | 'key' | 'seq' | 'left'>

export interface SignedRecord {
  readonly record: NodeRecord
  readonly short: ShortId
  readonly text: string
  /** Base64 of the Ed25519 signature over `signedBytes(text)`. */
  readonly signature: string
}

/** Signs with the node's key, the message as UTF-8; answers base64. */
export type Sign = (message: string) => string

/** Whether `signature` is by the key in the OpenSSH line `key`, and the key's fingerprint is `id`. */
export type Verify = (id: NodeId, key: string, message: string, signature: string) => boolean

/** The part of the specifications that a record carries. */
export function machineOf({ Cores, RAM, Disk, GPUs }: Specs): Machine {
  const whole = (amount: number) => Math.min(SIZE_MAX_MIB, Math.round(amount))
  return {
    cores: Math.min(65_535, Math.round(Cores)),
    ramMiB: whole(RAM),
    diskMiB: whole(Disk),
    gpus: GPUs.slice(0, 8).map(({ GpuName }) => GpuName.slice(0, 64).toWellFormed()),
  }
}

export function shortOf(id: NodeId): ShortId {
  return id.slice(7, 7 + SHORT_CHARS) as ShortId
}

export function signRecord(record: NodeRecord, sign: Sign): SignedRecord {
  const text = JSON.stringify(record)
  return { record, short: shortOf(record.id), text, signature: sign(DOMAIN + text) }
}

/** The record in a pair from the wire, not yet verified; undefined where it is none. */
export function readRecord(text: string, signature: string): SignedRecord | undefined {
  if (text.length > RECORD_MAX_CHARS) return undefined
  try {
    const parsed = recordSchema.safeParse(readJson(text))
    return parsed.success ? { record: parsed.data, short: shortOf(parsed.data.id), text, signature } : undefined
  } catch {
    return undefined
  }
}

/** Whether its author signed exactly this text. */
export function hasValidSignature({ record, text, signature }: SignedRecord, verify: Verify): boolean {
  return verify(record.id, record.key, DOMAIN + text, signature)
}

function isIpAndPort(where: string): boolean {
  try {
    const { host } = parseAddress(where)
    return (isIPv4(host) || (isIPv6(host) && !host.includes('%'))) && /:\d{1,5}$/.test(where)
  } catch {
    return false
  }
}
