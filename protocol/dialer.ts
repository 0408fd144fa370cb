import { z } from 'zod'
import type { FactSpecs, FactsOf } from './facts.ts'
import { failure, nodeId } from './ids.ts'
import { endpointSchema as endpoint } from './net/endpointSchema.ts'

/** What a connection is dialled for. */
const purpose = z.enum(['command', 'gossip', 'speed', 'probe', 'crawl'])

export type DialPurpose = z.infer<typeof purpose>

export const dialerFacts = {
  /**
   * An endpoint answered first, `ms` milliseconds after the dial began. `id`, `name` and `key`: the node that proved to
   * hold this OpenSSH public key; a Go P2PRC node proves none.
   */
  'dial.succeeded': z.object({
    purpose,
    endpoint,
    ms: z.number(),
    id: nodeId.optional(),
    name: z.string().optional(),
    key: z.string().optional(),
  }),
  /** No endpoint answered. `id`: the node that was looked for. */
  'dial.failed': failure.extend({
    purpose,
    id: nodeId.optional(),
    attempts: z.array(failure.extend({ endpoint })),
  }),
} as const satisfies FactSpecs

export type DialerEmits = FactsOf<typeof dialerFacts>

export type DialSucceeded = Extract<DialerEmits, { type: 'dial.succeeded' }>
