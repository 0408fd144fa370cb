import { PEERS_MAX, PROBE, TABLE_TICK_MS } from '../../protocol/defaults/ipTable.ts'
import { newEntry } from '../../protocol/files/ipTable.ts'
import type { NetworkFact } from '../../protocol/gossip.ts'
import type { NodeId } from '../../protocol/ids.ts'
import { isPunched, isSameEndpoint, parseEndpoints, placeOf } from '../../protocol/net/endpoint.ts'
import { type NodeRecord, relaysTo, showsDomains } from '../../protocol/wire/record.ts'
import { ADDRESSES_MAX, markAnswering } from './peerChange.ts'
import { newRow, parsed, peerOf, type Row, untried } from './peerRow.ts'
import { type Change, evict, isSelfAt, type Self, set, type Table } from './peerTable.ts'

/**
 * Applies facts of the gossip to the table. Gossip knows which nodes are alive; only this node's own probe measures
 * how near a peer is and whether it can be reached from here.
 */

/** The node at the other end of each open link, and the host from which it opened the link, if it did. */
export type Links = ReadonlyMap<string, { id: NodeId; host?: string }>

interface TableState {
  table: Table
  self: Self
  now: number
  links: Links
}

/** Applies one fact of the gossip to the table. */
export function onGossipFact({ table, self, now, links }: TableState, fact: NetworkFact): Change {
  switch (fact.type) {
    case 'record.merged': {
      const { table: merged } = mergeRecord(table, fact.record, self)
      const { id } = fact.record
      // The link was open before the record arrived.
      return linkedTo(links).has(id)
        ? provedOverLink(withLinkHost(merged, id, links), id, now)
        : { table: merged, emitted: [] }
    }
    case 'record.suspected':
      return suspect(table, fact.id, now)
    case 'record.cleared':
      return clear(table, fact.id, now)
    case 'record.dropped':
      // A member that was evicted for the subnet quota may be alive; only the gossip has no room for it.
      return fact.why === 'overSubnetQuota' ? unconfirmed(table, fact.id, now) : drop(table, fact.id, now)
    case 'link.opened':
      return provedOverLink(withLinkHost(table, fact.id, links), fact.id, now)
    case 'link.closed':
      // A node that has closed a link was alive a moment ago, unless silence or loss closed it.
      return fact.why !== 'silent' && fact.why !== 'lost' && table.get(fact.id)?.status === 'answering'
        ? provedOverLink(table, fact.id, now)
        : { table, emitted: [] }
    default:
      return { table, emitted: [] }
  }
}

/** Returns the links after this fact. */
export function updateLinks(links: Links, fact: NetworkFact): Links {
  if (fact.type === 'link.opened') {
    const host = fact.dialled ? undefined : parsed(fact.address)?.host
    return new Map(links).set(fact.link, { id: fact.id, ...(host && { host }) })
  }
  if (fact.type === 'link.closed') return new Map([...links].filter(([link]) => link !== fact.link))
  return links
}

export function linkedTo(links: Links): ReadonlySet<NodeId> {
  return new Set([...links.values()].map(({ id }) => id))
}

/**
 * Handles a crash of the gossip: peers that it confirmed are probed again, and peers that cannot be dialled are
 * removed.
 */
export function onGossipLost(table: Table): Change {
  const rows = [...table.values()].filter(({ endpoints }) => endpoints.length > 0)
  return { table: new Map(rows.map((row) => [row.key, { ...row, alive: false }])), emitted: [] }
}

/**
 * Merges a node's record, whose signature was verified. It replaces only older records of the same author. It says
 * where its author may be, not that it answers here. An address at which another node was proved stays with that node
 * until another key is proved there (`keyProved`).
 */
function mergeRecord(table: Table, record: NodeRecord, self: Self): Change {
  const known = table.get(record.id)
  const nothing = { table, emitted: [] }
  if (record.id === self.id || (known && known.seq > record.seq)) return nothing
  if (known?.seq === record.seq) return { table: known.alive ? table : set(table, rejoined(known)), emitted: [] }
  const next = new Map(table)
  if (!known && next.size >= PEERS_MAX && !evict(next)) return nothing
  const held = claimedByOthers(next, record.id)
  const named = parseEndpoints(record.endpoints).filter((at) => !isSelfAt(self, at) && !held.has(placeOf(at)))
  // Endpoints that were proved or named here stay, even if the author no longer lists them.
  const kept = (known?.endpoints ?? []).flatMap((at) => {
    const kind = named.find((other) => isSameEndpoint(at, other))?.kind
    return kind ? { ...at, kind } : at.trusted ? at : []
  })
  const fresh = named.filter((at) => !kept.some((other) => isSameEndpoint(at, other)))
  const endpoints = [...kept, ...fresh.map((at) => untried(at))]
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
    relays: relaysTo(record.capabilities),
    showsDomains: showsDomains(record.capabilities),
  }
  next.set(record.id, rejoined(row))
  return { table: next, emitted: [] }
}

/** Returns the addresses at which the key of another node was proved, or which the owner named for it. */
function claimedByOthers(table: Table, id: NodeId): ReadonlySet<string> {
  const held = new Set<string>()
  for (const row of table.values())
    if (row.key !== id)
      for (const at of row.endpoints) if ((at.trusted || at.provedAt !== null) && !isPunched(at)) held.add(placeOf(at))
  return held
}

/** Suspects a peer: other nodes suspect it, or this node's own probe has failed. */
function suspect(table: Table, id: NodeId, now: number): Change {
  const row = table.get(id)
  if (!row) return { table, emitted: [] }
  const suspected: Row = { ...row, alive: false, status: row.status === 'answering' ? 'suspected' : row.status }
  const peer = peerOf(suspected, now, TABLE_TICK_MS)
  return { table: set(table, suspected), emitted: row.status === 'answering' ? [{ type: 'peer.suspected', peer }] : [] }
}

/** Clears a suspicion: the peer has refuted it or has answered. */
function clear(table: Table, id: NodeId, now: number): Change {
  const row = table.get(id)
  if (!row) return { table, emitted: [] }
  const cleared = { ...rejoined(row), status: row.status === 'suspected' ? ('answering' as const) : row.status }
  const peer = peerOf(cleared, now, TABLE_TICK_MS)
  return { table: set(table, cleared), emitted: row.status === 'suspected' ? [{ type: 'peer.recovered', peer }] : [] }
}

/** Drops a peer that has left or answers nobody. Like all dropped peers, it is still probed at times. */
function drop(table: Table, id: NodeId, now: number): Change {
  const row = table.get(id)
  if (!row || row.status === 'dropped') return { table, emitted: [] }
  const dropped: Row = { ...row, alive: false, status: 'dropped', failures: PROBE.dropAfter, probedAt: now }
  const next = new Map(table)
  if (row.endpoints.length > 0) next.set(row.key, dropped)
  else next.delete(row.key)
  return { table: next, emitted: [{ type: 'peer.gone', peer: peerOf(dropped, now, TABLE_TICK_MS) }] }
}

/** Marks a peer as answering, because it has proved its key over a link, whatever its endpoints are. */
function provedOverLink(table: Table, id: NodeId, now: number): Change {
  const row = table.get(id)
  return row ? markAnswering(table, row, now, true) : { table, emitted: [] }
}

/** Notes where a peer is that has opened a link: of the addresses that it advertises, the one there is the likeliest. */
function withLinkHost(table: Table, id: NodeId, links: Links): Table {
  const row = table.get(id)
  const linkHost = [...links.values()].find((link) => link.id === id && link.host)?.host
  return row && linkHost ? set(table, { ...row, linkHost }) : table
}

/** Gossip has no room for a peer any more. From now on only probes find out whether it is alive, which need an endpoint. */
function unconfirmed(table: Table, id: NodeId, now: number): Change {
  const row = table.get(id)
  if (row?.endpoints.length === 0) return drop(table, id, now)
  return { table: row ? set(table, { ...row, alive: false }) : table, emitted: [] }
}

/** Returns the row of a peer that gossip reports alive. A dropped peer is listed again and probed. */
function rejoined(row: Row): Row {
  const back = row.status === 'dropped' && { status: 'unproved' as const, probedAt: null }
  return { ...row, alive: true, failures: 0, ...back }
}
