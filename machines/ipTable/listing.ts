import { TABLE_PAGE_MAX_CHARS, TABLE_TICK_MS } from '../../protocol/defaults/ipTable.ts'
import type { IpTableEmits } from '../../protocol/ipTable.ts'
import { formatEndpoint } from '../../protocol/net/endpoint.ts'
import { linkedTo } from './gossipChange.ts'
import type { Context } from './ipTableContext.ts'
import { entryOf, peerOf, type Row } from './peerRow.ts'
import { publicEntryOf, publicRows } from './publicTable.ts'

/**
 * Lists of the table, page by page, so that no message on the bus or to a reader grows with the table. The rows are
 * those of the moment when the list was requested; they are rendered when their page is.
 */
export interface Listing {
  command: 'peer.list' | 'table.show'
  rows: readonly Row[]
  /** The number of rows that were published. */
  offset: number
}

/** Begins the list that a command asks for. */
export function listingOf(command: Listing['command'], { table, self, now }: Context): Listing {
  const rows = command === 'peer.list' ? nearestFirst(table.values()) : publicRows(table, self, now)
  return { command, rows, offset: 0 }
}

/** Returns the facts of the next page, the finishing one included after the last page, and what is left of the list. */
export function nextPage(
  listing: Listing,
  requestId: string,
  context: Context,
): { facts: IpTableEmits[]; left: Listing | undefined } {
  const { command, rows, offset } = listing
  const peers = command === 'peer.list' ? peersPage(listing, context) : undefined
  const entries = peers ? peers.map(({ entry }) => entry) : pageOf(listing, publicEntryOf)
  const facts: IpTableEmits[] = []
  if (peers) facts.push({ type: 'peer.page', requestId, offset, peers: peers.map(({ peer }) => peer), entries })
  else facts.push({ type: 'table.page', requestId, offset, entries })
  const end = offset + entries.length
  if (end < rows.length) return { facts, left: { ...listing, offset: end } }
  const last = command === 'peer.list' ? ('peer.listed' as const) : ('table.shown' as const)
  return {
    facts: [...(entries.length > 0 ? facts : []), { type: last, requestId, count: rows.length }],
    left: undefined,
  }
}

function peersPage(listing: Listing, { now, links, startedAt }: Context) {
  const linked: ReadonlySet<string> = linkedTo(links)
  return pageOf(listing, (row) => ({
    peer: peerOf(row, now, TABLE_TICK_MS, linked.has(row.key)),
    entry: entryOf(row, startedAt),
  }))
}

/** Renders rows until the page is full. */
function pageOf<T>({ rows, offset }: Listing, render: (row: Row) => T): T[] {
  const page: T[] = []
  for (let chars = 0, index = offset; chars < TABLE_PAGE_MAX_CHARS && index < rows.length; index += 1) {
    const item = render(rows[index] as Row)
    chars += JSON.stringify(item).length
    page.push(item)
  }
  return page
}

function nearestFirst(rows: Iterable<Row>): Row[] {
  const at = ({ endpoints: [first] }: Row) => (first ? formatEndpoint(first) : '')
  const distance = ({ entry }: Row) => entry.Latency || Number.POSITIVE_INFINITY
  const difference = (one: Row, other: Row) =>
    distance(one) === distance(other) ? 0 : distance(one) < distance(other) ? -1 : 1
  return [...rows]
    .filter(({ status }) => status !== 'dropped')
    .sort(
      (one, other) =>
        difference(one, other) || one.entry.Name.localeCompare(other.entry.Name) || at(one).localeCompare(at(other)),
    )
}
