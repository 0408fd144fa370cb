import { z } from 'zod'
import { DESCRIPTION_MAX } from '../gossip.ts'
import { SEQ_MAX } from '../wire/record.ts'

/** `gossip.json`: the highest seq that this key has signed, which other nodes return if the file is lost, and the free text. */
export const gossipFile = z.looseObject({
  version: z.literal(1),
  seq: z.int().min(0).max(SEQ_MAX),
  customInformation: z.string().max(DESCRIPTION_MAX).catch('').default(''),
})

export type GossipFile = z.infer<typeof gossipFile>

export function emptyGossip(): GossipFile {
  return { version: 1, seq: 0, customInformation: '' }
}
