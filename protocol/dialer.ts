import { z } from 'zod'
import type { FactSpecs, FactsOf } from './facts.ts'
import { failure, nodeId } from './ids.ts'
import { endpointSchema as endpoint } from './net/endpointSchema.ts'

/** The purpose of a connection. */
const purpose = z.enum(['command', 'gossip', 'speed', 'probe', 'crawl', 'dialBack', 'relay'])

export type DialPurpose = z.infer<typeof purpose>

const attempts = z.array(failure.extend({ endpoint }))

export const dialerFacts = {
  /**
   * `endpoint` was the first to answer, `ms` milliseconds after the dial started. `id`, `name` and `key` describe the
   * node, which has proved that it holds this OpenSSH public key; they are absent for a Go P2PRC node, which has no
   * key.
   */
  'dial.succeeded': z.object({
    purpose,
    endpoint,
    ms: z.number(),
    /** Milliseconds since 1970. */
    at: z.number(),
    /** The endpoints that had failed by then, or had not answered yet; absent if there is none. */
    attempts: attempts.optional(),
    id: nodeId.optional(),
    name: z.string().optional(),
    key: z.string().optional(),
  }),
  /** No endpoint answered. `id` is the node that was dialled. */
  'dial.failed': failure.extend({
    purpose,
    id: nodeId.optional(),
    attempts,
    /** Milliseconds since 1970. */
    at: z.number(),
  }),
} as const satisfies FactSpecs

export type DialerEmits = FactsOf<typeof dialerFacts>

export type DialSucceeded = Extract<DialerEmits, { type: 'dial.succeeded' }>

export type DialFailed = Extract<DialerEmits, { type: 'dial.failed' }>
