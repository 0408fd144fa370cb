import { z } from 'zod'
import { containerManagerCommands, containerRef } from '../containerManager.ts'
import { EXTRA_PORTS_MAX } from '../defaults/containerManager.ts'
import { AppError } from '../errors.ts'

/** What crosses the HTTP listeners, before it becomes a command. Replies are the facts, and P2PRC's bodies (2.4). */

/** `POST /api/v1/commands` before the command's own schema is known. `caller` is never read from it. */
export const commandEnvelope = z.looseObject({
  type: z.string().max(128),
  /** The same caller with the same id means the same wish. A new one is made where none is given. */
  requestId: z
    .string()
    .regex(/^[\x20-\x7e]{1,128}$/, '1 to 128 printable characters')
    .optional(),
})

/**
 * `/startcontainer`, P2PRC's names. `PublicKey` is standard base64 of an OpenSSH line; without it a password is made.
 * A repeated parameter arrives as a list and is refused.
 */
export const startContainerQuery = z.object({
  ports: z.string().default('0'),
  GPU: z.enum(['true', 'false', '']).default('false'),
  ContainerName: containerManagerCommands['container.create'].schema.shape.image,
  BaseImage: z.string().default(''),
  PublicKey: z.string().max(32_768).default(''),
})

/** `/RemoveContainer`. */
export const removeContainerQuery = z.object({ id: containerRef })

/** What P2PRC answers to a path or method that it does not have. */
export const PAGE_NOT_FOUND = '404 page not found'

/** The number in P2PRC's text for how many extra ports. Throws `bad_count`. */
export function readPortCount(text: string): number {
  const count = text === '' ? 0 : Number(text)
  if (/^\d{0,6}$/.test(text) && count <= EXTRA_PORTS_MAX) return count
  const value = text.replace(/[^\x20-\x7e]/g, '?').slice(0, 32)
  throw new AppError('bad_count', { name: 'ports', min: 0, max: EXTRA_PORTS_MAX, value })
}

/** What is left of `value` when `schema` has taken it. Throws `bad_request` that names the first thing wrong. */
export function checked<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const [issue] = result.error.issues
  const place = issue?.path.join('.') ?? ''
  throw new AppError('bad_request', { why: `${place && `${place}: `}${issue?.message ?? 'wrong'}`.slice(0, 300) })
}
