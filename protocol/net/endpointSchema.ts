import { z } from 'zod'
import { type Endpoint, endpointKinds } from './endpoint.ts'

/**
 * The schema of an endpoint on the bus. It is not in `endpoint.ts`, because the command line loads no schema library.
 */
export const endpointSchema = z.object({
  kind: z.enum(endpointKinds),
  host: z.string().min(1).max(255),
  port: z.number().int().min(1).max(65_535),
}) satisfies z.ZodType<Endpoint>

const kinds: ReadonlySet<unknown> = new Set(endpointKinds)

/** Returns the schema of a list of endpoints. It removes those of a kind that this version does not know. */
export function endpointList(max: number) {
  return z.preprocess(
    (list) => (Array.isArray(list) ? list.filter((one) => !isOfUnknownKind(one)) : list),
    z.array(endpointSchema).max(max),
  )
}

function isOfUnknownKind(value: unknown): boolean {
  const kind = (value as { kind?: unknown } | null)?.kind
  return typeof kind === 'string' && !kinds.has(kind)
}
