import { PEERS_MAX, PROBE, TABLE_TICK_MS } from '../../protocol/defaults.ts'
import type { NetworkFact } from '../../protocol/gossip.ts'
import type { NodeId } from '../../protocol/ids.ts'
import type { NodeRecord } from '../../protocol/record.ts'
import { ADDRESSES_MAX, answer } from './peerChange.ts'
import { parsed, peerOf, type Row, rowAt, sameAddress } from './peerRow.ts'
import { type Change, evict, holderOf, isSelfAt, type Self, set, type Table } from './peerTable.ts'

/**
 * What gossip says, as changes of the table. Gossip knows who is alive; how near a peer is and whether it can be reached
 * from here, only a look of this node's own says.
 */

/** What one of its facts means for the table. */
export function hearOf({ table, self, now }: { table: Table; self: Self; now: number }, fact: NetworkFact): Change {
  switch (fact.type) {
    case 'record.learned':
      return learnRecord(table, fact.record, self)
    case 'record.doubted':
      return doubt(table, fact.id, now)
    case 'record.cleared':
      return clear(table, fact.id, now)
    case 'record.dropped':
      // One that gave way to others may well be alive: only gossip has no room for it.
      return fact.why === 'crowded' ? { table, said: [] } : drop(table, fact.id, now)
    case 'link.opened':
      // Where this node dialled, the dial itself has said who was there.
      return fact.dialled ? { table, said: [] } : dialledUs(table, fact.id, now)
    default:
      return { table, said: [] }
  }
}

/**
 * A node's record, whose signature was checked. It beats only older ones of the same author. It says where its author may
 * be, never that it answers here, and it takes no address from a peer that holds it: only a proof does (`meet`).
 */
export function learnRecord(table: Table, record: NodeRecord, self: Self): Change {
  const known = table.get(record.id)
  const nothing = { table, said: [] }
  if (record.id === self.id || (known && known.seq >= record.seq)) return nothing
  const next = new Map(table)
  if (!known && next.size >= PEERS_MAX && !evict(next)) return nothing
  const named = record.addresses.map(parsed).filter((at) => at !== undefined)
  const free = named.filter((at) => !isSelfAt(self, at) && (holderOf(next, at) ?? known) === known)
  // What was proved or named here stays, also where the author no longer says it.
  const kept = (known?.addresses ?? []).filter((at) => at.trusted || free.some((other) => sameAddress(at, other)))
  const fresh = free.filter((at) => !kept.some((other) => sameAddress(at, other)))
  const addresses = [...kept, ...fresh.map((at) => ({ ...at, provedAt: null, failedAt: null, trusted: false }))]
  const [first] = addresses
  if (!first) return nothing
  const fields = {
    NodeId: record.id,
    Name: record.name,
    PublicKey: record.key,
    CustomInformation: record.customInformation,
  }
  const before = known ?? rowAt(first, fields)
  const row: Row = {
    ...before,
    entry: { ...before.entry, ...fields },
    addresses: addresses.slice(0, ADDRESSES_MAX),
    seq: record.seq,
    machine: record.machine ?? null,
  }
  next.set(record.id, row.standing === 'dropped' ? risen(row) : row)
  return { table: next, said: [] }
}

/** Others doubt it, or this node's own look has failed. */
function doubt(table: Table, id: NodeId, now: number): Change {
  const row = table.get(id)
  if (row?.standing !== 'answering') return { table, said: [] }
  const doubted: Row = { ...row, standing: 'suspected' }
  return { table: set(table, doubted), said: [{ type: 'peer.suspected', peer: peerOf(doubted, now, TABLE_TICK_MS) }] }
}

/** It has denied its death, or has answered. */
function clear(table: Table, id: NodeId, now: number): Change {
  const row = table.get(id)
  if (row?.standing !== 'suspected') return { table, said: [] }
  const cleared: Row = { ...row, standing: 'answering', failures: 0 }
  return { table: set(table, cleared), said: [{ type: 'peer.recovered', peer: peerOf(cleared, now, TABLE_TICK_MS) }] }
}

/** It has said goodbye, or answers nobody. It is looked for now and then, as all that were dropped. */
function drop(table: Table, id: NodeId, now: number): Change {
  const row = table.get(id)
  if (!row || row.standing === 'dropped') return { table, said: [] }
  const dropped: Row = { ...row, standing: 'dropped', failures: PROBE.dropAfter, probedAt: now }
  return { table: set(table, dropped), said: [{ type: 'peer.gone', peer: peerOf(dropped, now, TABLE_TICK_MS) }] }
}

/** It dialled this node and proved its key: it is there, wherever it may be dialled. */
function dialledUs(table: Table, id: NodeId, now: number): Change {
  const row = table.get(id)
  return row ? answer(table, row, now, true) : { table, said: [] }
}

/** Others say that it is back, so it is listed and looked for. */
function risen(row: Row): Row {
  return { ...row, standing: 'unproved', failures: 0, probedAt: null }
}
