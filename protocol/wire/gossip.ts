import { z } from 'zod'
import { readJson } from '../json.ts'
import { RECORD_MAX_CHARS, SEQ_MAX, SHORT_CHARS, type ShortId } from './record.ts'

/**
 * What crosses a gossip link: one JSON text a message, `[kind, version, body]`. Whoever meets a kind or a version that
 * it does not know, or a key in a body, leaves it alone. Links carry frames of at most `WIRE_MAX_BYTES`.
 */

/** Largest frame that is read or written. The largest message of ours is a quarter of it. */
export const WIRE_MAX_BYTES = 256 * 1024

/** Characters of a hash in a digest: 66 bits in base64. */
export const HASH_CHARS = 11

/** Characters of `shortId + seq`, one version in a digest. The seq is in base 36, filled with zeros. */
export const VERSION_CHARS = SHORT_CHARS + 7

/** Most records, requested records, suspicions and recent versions in one message. */
export const BATCH = { records: 64, shortIds: 128, suspects: 64, recent: 24 } as const

const hash = z.string().regex(/^[A-Za-z0-9+/]{11}$/)
const shortId = z.custom<ShortId>((value) => typeof value === 'string' && /^[A-Za-z0-9+/]{11}$/.test(value))
const nonce = z.int().min(0).max(0xffff_ffff)
const seq = z.int().min(1).max(SEQ_MAX)
const record = z.tuple([z.string().max(RECORD_MAX_CHARS), z.string().max(128)])

function versionsText(most: number): z.ZodString {
  return z
    .string()
    .max(most * VERSION_CHARS)
    .regex(/^(?:[A-Za-z0-9+/]{11}[0-9a-z]{7})*$/)
}

/** `active`: whether the sender counts this link among its active ones. `recent`: what it merged lately. */
const heartbeat = z.object({ nonce, root: hash, recent: versionsText(BATCH.recent).optional(), active: z.boolean() })

/** APPEND ONLY. A released kind never changes its meaning: a new meaning is a new version or a new kind. */
const kinds = {
  /** First on a link, from both ends. `observedAddress`: the address at which the other end appears. `links`: number of active ones. */
  'link/hello': {
    version: 1,
    body: z.object({
      record,
      root: hash,
      active: z.boolean(),
      links: z.int().min(0),
      observedAddress: z.string().max(64).optional(),
    }),
  },
  /** Closing on purpose: `full`, `duplicate`, `ephemeral`, `silent`, `leaving`. The end of this link is no sign of a failure. */
  'link/bye': { version: 1, body: z.object({ why: z.string().max(16) }) },
  'probe/ping': { version: 1, body: heartbeat },
  'probe/ack': { version: 1, body: heartbeat },
  /** Requests a third node to probe `target`; the third node reports either way. */
  'probe/request': { version: 1, body: z.object({ nonce, target: shortId }) },
  'probe/report': { version: 1, body: z.object({ nonce, alive: z.boolean() }) },
  /** Suspicions, which nobody signs: `[suspect, at which seq, suspected by]`. Each receiver probes for itself. */
  'probe/suspect': {
    version: 1,
    body: z.object({ suspects: z.array(z.tuple([shortId, seq, shortId])).max(BATCH.suspects) }),
  },
  /** `hops`: how often these were forwarded, 0 from their author; 255 for what is no longer new. */
  'table/records': {
    version: 1,
    body: z.object({ records: z.array(record).max(BATCH.records), hops: z.int().min(0).max(255) }),
  },
  /** Short ids, one after the other. */
  'table/request': {
    version: 1,
    body: z.object({
      shortIds: z
        .string()
        .max(BATCH.shortIds * SHORT_CHARS)
        .regex(/^(?:[A-Za-z0-9+/]{11})*$/),
    }),
  },
  /** The hashes of the 64 buckets, one after the other. */
  'table/buckets': { version: 1, body: z.object({ buckets: z.string().regex(/^[A-Za-z0-9+/]{704}$/) }) },
  /** All entries of the buckets that differ, by the bucket's number. */
  'table/versions': {
    version: 1,
    body: z.object({ buckets: z.array(z.tuple([z.int().min(0).max(63), versionsText(4_096)])).max(64) }),
  },
} as const

export type WireKind = keyof typeof kinds

export type WireBody<K extends WireKind> = z.infer<(typeof kinds)[K]['body']>

export type WireMessage = { [K in WireKind]: { readonly kind: K; readonly body: WireBody<K> } }[WireKind]

/** `unknown` is left alone; `protocolError` and `oversized` come from a broken or hostile peer. */
export type Unreadable = 'unknown' | 'protocolError' | 'oversized'

export function encode({ kind, body }: WireMessage): string {
  return JSON.stringify([kind, kinds[kind].version, body])
}

/** A message, or why there is none. Never throws. */
export function decode(text: string): WireMessage | Unreadable {
  if (text.length > WIRE_MAX_BYTES) return 'oversized'
  let envelope: unknown
  try {
    envelope = readJson(text)
  } catch {
    return 'protocolError'
  }
  if (!Array.isArray(envelope) || typeof envelope[0] !== 'string' || !Number.isInteger(envelope[1]))
    return 'protocolError'
  const [kind, version, body] = envelope as [string, number, unknown]
  if (!Object.hasOwn(kinds, kind) || kinds[kind as WireKind].version !== version) return 'unknown'
  const parsed = kinds[kind as WireKind].body.safeParse(body)
  return parsed.success ? ({ kind, body: parsed.data } as WireMessage) : 'protocolError'
}

/** Every kind with its version, for the golden bytes' test and the documentation. */
export const wireKinds: ReadonlyMap<string, number> = new Map(
  Object.entries(kinds).map(([kind, { version }]) => [kind, version]),
)
