import { UNVERIFIED_MAX } from '../../protocol/defaults/ipTable.ts'
import { type IpTableFile, type LegacyFields, legacyFieldsOf, type TableEntry } from '../../protocol/files/ipTable.ts'
import type { UnverifiedPeer } from '../../protocol/ipTable.ts'
import { isNumeric, placeOf } from '../../protocol/net/endpoint.ts'
import { refusal } from '../../protocol/net/reachable.ts'
import { endpointOf, type Row, rowOf } from './peerRow.ts'
import { isSelfAt, type Self, type Table } from './peerTable.ts'

/**
 * Endpoints that anonymous callers named and that were not probed yet, the oldest first. Nothing about them is
 * trusted.
 */
export type Unverified = ReadonlyMap<string, UnverifiedPeer>

/** Returns the peers that the table of another node names. An entry behind a NAT without a reachable address has none. */
export function namedIn({ ip_address: entries }: IpTableFile): UnverifiedPeer[] {
  return entries
    .filter((entry) => !(entry.NAT && entry.EscapeImplementation === 'None'))
    .flatMap((entry) => {
      const fields = legacyFieldsOf(entry)
      return (rowOf(entry)?.endpoints ?? []).map((at) => ({ endpoint: endpointOf(at), fields }))
    })
}

/**
 * Adds endpoints that an anonymous caller named, if they are new and may be dialled, and leaves room for other
 * callers.
 */
export function addUnverified(
  unverified: Unverified,
  named: readonly UnverifiedPeer[],
  { table, self, test }: { table: Table; self: Self; test: boolean },
): Unverified {
  const known = new Set([...table.values()].flatMap((row) => row.endpoints.map(placeOf)))
  const perHost = new Map<string, number>()
  const next = new Map(unverified)
  for (const { endpoint } of next.values()) perHost.set(endpoint.host, (perHost.get(endpoint.host) ?? 0) + 1)
  for (const peer of named) {
    const { endpoint: at } = peer
    if (next.size >= UNVERIFIED_MAX.all) break
    const key = placeOf(at)
    const count = perHost.get(at.host) ?? 0
    if (known.has(key) || next.has(key) || count >= UNVERIFIED_MAX.perHost || isSelfAt(self, at)) continue
    // A host name is resolved, and its address checked, when it is dialled.
    if (isNumeric(at) && refusal(at.host, at.port, { test })) continue
    next.set(key, peer)
    perHost.set(at.host, count + 1)
  }
  return next
}

/**
 * Merges what a table says of peers without a key into their rows. Only gaps are filled, but a row at the host `from`,
 * which sent the table, takes what is said there: these are the peer's own words.
 */
export function mergeReported(table: Table, reported: readonly UnverifiedPeer[], from = ''): Table {
  if (!reported.some(({ fields }) => fields)) return table
  const legacy = new Map<string, string>()
  for (const row of table.values())
    if (!row.entry.NodeId) for (const at of row.endpoints) legacy.set(placeOf(at), row.key)
  let next: Map<string, Row> | undefined
  for (const { endpoint, fields } of reported) {
    const row = (next ?? table).get(legacy.get(placeOf(endpoint)) ?? '')
    if (!row || !fields) continue
    const entry = endpoint.host === from ? withFields(row.entry, fields) : withGapsFilled(row.entry, fields)
    if (Object.keys(fields).every((name) => entry[name] === row.entry[name])) continue
    next ??= new Map(table)
    next.set(row.key, { ...row, entry })
  }
  return next ?? table
}

/** Returns the entry with these fields, except that an empty text erases nothing. */
export function withFields(entry: TableEntry, fields: Partial<TableEntry>): TableEntry {
  return { ...entry, ...Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== '')) }
}

function withGapsFilled(entry: TableEntry, fields: LegacyFields): TableEntry {
  // Nothing is known of a peer that has no name, so its flags say nothing either.
  const isUnknown = entry.Name === ''
  const gaps = Object.entries(fields).filter(([name, value]) =>
    typeof value === 'boolean' ? isUnknown : entry[name] === '',
  )
  return { ...entry, ...Object.fromEntries(gaps) }
}
