import type { ShortId, SignedRecord } from '../../protocol/wire/record.ts'
import type { GossipState, Suspicion, Tombstone } from './gossipState.ts'
import { getEntry, valuesOf } from './shardedMap.ts'

/**
 * What this node holds of another: a member that is alive, a member that may be dead, one that said goodbye, or one that
 * was removed as dead. The living lie in `members`, whose buckets are what a digest is made of; so what a suspicion says
 * lies beside them, and a change of it costs no hash.
 */
export type Member =
  | { readonly status: 'alive'; readonly signed: SignedRecord }
  | { readonly status: 'suspected'; readonly signed: SignedRecord; readonly suspicion: Suspicion }
  | Tombstone

export type MemberStatus = Member['status']

type Held = Pick<GossipState, 'members' | 'suspects' | 'tombstones'>

/** What is held of a node by its short id; undefined for one that was never heard of, or is forgotten. */
export function memberOf({ members, suspects, tombstones }: Held, short: ShortId): Member | undefined {
  const signed = getEntry(members, short)
  if (!signed) return getEntry(tombstones, short)
  const suspicion = suspects.get(short)
  return suspicion ? { status: 'suspected', signed, suspicion } : { status: 'alive', signed }
}

/** The same without its data. Allocates nothing. */
export function statusOf({ members, suspects, tombstones }: Held, short: ShortId): MemberStatus | undefined {
  if (!getEntry(members, short)) return getEntry(tombstones, short)?.status
  return suspects.has(short) ? 'suspected' : 'alive'
}

/** Whether somebody of this status counts as a member: it is in the table, and in its digest. */
export function isMember(status: MemberStatus | undefined): boolean {
  return status === 'alive' || status === 'suspected'
}

/** Everybody of whom something is held, this node included: those whose status is news first, then the living. */
export function* membersOf(state: Held): Generator<Member> {
  for (const { target } of state.suspects.values()) {
    const member = memberOf(state, target)
    if (member) yield member
  }
  yield* valuesOf(state.tombstones)
  for (const signed of valuesOf(state.members)) if (!state.suspects.has(signed.short)) yield { status: 'alive', signed }
}
