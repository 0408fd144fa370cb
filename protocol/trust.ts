import { z } from 'zod'
import type { CommandSpec, CommandsOf } from './control.ts'
import { answer, type FactSpecs, type FactsOf, failed } from './facts.ts'
import { nodeId } from './ids.ts'
import type { RequestFact } from './request.ts'

/** The owner's name for a peer. */
const peerName = z.string().regex(/^\P{Cc}{0,128}$/u, 'at most 128 characters, no control characters')

export const trustCommands = {
  'trust.add': {
    /** `key` is one line with an OpenSSH public key. Without a `name`, the comment of the key is the name. */
    schema: z.object({ key: z.string().min(1).max(16_384), name: peerName.default('') }),
    action: 'administer',
    terminalEvents: ['trust.added', 'trust.addFailed'],
  },
  'trust.remove': {
    /** `who` is a name, a public key, a node id or the beginning of one. */
    schema: z.object({ who: z.string().min(1).max(16_384) }),
    action: 'administer',
    terminalEvents: ['trust.removed', 'trust.removeFailed'],
  },
  'trust.list': { schema: z.object({}), action: 'administer', terminalEvents: ['trust.listed'] },
} as const satisfies Record<string, CommandSpec>

/** A peer that the owner allows to borrow. */
const trustedPeer = z.object({
  id: nodeId,
  name: z.string(),
  /** `ssh-ed25519 AAAA…`, without a comment. */
  key: z.string(),
})

export type TrustedPeer = z.infer<typeof trustedPeer>

export const trustFacts = {
  'trust.added': answer({ peer: trustedPeer }),
  'trust.addFailed': failed,
  'trust.removed': answer({ peer: trustedPeer }),
  'trust.removeFailed': failed,
  'trust.listed': answer({ peers: z.array(trustedPeer) }),
  /** The listeners pass these ids to `isAuthorized`. Emitted at the start and at every change. */
  'trust.changed': z.object({ trusted: z.array(nodeId) }),
} as const satisfies FactSpecs

export type TrustEmits = FactsOf<typeof trustFacts>

export type TrustChanged = Extract<TrustEmits, { type: 'trust.changed' }>

export type TrustCommand = CommandsOf<typeof trustCommands>

export type TrustAccepts = TrustCommand | RequestFact
