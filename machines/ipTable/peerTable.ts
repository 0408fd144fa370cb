import { PEERS_MAX, PROBE } from '../../protocol/defaults/ipTable.ts'
import type { IpTableFile, TableEntry } from '../../protocol/files/ipTable.ts'
import { FILE_VERSION } from '../../protocol/files/version.ts'
import type { NodeId } from '../../protocol/ids.ts'
import type { AddressDiscovered, IpTableEmits, Peer, SeedsListed } from '../../protocol/ipTable.ts'
import { type Endpoint, formatEndpoint, isPunched, isSameEndpoint, placeOf } from '../../protocol/net/endpoint.ts'
import { subnetOf } from '../../protocol/net/subnet.ts'
import { endpointOf, entryOf, type Row, rowAt, rowOf } from './peerRow.ts'

/**
 * The table and its changes, as pure functions. A node is identified by its key: a proved key takes an address from
 * the peer that had it before, and all addresses at which one key was proved belong to one peer. Peers without a key
 * (Go nodes) are identified by address and port. `now` is a count of ticks.
 */
export type Table = ReadonlyMap<string, Row>

/**
 * This node, which is never in its own table. If `addresses` contains 0.0.0.0 or ::, all loopback addresses are its
 * own.
 */
export interface Self {
  id: NodeId
  name: string
  port: number
  addresses: readonly string[]
  /** The addresses that may be advertised, best first. */
  advertisable: readonly string[]
  /** The owner's free text. */
  information: string
  /** Whether it lends ports to Go nodes, which have no key. */
  relaysToAll?: boolean
}

export type PeerFact = Extract<
  IpTableEmits,
  { type: 'peer.joined' | 'peer.recovered' | 'peer.suspected' | 'peer.gone' }
>

export interface Change {
  table: Table
  emitted: PeerFact[]
}

/** How long after its last answer a running node drops a peer. */
const ANSWERING_MS = PROBE.dropAfter * PROBE.intervalMs

/** When and how the process runs that reads the file. */
export interface LoadOptions {
  /** The time of tick 0, in milliseconds since 1970. */
  startedAt?: number
  /** Whether it watches the peers. One that does not takes those for answering that answered an earlier command lately. */
  watch?: boolean
}

export function loadTable(file: IpTableFile, self: Self, { startedAt, watch = true }: LoadOptions = {}): Table {
  const table = new Map<string, Row>()
  const holders = new Map<string, string>()
  const add = (entry: TableEntry, status: Row['status']) => {
    const row = rowOf(entry, status, startedAt)
    if (!row || isSelf(self, row) || table.size >= PEERS_MAX) return
    const holder = row.endpoints.map((at) => holders.get(placeOf(at))).find((key) => key !== undefined)
    const twin = table.get(row.key) ?? (holder === undefined ? undefined : table.get(holder))
    // Two keys are two nodes, even if both were seen at one address.
    const merged = twin && !(twin.entry.NodeId && row.entry.NodeId && twin.key !== row.key) ? mergeRows(twin, row) : row
    if (twin && merged !== row) table.delete(twin.key)
    table.set(merged.key, merged)
    for (const at of merged.endpoints) holders.set(placeOf(at), merged.key)
  }
  for (const entry of file.ip_address) {
    const isAnswering = !watch && startedAt !== undefined && startedAt - (entry.AnsweredAt ?? 0) < ANSWERING_MS
    add(entry, isAnswering ? 'answering' : 'unproved')
  }
  for (const entry of file.Dormant ?? []) add(entry, 'dropped')
  return table
}

/** Returns the whole table for the file. Fields of `previous` other than the entries are kept. */
export function fileOf(table: Table, previous: IpTableFile, startedAt: number): IpTableFile {
  const toEntry = (row: Row) => entryOf(row, startedAt)
  // Go cannot use an entry without an address.
  const rows = [...table.values()].filter(({ endpoints }) => endpoints.length > 0)
  const dormant = rows.filter(({ status }) => status === 'dropped').map(toEntry)
  const { Dormant: _dormant, ...rest } = previous
  return {
    ...rest,
    Version: FILE_VERSION,
    ip_address: rows.filter(({ status }) => status !== 'dropped').map(toEntry),
    ...(dormant.length > 0 && { Dormant: dormant }),
  }
}

export function countOf(table: Table): number {
  return [...table.values()].filter(({ status }) => status !== 'dropped').length
}

/** Adds an endpoint that the owner named. It may be in any range and is never evicted. */
export function addPeer(table: Table, endpoint: Endpoint): { table: Table; row: Row } {
  const known = findByAddress(table, endpoint)
  const row = known
    ? {
        ...known,
        entry: { ...known.entry, Added: true },
        endpoints: known.endpoints.map((other) =>
          isSameEndpoint(other, endpoint) ? { ...other, trusted: true } : other,
        ),
        status: known.status === 'dropped' ? ('unproved' as const) : known.status,
        failures: 0,
        probedAt: known.status === 'answering' ? known.probedAt : null,
      }
    : rowAt(endpoint, { Added: true })
  return { table: set(ensureCapacity(table, row.key), row), row }
}

/** Returns how gossip can reach a peer without a record: an address at which its key was proved. */
export function seedAddress(table: Table, { id }: Peer): AddressDiscovered | undefined {
  const row = id && table.get(id)
  if (!row || row.seq > 0) return undefined
  const trusted = row.endpoints.filter((at) => at.trusted)
  return trusted.length > 0 ? { type: 'peer.addressDiscovered', endpoints: trusted.map(endpointOf), id } : undefined
}

/** Returns the seeds of the network: addresses that the owner named or at which a key was proved. */
export function seedsOf(table: Table): SeedsListed['seeds'] {
  return [...table.values()].flatMap(({ endpoints, entry: { NodeId: id } }) => {
    const trusted = endpoints.filter((at) => at.trusted).map(endpointOf)
    return trusted.length > 0 ? [{ endpoints: trusted, ...(id && { id: id as NodeId }) }] : []
  })
}

/** Adds a public address before those of this machine's interfaces. */
export function withPublicAddress(self: Self, address: string | undefined): Self {
  if (!address) return self
  return { ...self, advertisable: [...new Set([address, ...self.advertisable])] }
}

export function isSelfAt(self: Pick<Self, 'port' | 'addresses'>, { host, port }: Endpoint): boolean {
  if (port !== self.port) return false
  const everywhere = self.addresses.includes('0.0.0.0') || self.addresses.includes('::')
  return self.addresses.includes(host) || (everywhere && /^(127\.|0\.|::1?$|localhost$)/.test(host))
}

/** Returns the peer at an endpoint; none at a punched one, which many peers share. */
export function findByAddress(table: Table, at: Endpoint): Row | undefined {
  if (isPunched(at)) return undefined
  for (const row of table.values()) if (row.endpoints.some((address) => isSameEndpoint(address, at))) return row
  return undefined
}

export function set(table: Table, row: Row): Table {
  return new Map(table).set(row.key, row)
}

/** Go writes its own row into the file of its home; its name, which has a random part, identifies it. */
function isSelf(self: Self, row: Row): boolean {
  const { NodeId, Name, Added } = row.entry
  if (NodeId) return NodeId === self.id || row.endpoints.some((address) => isSelfAt(self, address))
  return (Name === self.name && !Added) || row.endpoints.some((address) => isSelfAt(self, address))
}

/** Merges two rows of one peer: fields of the first take precedence, and the second fills the gaps. */
export function mergeRows(row: Row, other: Row): Row {
  const [main, second] = other.entry.NodeId && !row.entry.NodeId ? [other, row] : [row, other]
  const rest = second.endpoints.filter((address) => !main.endpoints.some((known) => isSameEndpoint(known, address)))
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

/** Makes room by removing the peer that has been silent longest, of equal ones one in the fullest subnet. Returns false if all peers answer. */
export function evict(table: Map<string, Row>): boolean {
  const subnetCounts = new Map<string, number>()
  const subnetNameOf = ({ endpoints: [first] }: Row) => subnetOf(first && formatEndpoint(first)).name
  for (const row of table.values()) {
    const subnet = subnetNameOf(row)
    subnetCounts.set(subnet, (subnetCounts.get(subnet) ?? 0) + 1)
  }
  const countOf = (row: Row) => subnetCounts.get(subnetNameOf(row)) ?? 0
  const silent = [...table.values()].filter((row) => row.status !== 'answering' && !row.entry.Added)
  const most = Math.max(...silent.map(({ failures }) => failures))
  const [worst] = silent.filter(({ failures }) => failures === most).sort((one, other) => countOf(other) - countOf(one))
  return worst !== undefined && table.delete(worst.key)
}
