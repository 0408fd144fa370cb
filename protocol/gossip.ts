import { z } from 'zod'
import type { CommandSpec, CommandsOf } from './control.ts'
import { answer, type FactSpecs, type FactsOf, failed } from './facts.ts'
import { nodeId } from './ids.ts'
import type { AddressDiscovered, SeedsListed, SelfAddressesChanged } from './ipTable.ts'
import type { NodeStopping } from './node.ts'
import type { SpecsChanged } from './specs.ts'
import { recordSchema } from './wire/record.ts'

/** The WebSocket of a link: over mutual TLS only, text frames, deflate off. */
export const GOSSIP_PATH = '/api/v1/gossip'

/** Longest free text of a node's owner, in UTF-16 units. */
export const DESCRIPTION_MAX = 2_048

/**
 * Free text as it travels: line breaks and tabs stay, other control characters and halves of characters go, because
 * JSON writes each of them as six and a record has a limit.
 */
const description = z
  .string()
  .max(DESCRIPTION_MAX)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the ones that go
  .transform((text) => text.replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, '').toWellFormed())

export const gossipCommands = {
  /** The owner's free text about this machine, which every node gets to see (P2PRC's `--amd`). '' takes it back. */
  'record.describe': {
    schema: z.object({ text: description }),
    action: 'administer',
    terminalEvents: ['record.described', 'record.describeFailed'],
  },
} as const satisfies Record<string, CommandSpec>

export type GossipCommand = CommandsOf<typeof gossipCommands>

/** What the gossip concern accepts and emits on the bus. What it sends to other nodes is in `wire.ts`. */

export const gossipFacts = {
  /** A life of the concern has begun; it knows no way into the network yet but what others tell it. */
  'gossip.started': z.object({}),
  /** An active or ephemeral link is open. `id` is proved, `address` is where the other end appears. */
  'link.opened': z.object({ link: z.string(), id: nodeId, dialled: z.boolean(), address: z.string() }),
  'link.closed': z.object({ link: z.string(), id: nodeId, why: z.string() }),
  /** The author of this record is a member, or has changed its record. Its signature was checked. */
  'record.merged': z.object({ record: recordSchema }),
  /** Its author may be dead; it stays a member until `record.dropped`, or is `record.cleared` by an answer. */
  'record.suspected': z.object({ id: nodeId }),
  'record.cleared': z.object({ id: nodeId }),
  /** `left`: its own farewell. `silent`: it answered nobody, this node included. `overSubnetQuota`: it gave way to another member. */
  'record.dropped': z.object({ id: nodeId, why: z.enum(['left', 'silent', 'overSubnetQuota']) }),
  /** This node's own record, newly signed, also at the start. */
  'record.ownSigned': z.object({ record: recordSchema, signed: z.object({ text: z.string(), signature: z.string() }) }),
  'record.described': answer({ text: z.string() }),
  'record.describeFailed': failed,
  /** A peer sees this node at `address`. */
  'gossip.selfAddressObserved': z.object({ address: z.string(), by: nodeId }),
  /** Another running node signs with this node's key, likely a copy of its home folder; there is only one in every table. */
  'gossip.identityConflict': z.object({ addresses: z.array(z.string()) }),
  /** A peer broke the protocol and is banned for a while. */
  'gossip.banned': z.object({ id: nodeId, why: z.string() }),
} as const satisfies FactSpecs

export type GossipEmits = FactsOf<typeof gossipFacts>

/** What the table follows of it. */
export type NetworkFact = Exclude<
  GossipEmits,
  { type: 'gossip.banned' | 'gossip.identityConflict' | 'record.described' | 'record.describeFailed' }
>

export type GossipAccepts =
  | GossipCommand
  | AddressDiscovered
  | SeedsListed
  | SelfAddressesChanged
  | SpecsChanged
  | NodeStopping
