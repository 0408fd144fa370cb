import { PEERS_MAX, PROBE, TABLE_TICK_MS } from '../../protocol/defaults/ipTable.ts'
import type { TableEntry } from '../../protocol/files/ipTable.ts'
import { type Endpoint, isPunched, isSameEndpoint } from '../../protocol/net/endpoint.ts'
import type { Contact, Observation } from './ipTablePorts.ts'
import { type KnownEndpoint, peerOf, type Row, rowAt, untried } from './peerRow.ts'
import {
  type Change,
  evict,
  findByAddress,
  isSelfAt,
  mergeRows,
  type PeerFact,
  type Self,
  set,
  type Table,
} from './peerTable.ts'
import { withFields } from './unverified.ts'

/**
 * The number of addresses kept for one peer. No honest machine names more, and one that moved this often is found at
 * the newest address.
 */
export const ADDRESSES_MAX = 16

/** Records that node `id` proved its key at an address. */
export function keyProved(table: Table, contact: Contact, self: Self, now: number): Change {
  const at = contact.endpoint
  const emitted: PeerFact[] = []
  const next = new Map(table)
  let row = contact.id === self.id ? undefined : next.get(contact.id)
  for (const other of table.values()) {
    if (isPunched(at) || other === row || !other.endpoints.some((address) => isSameEndpoint(address, at))) continue
    if (contact.id !== self.id && !other.entry.NodeId) {
      next.delete(other.key)
      row = row ? mergeRows(row, other) : other
    } else if (!removeAddress(next, other, at) && other.status !== 'dropped') {
      // The address belongs to another node now, and the former owner has no other address.
      emitted.push({ type: 'peer.gone', peer: peerOf(other, now, TABLE_TICK_MS) })
    }
  }
  if (contact.id === self.id) return { table: next, emitted }
  const before = row ?? rowAt(at)
  if (!row && next.size >= PEERS_MAX && !evict(next)) return { table: next, emitted }
  next.delete(before.key)
  // Only the record says of which kind an address is that somebody typed or observed.
  const kind = before.endpoints.find((address) => isSameEndpoint(address, at))?.kind ?? at.kind
  const proved: KnownEndpoint = { ...at, kind, provedAt: now, failedAt: null, trusted: true }
  const known: Row = {
    ...before,
    key: contact.id,
    entry: { ...before.entry, NodeId: contact.id, Name: contact.name, PublicKey: contact.key },
    endpoints: [proved, ...before.endpoints.filter((address) => !isSameEndpoint(address, at))].slice(0, ADDRESSES_MAX),
  }
  const change = markAnswering(next, known, now, row?.entry.NodeId === contact.id)
  return { table: change.table, emitted: [...emitted, ...change.emitted] }
}

/** What is known of a peer without a key: where it answered, what it said of itself, and its other endpoint. */
export interface LegacyContact {
  at: Endpoint
  fields?: Partial<TableEntry>
  also?: readonly Endpoint[]
}

/** Records that a peer without a key answered, whether it is known or may join. */
export function legacyAnswered(table: Table, found: LegacyContact, self: Self, now: number): Change {
  const { at } = found
  const nothing = { table, emitted: [] }
  if (isSelfAt(self, at)) return nothing
  const known = findByAddress(table, at)
  // A key was proved at this address. An answer over plain HTTP is ignored until that node has been dropped.
  if (known?.entry.NodeId && known.status !== 'dropped') return nothing
  const next = new Map(table)
  if (known?.entry.NodeId) removeAddress(next, known, at)
  const before = known && !known.entry.NodeId ? known : rowAt(at, found.fields)
  if (before !== known && next.size >= PEERS_MAX && !evict(next)) return nothing
  const proved = before.endpoints.map((address) =>
    isSameEndpoint(address, at) ? { ...address, provedAt: now, failedAt: null } : address,
  )
  const also = (found.also ?? []).filter((other) => !findByAddress(next, other) && !isSelfAt(self, other))
  const added = also
    .filter((other) => !proved.some((address) => isSameEndpoint(address, other)))
    .map((other) => untried(other))
  const row = { ...before, entry: withFields(before.entry, found.fields ?? {}), endpoints: [...proved, ...added] }
  return markAnswering(next, row, now, before === known)
}

/** Records that a probe got no answer at any endpoint. */
export function probeFailed(table: Table, key: string, now: number): Change {
  const row = table.get(key)
  if (!row) return { table, emitted: [] }
  const endpoints = row.endpoints.map((address) => ({ ...address, failedAt: now }))
  // A peer that is alive but cannot be dialled, as behind a NAT, is neither suspected nor dropped.
  if (row.alive) return { table: set(table, { ...row, endpoints, probedAt: now }), emitted: [] }
  const failures = row.failures + 1
  const dropped = failures >= PROBE.dropAfter
  if (row.status === 'dropped' && failures >= PROBE.forgetAfter && !row.entry.Added) {
    const next = new Map(table)
    next.delete(key)
    return { table: next, emitted: [] }
  }
  const status = dropped ? 'dropped' : row.status === 'answering' ? 'suspected' : row.status
  const changed: Row = { ...row, status, failures, endpoints, probedAt: now }
  const peer = peerOf(changed, now, TABLE_TICK_MS)
  const emitted: PeerFact[] = []
  if (status === 'suspected' && row.status !== 'suspected') emitted.push({ type: 'peer.suspected', peer })
  if (dropped && row.status !== 'dropped') emitted.push({ type: 'peer.gone', peer })
  return { table: set(table, changed), emitted }
}

/** Adds an observation of this node to the peer at an address. */
export function addObservation(
  { table, emitted }: Change,
  at: Endpoint,
  observation: Observation,
  now: number,
): Change {
  const row = findByAddress(table, at)
  const { latencyNs, download, upload, specs = row?.specs ?? null } = observation
  if (!row || Object.keys(observation).length === 0) return { table, emitted }
  const entry = {
    ...row.entry,
    ...(latencyNs !== undefined && { Latency: latencyNs }),
    ...(download !== undefined && { Download: download }),
    ...(upload !== undefined && { Upload: upload }),
  }
  const measuredAt = latencyNs === undefined ? row.measuredAt : now
  return { table: set(table, { ...row, entry, specs, measuredAt }), emitted }
}

/** Marks a row as answering now. `known`: the row is not new, so no join is reported. */
export function markAnswering(table: Table, row: Row, now: number, known: boolean): Change {
  const answered: Row = { ...row, status: 'answering', answeredAt: now, probedAt: now, failures: 0 }
  const peer = peerOf(answered, now, TABLE_TICK_MS)
  const changed = set(table, answered)
  if (known && row.status === 'answering') return { table: changed, emitted: [] }
  return {
    table: changed,
    emitted: [{ type: row.status === 'suspected' ? 'peer.recovered' : 'peer.joined', peer }],
  }
}

/** Removes an address from a row. Returns false if it was the only one, so that the row was removed too. */
function removeAddress(table: Map<string, Row>, row: Row, at: Endpoint): boolean {
  const endpoints = row.endpoints.filter((address) => !isSameEndpoint(address, at))
  if (endpoints.length > 0) table.set(row.key, { ...row, endpoints })
  else table.delete(row.key)
  return endpoints.length > 0
}
