import { PEERS_MAX, TABLE_TICK_MS } from '../../protocol/defaults/ipTable.ts'
import { type IpTableFile, newEntry, type TableEntry } from '../../protocol/files/ipTable.ts'
import { FILE_VERSION } from '../../protocol/files/version.ts'
import type { NodeId } from '../../protocol/ids.ts'
import type { AddressDiscovered, IpTableEmits, Peer, PeerAt, SeedsListed } from '../../protocol/ipTable.ts'
import { formatAddress } from '../../protocol/net/address.ts'
import { directEndpoint } from '../../protocol/net/endpoint.ts'
import { entryOf, peerOf, publicEntryOf, type Row, rowAt, rowOf, sameAddress } from './peerRow.ts'

/**
 * The table and every change to it, as pure functions. A node is its key: a proved key takes its address from whoever
 * had it before, and all addresses at which one key was proved are one peer. Peers without a key (Go's) are told apart
 * by address and port. `now` is a count of ticks.
 */
export type Table = ReadonlyMap<string, Row>

/** This node, which is never in its own table. `addresses` with 0.0.0.0 or :: stands for all of loopback too. */
export interface Self {
  id: NodeId
  name: string
  port: number
  addresses: readonly string[]
  /** Those of them that others may be told, best first. */
  advertisable: readonly string[]
  /** The owner's free text. */
  information: string
}

export type PeerFact = Extract<
  IpTableEmits,
  { type: 'peer.joined' | 'peer.recovered' | 'peer.suspected' | 'peer.gone' }
>

export interface Change {
  table: Table
  emitted: PeerFact[]
}

export function loadTable(file: IpTableFile, self: Self): Table {
  const table = new Map<string, Row>()
  const holders = new Map<string, string>()
  const put = (entry: TableEntry, status: Row['status']) => {
    const row = rowOf(entry, status)
    if (!row || isSelf(self, row) || table.size >= PEERS_MAX) return
    const holder = row.endpoints.map((at) => holders.get(formatAddress(at))).find((key) => key !== undefined)
    const twin = table.get(row.key) ?? (holder === undefined ? undefined : table.get(holder))
    // Two keys are two nodes, also where both were seen at one address.
    const merged = twin && !(twin.entry.NodeId && row.entry.NodeId && twin.key !== row.key) ? mergeRows(twin, row) : row
    if (twin && merged !== row) table.delete(twin.key)
    table.set(merged.key, merged)
    for (const at of merged.endpoints) holders.set(formatAddress(at), merged.key)
  }
  for (const entry of file.ip_address) put(entry, 'unproved')
  for (const entry of file.Dormant ?? []) put(entry, 'dropped')
  return table
}

/** The whole table for the file. `previous` keeps what the file said beside the entries. */
export function fileOf(table: Table, previous: IpTableFile): IpTableFile {
  // Go could do nothing with an entry without an address.
  const rows = [...table.values()].filter(({ endpoints }) => endpoints.length > 0)
  const dormant = rows.filter(({ status }) => status === 'dropped').map(entryOf)
  const { Dormant: _dormant, ...rest } = previous
  return {
    ...rest,
    Version: FILE_VERSION,
    ip_address: rows.filter(({ status }) => status !== 'dropped').map(entryOf),
    ...(dormant.length > 0 && { Dormant: dormant }),
  }
}

/** What an anonymous caller is told: this node first, then those that answered here. */
export function publicTableOf(table: Table, self: Self, now: number): IpTableFile {
  const { advertisable } = self
  const answered = [...table.values()].filter(
    (row) => row.status === 'answering' && row.answeredAt !== null && row.endpoints.length > 0,
  )
  const own = newEntry({
    Name: self.name,
    IPV4: advertisable.find((host) => !host.includes(':')) ?? '',
    IPV6: advertisable.find((host) => host.includes(':')) ?? '',
    ServerPort: String(self.port),
    CustomInformation: self.information,
  })
  const fresh = answered.sort((one, other) => (other.answeredAt ?? now) - (one.answeredAt ?? now))
  return { ip_address: [...(advertisable.length > 0 ? [own] : []), ...fresh.map(publicEntryOf)] }
}

/** Those that are listed, the nearest first, as ours and as P2PRC's table has them. */
export function listOf(
  table: Table,
  now: number,
  linked: ReadonlySet<string> = new Set(),
): { peers: Peer[]; entries: TableEntry[] } {
  const listed = [...table.values()].filter(({ status }) => status !== 'dropped')
  const pairs = listed.map((row) => ({
    peer: peerOf(row, now, TABLE_TICK_MS, linked.has(row.key)),
    entry: entryOf(row),
  }))
  pairs.sort((one, other) => byLatency(one.peer, other.peer))
  return { peers: pairs.map(({ peer }) => peer), entries: pairs.map(({ entry }) => entry) }
}

export function countOf(table: Table): number {
  return [...table.values()].filter(({ status }) => status !== 'dropped').length
}

/** The owner names an address. It may lie in any range and is never forgotten. */
export function addPeer(table: Table, at: PeerAt): { table: Table; row: Row } {
  const address = directEndpoint(at)
  const known = findByAddress(table, address)
  const row = known
    ? {
        ...known,
        entry: { ...known.entry, Added: true },
        addresses: known.endpoints.map((other) => (sameAddress(other, address) ? { ...other, trusted: true } : other)),
        status: known.status === 'dropped' ? ('unproved' as const) : known.status,
        failures: 0,
        probedAt: known.status === 'answering' ? known.probedAt : null,
      }
    : rowAt(address, { Added: true })
  return { table: set(ensureCapacity(table, row.key), row), row }
}

/** How gossip reaches a peer of which it has no record: at an address where its key was proved. */
export function seedAddress(table: Table, { id }: Peer): AddressDiscovered | undefined {
  const row = id && table.get(id)
  if (!row || row.seq > 0) return undefined
  const trusted = row.endpoints.filter((at) => at.trusted)
  return trusted.length > 0 ? { type: 'peer.addressDiscovered', addresses: trusted.map(formatAddress), id } : undefined
}

/** The ways into the network that the table holds: addresses that the owner named, or at which a key was proved. */
export function seedsOf(table: Table): SeedsListed['seeds'] {
  return [...table.values()].flatMap(({ endpoints, entry: { NodeId: id } }) => {
    const trusted = endpoints.filter((at) => at.trusted).map(formatAddress)
    return trusted.length > 0 ? [{ addresses: trusted, ...(id && { id: id as NodeId }) }] : []
  })
}

/** A public address goes before those of this machine's interfaces. */
export function withPublicAddress(self: Self, address: string | undefined): Self {
  if (!address) return self
  return { ...self, advertisable: [...new Set([address, ...self.advertisable])] }
}

export function isSelfAt(self: Pick<Self, 'port' | 'addresses'>, { host, port }: PeerAt): boolean {
  if (port !== self.port) return false
  const everywhere = self.addresses.includes('0.0.0.0') || self.addresses.includes('::')
  return self.addresses.includes(host) || (everywhere && /^(127\.|0\.|::1?$|localhost$)/.test(host))
}

export function findByAddress(table: Table, at: PeerAt): Row | undefined {
  for (const row of table.values()) if (row.endpoints.some((address) => sameAddress(address, at))) return row
  return undefined
}

export function set(table: Table, row: Row): Table {
  return new Map(table).set(row.key, row)
}

function isSelf(self: Self, row: Row): boolean {
  return row.entry.NodeId === self.id || row.endpoints.some((address) => isSelfAt(self, address))
}

/** Two rows that are one peer: what the first says stands, the second fills in. */
export function mergeRows(row: Row, other: Row): Row {
  const [main, second] = other.entry.NodeId && !row.entry.NodeId ? [other, row] : [row, other]
  const rest = second.endpoints.filter((address) => !main.endpoints.some((known) => sameAddress(known, address)))
  return {
    ...main,
    entry: { ...second.entry, ...main.entry, Added: main.entry.Added || second.entry.Added },
    endpoints: [...main.endpoints, ...rest],
  }
}

function ensureCapacity(table: Table, key: string): Table {
  if (table.has(key) || table.size < PEERS_MAX) return table
  const next = new Map(table)
  evict(next)
  return next
}

/** Makes room by forgetting the peer that has been silent longest. False where all answer. */
export function evict(table: Map<string, Row>): boolean {
  const silent = [...table.values()].filter((row) => row.status !== 'answering' && !row.entry.Added)
  const worst = silent.sort((one, other) => other.failures - one.failures)[0]
  return worst !== undefined && table.delete(worst.key)
}

function byLatency(one: Peer, other: Peer): number {
  const rank = (peer: Peer) => peer.latencyNs ?? Number.POSITIVE_INFINITY
  return rank(one) - rank(other) || one.name.localeCompare(other.name) || at(one).localeCompare(at(other))
}

function at(peer: Peer): string {
  return peer.endpoints[0] ? formatAddress(peer.endpoints[0]) : ''
}
