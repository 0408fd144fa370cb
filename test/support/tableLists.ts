import type { Links } from '../../machines/ipTable/gossipChange.ts'
import type { Context } from '../../machines/ipTable/ipTableContext.ts'
import { listingOf, nextPage } from '../../machines/ipTable/listing.ts'
import type { Self, Table } from '../../machines/ipTable/peerTable.ts'
import { publicEntryOf, publicRows } from '../../machines/ipTable/publicTable.ts'
import type { TableEntry } from '../../protocol/files/ipTable.ts'
import type { NodeId } from '../../protocol/ids.ts'
import type { Peer } from '../../protocol/ipTable.ts'

/** Returns the listed peers, the nearest first, as the pages of `peer.list` have them. */
export function listOf(table: Table, now: number, linked: ReadonlySet<NodeId> = new Set()) {
  const links: Links = new Map([...linked].map((id) => [`link ${id}`, { id }]))
  const context = { table, now, links, startedAt: 0 } as unknown as Context
  const list: { peers: Peer[]; entries: TableEntry[] } = { peers: [], entries: [] }
  let left: ReturnType<typeof nextPage>['left'] = listingOf('peer.list', context)
  while (left) {
    const page = nextPage(left, 'r', context)
    for (const fact of page.facts) {
      if (fact.type !== 'peer.page') continue
      list.peers.push(...fact.peers)
      list.entries.push(...fact.entries)
    }
    left = page.left
  }
  return list
}

/** Returns the table as peers without a key see it. */
export function publicTableOf(table: Table, self: Self, now: number): { ip_address: TableEntry[] } {
  return { ip_address: publicRows(table, self, now).map(publicEntryOf) }
}
