import { z } from 'zod'
import { FRP_MESSAGE_MAX_BYTES } from '../../defaults/turnClient.ts'
import { readJson } from '../../json.ts'

// The messages of frp, version 1 of its wire protocol, as versions 0.45 to 0.70 speak it: a type byte, the length as a
// signed 64-bit integer in network order, and a JSON object. Go omits empty fields, so that each one is optional here;
// an absent one reads as '', 0 or false. Unknown fields are ignored.

const text = z.string().default('')
const count = z.int().min(0).default(0)
const port = z.int().min(0).max(65_535).default(0)
const flag = z.boolean().default(false)

/** Go's `net.UDPAddr`. */
const udpAddress = z.object({ IP: z.string().max(64), Port: z.int().min(0).max(65_535), Zone: text })

export type UdpAddress = z.infer<typeof udpAddress>

/** The type byte and the body of each message that this project sends or reads. APPEND ONLY: frp defines them. */
const kinds = {
  /** The first message of a control connection. `privilege_key` is `privilegeKey()` of the token and the timestamp in seconds. */
  Login: {
    type: 'o',
    body: z.object({
      version: text,
      hostname: text,
      os: text,
      arch: text,
      user: text,
      privilege_key: text,
      timestamp: z.int().default(0),
      /** Empty at the first login; later the one that the server gave, so that it frees the ports of the former session. */
      run_id: text,
      metas: z.record(z.string(), z.string()).nullish(),
      pool_count: count,
    }),
  },
  LoginResp: { type: '1', body: z.object({ version: text, run_id: text, error: text }) },
  /**
   * Requests a port. Go P2PRC sends neither a name nor a type; no type means `tcp`. Port 0 lets the server choose.
   * `custom_domains` are the names under which the port is to be shown; stock frp knows them for `http` alone.
   */
  NewProxy: {
    type: 'p',
    body: z.object({
      proxy_name: text,
      proxy_type: text,
      use_encryption: flag,
      use_compression: flag,
      remote_port: port,
      custom_domains: z.array(z.string()).nullish(),
    }),
  },
  /**
   * `remote_addr` is `:port`. `domain_port` is where the requested domains are shown, a field of this project: stock frp
   * knows none, so that its absence says that they are not.
   */
  NewProxyResp: { type: '2', body: z.object({ proxy_name: text, remote_addr: text, error: text, domain_port: port }) },
  CloseProxy: { type: 'c', body: z.object({ proxy_name: text }) },
  /** The first message of a work connection, which the client opens when the server requests one. */
  NewWorkConn: { type: 'w', body: z.object({ run_id: text, privilege_key: text, timestamp: z.int().default(0) }) },
  ReqWorkConn: { type: 'r', body: z.object({}) },
  /** Assigns a user's connection to a work connection. The bytes of the user follow, unframed for TCP. */
  StartWorkConn: {
    type: 's',
    body: z.object({ proxy_name: text, src_addr: text, dst_addr: text, src_port: port, dst_port: port, error: text }),
  },
  Ping: { type: 'h', body: z.object({ privilege_key: text, timestamp: z.int().default(0) }) },
  Pong: { type: '4', body: z.object({ error: text }) },
  /** A datagram: `c` is its payload in base64, `r` the address of the user outside. */
  UDPPacket: {
    type: 'u',
    body: z.object({ c: z.base64().default(''), l: udpAddress.nullish(), r: udpAddress.nullish() }),
  },
} as const

export type FrpKind = keyof typeof kinds

type Bodies = { [K in FrpKind]: z.infer<(typeof kinds)[K]['body']> }

/** A message as it was received, with its absent fields filled in. */
export type FrpMessage = { [K in FrpKind]: { readonly kind: K; readonly body: Bodies[K] } }[FrpKind]

/** A message to send. Empty fields may be left out. */
export type FrpOutgoing = { [K in FrpKind]: { readonly kind: K; readonly body: Partial<Bodies[K]> } }[FrpKind]

/**
 * Why bytes are not a message. Each ends the connection, as in stock frp. `unknownType` right after a login means that
 * the two ends derived different keys.
 */
export type FrpDecodeFailure = 'unknownType' | 'invalidLength' | 'invalidBody'

const HEADER_BYTES = 9

const kindByType = new Map(Object.entries(kinds).map(([kind, { type }]) => [type.charCodeAt(0), kind as FrpKind]))

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true })

/** Encodes a message, without its empty fields, as Go does. Throws `RangeError` if it is longer than frp reads. */
export function encodeFrp({ kind, body }: FrpOutgoing): Uint8Array {
  const filled = Object.entries(body).filter(
    ([, value]) => value !== '' && value !== 0 && value !== false && value !== null,
  )
  const json = encoder.encode(JSON.stringify(Object.fromEntries(filled)))
  if (json.length > FRP_MESSAGE_MAX_BYTES) throw new RangeError(`A ${kind} of ${json.length} bytes is too long for frp`)
  const frame = new Uint8Array(HEADER_BYTES + json.length)
  frame[0] = kinds[kind].type.charCodeAt(0)
  new DataView(frame.buffer).setBigInt64(1, BigInt(json.length))
  frame.set(json, HEADER_BYTES)
  return frame
}

/**
 * Reads the message at the beginning of `bytes`. Returns it with its size in bytes, `incomplete` if more are needed, or
 * why it is none. It never throws.
 */
export function readFrp(bytes: Uint8Array): { message: FrpMessage; size: number } | 'incomplete' | FrpDecodeFailure {
  if (bytes.length === 0) return 'incomplete'
  const kind = kindByType.get(bytes[0] as number)
  if (!kind) return 'unknownType'
  if (bytes.length < HEADER_BYTES) return 'incomplete'
  const length = new DataView(bytes.buffer, bytes.byteOffset).getBigInt64(1)
  if (length < 0n || length > BigInt(FRP_MESSAGE_MAX_BYTES)) return 'invalidLength'
  const size = HEADER_BYTES + Number(length)
  if (bytes.length < size) return 'incomplete'
  const body = readBody(kind, bytes.subarray(HEADER_BYTES, size))
  return body ? { message: { kind, body } as FrpMessage, size } : 'invalidBody'
}

function readBody(kind: FrpKind, bytes: Uint8Array): unknown {
  try {
    return kinds[kind].body.safeParse(readJson(decoder.decode(bytes))).data
  } catch {
    return undefined
  }
}
