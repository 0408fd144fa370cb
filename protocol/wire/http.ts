import { z } from 'zod'
import { containerManagerCommands } from '../containerManager.ts'
import { EXTRA_PORTS_MAX } from '../defaults/containerManager.ts'
import { AppError } from '../errors.ts'

/** The body of `POST /api/v1/commands` before the schema of its command is known. `caller` is never read from it. */
export const commandEnvelope = z.looseObject({
  type: z.string().max(128),
  /** The same caller with the same id repeats the same request. The listener makes an id if there is none. */
  requestId: z
    .string()
    .regex(/^[\x20-\x7e]{1,128}$/, '1 to 128 printable characters')
    .optional(),
})

/**
 * The query of `/startcontainer`, with P2PRC's names. `PublicKey` is an OpenSSH line in standard base64; without it the
 * container gets a password. A repeated parameter arrives as a list, which the schema rejects.
 */
export const startContainerQuery = z.object({
  ports: z.string().default('0'),
  GPU: z.enum(['true', 'false', '']).default('false'),
  ContainerName: containerManagerCommands['container.create'].schema.shape.image,
  BaseImage: z.string().default(''),
  PublicKey: z.string().max(32_768).default(''),
})

/** The query of `/AddProxy`. */
export const addProxyQuery = z.object({
  domain_name: z.string().min(1).max(1_024),
  ip_address: z.string().min(1).max(64),
  port: z.coerce.number().int().min(1).max(65_535),
})

/** The query of `/MAPPort`. In `udp`, P2PRC takes everything but `false` for true. */
export const mapPortQuery = z.object({
  port: z.coerce.number().int().min(1).max(65_535),
  domain_name: z.string().default(''),
  udp: z.string().default('false'),
})

/** The query of `/IpTable`: the largest answer that the caller can read. Go sends none. */
export const tableQuery = z.object({ maxBytes: z.coerce.number().int().min(0).optional() })

/**
 * The query of `/RemoveContainer`. It takes no beginning of an id: every anonymous caller counts as the same borrower, and
 * the whole id is what only the one that received the container knows.
 */
export const removeContainerQuery = z.object({
  id: z.string().regex(/^[0-9a-f]{64}$/, 'the whole id of 64 characters 0-9 and a-f'),
})

/** P2PRC's body for an unknown path or method. */
export const PAGE_NOT_FOUND = '404 page not found'

/** Parses P2PRC's number of extra ports. Throws `bad_count`. */
export function readPortCount(text: string): number {
  const count = text === '' ? 0 : Number(text)
  if (/^\d{0,6}$/.test(text) && count <= EXTRA_PORTS_MAX) return count
  const value = text.replace(/[^\x20-\x7e]/g, '?').slice(0, 32)
  throw new AppError('bad_count', { name: 'ports', min: 0, max: EXTRA_PORTS_MAX, value })
}

/** Validates `value` and returns the parsed result. Throws `bad_request`, which names the first error. */
export function checked<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const [issue] = result.error.issues
  const path = issue?.path.join('.') ?? ''
  throw new AppError('bad_request', { why: `${path && `${path}: `}${issue?.message ?? 'wrong'}`.slice(0, 300) })
}
