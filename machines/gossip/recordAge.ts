import type { ShortId } from '../../protocol/wire/record.ts'
import { getEntry } from './shardedMap.ts'
import { linkTo, type Tx } from './tx.ts'

// The age of a record is the time since its author signed it, as far as this node knows. It is counted by the monotonic clock
// and travels with the record, so no clock needs to be set right, and no node makes an old record young again.

/** Returns the time at which a record of this age was signed, for `renewedAt`. */
export function signedAt({ state, now }: Tx, ageMs: number): number {
  return now - state.startedAt - ageMs
}

/** Returns the age of a member's record. */
export function recordAge({ state, now }: Tx, short: ShortId): number {
  const at = getEntry(state.renewedAt, short)
  return at === undefined ? 0 : now - state.startedAt - at
}

/** Returns the age with which a record is sent. A link proves that its author is alive, and a dead one is as old as can be. */
export function ageToSend(tx: Tx, short: ShortId): number {
  const { state } = tx
  if (linkTo(tx, short)) return 0
  return getEntry(state.tombstones, short)?.status === 'dead' ? state.config.maxRecordAgeMs : recordAge(tx, short)
}
