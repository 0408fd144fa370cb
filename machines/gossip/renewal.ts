import { remove } from './membership.ts'
import { recordAge, signedAt } from './recordAge.ts'
import { getEntry, SHARD_COUNT } from './shardedMap.ts'
import { activeLinks, linkTo, queueSuspicion, random, type Tx } from './tx.ts'

// Proof of life. Anybody can sign records with keys that belong to no node, and nobody can probe those without an address. So
// a record is valid for a while only: the peers that are linked to its author ask for a newer one in time, and a member whom
// nobody asks expires on all nodes.

/** The chance that a peer is asked in one round, so that its other peers rarely ask at the same time. */
const ASK_CHANCE = 1 / 16

/** Maximum number of members that expire in a round, because each of them is a change of the IP table. */
const MAX_EXPIRED = 64

/** Once a round: asks linked peers whose record has grown old for a newer one, and removes members whose record has expired. */
export function renewMembers(tx: Tx): void {
  const { self, members, renewedAt, config } = tx.state
  for (const { id, peer } of activeLinks(tx)) {
    const seq = getEntry(members, peer)?.record.seq
    // A suspicion makes its subject sign a newer record. It goes to nobody else.
    if (seq && recordAge(tx, peer) >= config.renewIntervalMs && random(tx) < ASK_CHANCE)
      queueSuspicion(tx, id, [peer, seq, self.short])
  }
  const oldest = signedAt(tx, config.maxRecordAgeMs)
  let expired = 0
  for (const [short, at] of renewedAt.shards[shardOfRound(tx)] ?? []) {
    if (at > oldest || linkTo(tx, short)) continue
    remove(tx, short, 'silent')
    expired += 1
    if (expired === MAX_EXPIRED) return
  }
}

/** One shard a round: looking at every member in each would be most of what an idle node does in a large network. */
function shardOfRound({ state, now }: Tx): number {
  return Math.floor((now - state.startedAt) / state.config.roundMs) % SHARD_COUNT
}
