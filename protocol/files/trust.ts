import { z } from 'zod'
import type { NodeId } from '../ids.ts'

/** The schema of `trust.json`. Keys that a later version adds are kept. */
export const trustFile = z.looseObject({
  version: z.literal(1),
  peers: z.array(
    z.looseObject({
      id: z.string().transform((id) => id as NodeId),
      name: z.string(),
      key: z.string(),
      /** A time in ISO 8601. */
      addedAt: z.string(),
    }),
  ),
})

export type TrustFile = z.infer<typeof trustFile>
