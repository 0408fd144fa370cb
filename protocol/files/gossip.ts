import { z } from 'zod'
import { DESCRIPTION_MAX } from '../gossip.ts'
import { SEQ_MAX } from '../wire/record.ts'

/**
 * The schema of `gossip.json`: the free text, and the highest seq that this key has signed. If the file is lost, other
 * nodes return the seq.
 */
export const gossipFile = z.looseObject({
  version: z.literal(1),
  seq: z.int().min(0).max(SEQ_MAX),
  customInformation: z.string().max(DESCRIPTION_MAX).catch('').default(''),
})

export type GossipFile = z.infer<typeof gossipFile>

export function emptyGossip(): GossipFile {
  return { version: 1, seq: 0, customInformation: '' }
}
