import { z } from 'zod'
import { readJson } from '../json.ts'
import { RECORD_MAX_CHARS, SEQ_MAX, SHORT_CHARS, type ShortId } from './record.ts'

// The messages on a gossip link. Each is one JSON text `[kind, version, body]` in a WebSocket text frame. A receiver ignores
// unknown kinds and versions, and unknown keys in a body.

/** Largest frame that is read or written. The largest message that a node writes is a quarter of it. */
export const WIRE_MAX_BYTES = 256 * 1024

/** Characters of a hash in a digest, which is 66 bits in base64. */
export const HASH_CHARS = 11

/** Characters of a version (`shortId + seq`) in a digest. The seq is in base 36, padded with zeros. */
export const VERSION_CHARS = SHORT_CHARS + 7

/** Maximum number of records, requested records, suspicions and recent versions in one message. */
export const BATCH = { records: 64, shortIds: 128, suspects: 64, recent: 24 } as const

/** Largest age of a record in a message. Older ones are sent as this old. */
export const AGE_MAX_SECONDS = 86_400

const hash = z.string().regex(/^[A-Za-z0-9+/]{11}$/)
const shortId = z.custom<ShortId>((value) => typeof value === 'string' && /^[A-Za-z0-9+/]{11}$/.test(value))
const nonce = z.int().min(0).max(0xffff_ffff)
const seq = z.int().min(1).max(SEQ_MAX)
const record = z.tuple([z.string().max(RECORD_MAX_CHARS), z.string().max(128)])

function versionsText(max: number): z.ZodString {
  return z
    .string()
    .max(max * VERSION_CHARS)
    .regex(/^(?:[A-Za-z0-9+/]{11}[0-9a-z]{7})*$/)
}

/** `active` says whether the sender counts this link as active; `recent` has the versions that it merged recently. */
const heartbeat = z.object({ nonce, root: hash, recent: versionsText(BATCH.recent).optional(), active: z.boolean() })

/** APPEND ONLY. The meaning of a released kind never changes: a new meaning gets a new version or a new kind. */
const kinds = {
  /** The first message of both ends. `observedAddress` is where the receiver appears; `links` counts the sender's active links. */
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
  /** Announces that the sender closes the link (`full`, `duplicate`, `ephemeral`, `silent`, `leaving`), which is no failure. */
  'link/bye': { version: 1, body: z.object({ why: z.string().max(16) }) },
  'probe/ping': { version: 1, body: heartbeat },
  'probe/ack': { version: 1, body: heartbeat },
  /** Requests an indirect probe of `target`. The receiver sends `probe/report` whether it succeeds or not. */
  'probe/request': { version: 1, body: z.object({ nonce, target: shortId }) },
  'probe/report': { version: 1, body: z.object({ nonce, alive: z.boolean() }) },
  /** Unsigned suspicions `[suspect, seq of the suspect, suspected by]`. The receiver probes the suspects itself. */
  'probe/suspect': {
    version: 1,
    body: z.object({ suspects: z.array(z.tuple([shortId, seq, shortId])).max(BATCH.suspects) }),
  },
  /**
   * `hops` counts how often the records were forwarded: 0 from their author, 255 if they are not recent. `ages` are the seconds
   * since the author of each is known to have been alive; without them, all are new.
   */
  'table/records': {
    version: 1,
    body: z.object({
      records: z.array(record).max(BATCH.records),
      hops: z.int().min(0).max(255),
      ages: z.array(z.int().min(0).max(AGE_MAX_SECONDS)).max(BATCH.records).optional(),
    }),
  },
  /** Requests records by their concatenated short ids. */
  'table/request': {
    version: 1,
    body: z.object({
      shortIds: z
        .string()
        .max(BATCH.shortIds * SHORT_CHARS)
        .regex(/^(?:[A-Za-z0-9+/]{11})*$/),
    }),
  },
  /** The concatenated hashes of the 64 buckets. */
  'table/buckets': { version: 1, body: z.object({ buckets: z.string().regex(/^[A-Za-z0-9+/]{704}$/) }) },
  /** All versions in the buckets that differ, by the number of the bucket. */
  'table/versions': {
    version: 1,
    body: z.object({ buckets: z.array(z.tuple([z.int().min(0).max(63), versionsText(4_096)])).max(64) }),
  },
} as const

export type WireKind = keyof typeof kinds

export type WireBody<K extends WireKind> = z.infer<(typeof kinds)[K]['body']>

export type WireMessage = { [K in WireKind]: { readonly kind: K; readonly body: WireBody<K> } }[WireKind]

/** Why a text is not a message. An `unknown` kind or version is ignored; the others come from a faulty or hostile peer. */
export type DecodeFailure = 'unknown' | 'protocolError' | 'oversized'

export function encode({ kind, body }: WireMessage): string {
  return JSON.stringify([kind, kinds[kind].version, body])
}

/** Decodes and validates a message. It never throws. */
export function decode(text: string): WireMessage | DecodeFailure {
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

/** The version of every kind, for the test of the golden bytes and for the documentation. */
export const wireKinds: ReadonlyMap<string, number> = new Map(
  Object.entries(kinds).map(([kind, { version }]) => [kind, version]),
)
