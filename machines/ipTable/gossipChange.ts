import { PEERS_MAX, PROBE, TABLE_TICK_MS } from '../../protocol/defaults/ipTable.ts'
import { newEntry } from '../../protocol/files/ipTable.ts'
import type { NetworkFact } from '../../protocol/gossip.ts'
import type { NodeId } from '../../protocol/ids.ts'
import { formatAddress } from '../../protocol/net/address.ts'
import { parseEndpoints } from '../../protocol/net/endpoint.ts'
import type { NodeRecord } from '../../protocol/wire/record.ts'
import { ADDRESSES_MAX, markAnswering } from './peerChange.ts'
import { newRow, peerOf, type Row, sameAddress } from './peerRow.ts'
import { type Change, evict, isSelfAt, type Self, set, type Table } from './peerTable.ts'

/**
 * What gossip says, as changes of the table. Gossip knows who is alive; how near a peer is and whether it can be reached
 * from here, only a look of this node's own says.
 */

/** The open links: whose each is. */
export type Links = ReadonlyMap<string, NodeId>

interface TableState {
  table: Table
  self: Self
  now: number
  links: Links
}

/** What one of its facts means for the table. */
export function onGossipFact({ table, self, now, links }: TableState, fact: NetworkFact): Change {
  switch (fact.type) {
    case 'record.merged': {
      const { table: merged } = mergeRecord(table, fact.record, self)
      const { id } = fact.record
      // The link stood before its record came.
      return linkedTo(links).has(id) ? provedOverLink(merged, id, now) : { table: merged, emitted: [] }
    }
    case 'record.suspected':
      return suspect(table, fact.id, now)
    case 'record.cleared':
      return clear(table, fact.id, now)
    case 'record.dropped':
      // One that gave way to others may well be alive: only gossip has no room for it.
      return fact.why === 'overSubnetQuota' ? unconfirmed(table, fact.id) : drop(table, fact.id, now)
    case 'link.opened':
      return provedOverLink(table, fact.id, now)
    case 'link.closed':
      // Until a moment ago it spoke, unless that is why.
      return fact.why !== 'silent' && fact.why !== 'lost' && table.get(fact.id)?.status === 'answering'
        ? provedOverLink(table, fact.id, now)
        : { table, emitted: [] }
    default:
      return { table, emitted: [] }
  }
}

/** The links as they are after this fact. */
export function updateLinks(links: Links, fact: NetworkFact): Links {
  if (fact.type === 'link.opened') return new Map(links).set(fact.link, fact.id)
  if (fact.type === 'link.closed') return new Map([...links].filter(([link]) => link !== fact.link))
  return links
}

export function linkedTo(links: Links): ReadonlySet<NodeId> {
  return new Set(links.values())
}

/** Gossip has crashed: whom it vouched for is looked at again, and who cannot be dialled is not known any more. */
export function onGossipLost(table: Table): Change {
  const rows = [...table.values()].filter(({ endpoints }) => endpoints.length > 0)
  return { table: new Map(rows.map((row) => [row.key, { ...row, alive: false }])), emitted: [] }
}

/**
 * A node's record, whose signature was checked. It beats only older ones of the same author. It says where its author may
 * be, never that it answers here. An address that others were proved at is not taken from them: only a proof does (`keyProved`).
 */
function mergeRecord(table: Table, record: NodeRecord, self: Self): Change {
  const known = table.get(record.id)
  const nothing = { table, emitted: [] }
  if (record.id === self.id || (known && known.seq > record.seq)) return nothing
  if (known?.seq === record.seq) return { table: known.alive ? table : set(table, rejoined(known)), emitted: [] }
  const next = new Map(table)
  if (!known && next.size >= PEERS_MAX && !evict(next)) return nothing
  const held = claimedByOthers(next, record.id)
  const named = parseEndpoints(record.endpoints).filter((at) => !isSelfAt(self, at) && !held.has(formatAddress(at)))
  // What was proved or named here stays, also where the author no longer says it.
  const kept = (known?.endpoints ?? []).filter((at) => at.trusted || named.some((other) => sameAddress(at, other)))
  const fresh = named.filter((at) => !kept.some((other) => sameAddress(at, other)))
  const endpoints = [...kept, ...fresh.map((at) => ({ ...at, provedAt: null, failedAt: null, trusted: false }))]
  const fields = {
    NodeId: record.id,
    Name: record.name,
    PublicKey: record.key,
    CustomInformation: record.customInformation,
  }
  const before = known ?? newRow(record.id, newEntry(fields), [])
  const row: Row = {
    ...before,
    entry: { ...before.entry, ...fields },
    endpoints: endpoints.slice(0, ADDRESSES_MAX),
    seq: record.seq,
    machine: record.machine ?? null,
  }
  next.set(record.id, rejoined(row))
  return { table: next, emitted: [] }
}

/** Addresses at which the key of another node was proved, or that the owner named. */
function claimedByOthers(table: Table, id: NodeId): ReadonlySet<string> {
  const held = new Set<string>()
  for (const row of table.values())
    if (row.key !== id)
      for (const at of row.endpoints) if (at.trusted || at.provedAt !== null) held.add(formatAddress(at))
  return held
}

/** Others suspect it, or this node's own probe has failed. */
function suspect(table: Table, id: NodeId, now: number): Change {
  const row = table.get(id)
  if (!row) return { table, emitted: [] }
  const suspected: Row = { ...row, alive: false, status: row.status === 'answering' ? 'suspected' : row.status }
  const peer = peerOf(suspected, now, TABLE_TICK_MS)
  return { table: set(table, suspected), emitted: row.status === 'answering' ? [{ type: 'peer.suspected', peer }] : [] }
}

/** It has refuted its death, or has answered. */
function clear(table: Table, id: NodeId, now: number): Change {
  const row = table.get(id)
  if (!row) return { table, emitted: [] }
  const cleared = { ...rejoined(row), status: row.status === 'suspected' ? ('answering' as const) : row.status }
  const peer = peerOf(cleared, now, TABLE_TICK_MS)
  return { table: set(table, cleared), emitted: row.status === 'suspected' ? [{ type: 'peer.recovered', peer }] : [] }
}

/** It has said goodbye, or answers nobody. It is looked for now and then, as all that were dropped. */
function drop(table: Table, id: NodeId, now: number): Change {
  const row = table.get(id)
  if (!row || row.status === 'dropped') return { table, emitted: [] }
  const dropped: Row = { ...row, alive: false, status: 'dropped', failures: PROBE.dropAfter, probedAt: now }
  const next = new Map(table)
  if (row.endpoints.length > 0) next.set(row.key, dropped)
  else next.delete(row.key)
  return { table: next, emitted: [{ type: 'peer.gone', peer: peerOf(dropped, now, TABLE_TICK_MS) }] }
}

/** It has proved its key over a link, wherever it may be dialled. */
function provedOverLink(table: Table, id: NodeId, now: number): Change {
  const row = table.get(id)
  return row ? markAnswering(table, row, now, true) : { table, emitted: [] }
}

function unconfirmed(table: Table, id: NodeId): Change {
  const row = table.get(id)
  return { table: row ? set(table, { ...row, alive: false }) : table, emitted: [] }
}

/** Gossip says that it lives; one that was dropped is listed again, and looked for. */
function rejoined(row: Row): Row {
  const back = row.status === 'dropped' && { status: 'unproved' as const, probedAt: null }
  return { ...row, alive: true, failures: 0, ...back }
}
