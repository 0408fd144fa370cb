import { z } from 'zod'
import type { CommandSpec, CommandsOf } from './control.ts'
import { answer, type FactSpecs, type FactsOf, failed } from './facts.ts'
import { nodeId } from './ids.ts'
import type { AddressDiscovered, SeedsListed, SelfAddressesChanged } from './ipTable.ts'
import { endpointSchema } from './net/endpointSchema.ts'
import type { NodeStopping } from './node.ts'
import type { RelayDhtChanged } from './relay.ts'
import type { SpecsChanged } from './specs.ts'
import type { TrustChanged } from './trust.ts'
import { recordSchema } from './wire/record.ts'

/** Path of the WebSocket of a link. It runs over mutual TLS only, with text frames and without compression. */
export const GOSSIP_PATH = '/api/v1/gossip'

/** Maximum length of the owner's free text, in UTF-16 code units. */
export const DESCRIPTION_MAX = 2_048

/**
 * The owner's free text. The schema keeps line breaks and tabs, and removes other control characters and lone
 * surrogates, because JSON needs six characters for each of them and the size of a record is limited.
 */
const description = z
  .string()
  .max(DESCRIPTION_MAX)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the expression removes them
  .transform((text) => text.replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, '').toWellFormed())

export const gossipCommands = {
  /**
   * Sets the owner's free text about this machine, which every node sees (P2PRC's `--amd`). An empty text removes it.
   */
  'record.describe': {
    schema: z.object({ text: description }),
    action: 'administer',
    terminalEvents: ['record.described', 'record.describeFailed'],
  },
} as const satisfies Record<string, CommandSpec>

export type GossipCommand = CommandsOf<typeof gossipCommands>

export const gossipFacts = {
  /** The concern has started, and knows no bootstrap address yet. */
  'gossip.started': z.object({}),
  /** An active or ephemeral link has opened. The peer has proved `id`, and appears to this node at `address`. */
  'link.opened': z.object({ link: z.string(), id: nodeId, dialled: z.boolean(), address: z.string() }),
  'link.closed': z.object({ link: z.string(), id: nodeId, why: z.string() }),
  /** A node has become a member, or a member says something new in its record, whose signature is valid. */
  'record.merged': z.object({ record: recordSchema }),
  /** A member may be dead. It stays a member until `record.dropped`; an answer leads to `record.cleared`. */
  'record.suspected': z.object({ id: nodeId }),
  'record.cleared': z.object({ id: nodeId }),
  /** A member was removed: it has `left`, was `silent` to all nodes until its timeout, was `overSubnetQuota`, or is `banned`. */
  'record.dropped': z.object({ id: nodeId, why: z.enum(['left', 'silent', 'overSubnetQuota', 'banned']) }),
  /**
   * This node has signed its own record anew, also at the start. The seq must be stored, because it may never decrease.
   */
  'record.ownSigned': z.object({ record: recordSchema, signed: z.object({ text: z.string(), signature: z.string() }) }),
  'record.described': answer({ text: z.string() }),
  'record.describeFailed': failed,
  /** This node appears to the peer `by` at `address`. */
  'gossip.selfAddressObserved': z.object({ address: z.string(), by: nodeId }),
  /**
   * Another running node signs with this node's key, probably from a copy of its home folder. A table can list only one
   * of them.
   */
  'gossip.identityConflict': z.object({ endpoints: z.array(endpointSchema) }),
  /** A peer has violated the protocol and is banned for a while. */
  'gossip.banned': z.object({ id: nodeId, why: z.string() }),
} as const satisfies FactSpecs

export type GossipEmits = FactsOf<typeof gossipFacts>

export type RecordMerged = Extract<GossipEmits, { type: 'record.merged' }>

/** The facts from which the IP table is updated. */
export type NetworkFact = Exclude<
  GossipEmits,
  { type: 'gossip.banned' | 'gossip.identityConflict' | 'record.described' | 'record.describeFailed' }
>

export type LinkFact = Extract<GossipEmits, { type: 'link.opened' | 'link.closed' }>

export type GossipAccepts =
  | GossipCommand
  | AddressDiscovered
  | SeedsListed
  | SelfAddressesChanged
  | SpecsChanged
  | RelayDhtChanged
  | TrustChanged
  | NodeStopping
