import type { TableEntry } from '../protocol/files/ipTable.ts'
import type { Peer } from '../protocol/ipTable.ts'
import type { Client, RequestOptions } from './client.ts'

/** The peers of a node, the nearest first, and the same peers in the same order in the form of P2PRC's IP table. */
export interface PeerList {
  peers: Peer[]
  entries: TableEntry[]
}

/** Collects the pages of `peer.list`. Throws what reading a request throws. */
export async function listPeers(client: Pick<Client, 'request'>, options?: RequestOptions): Promise<PeerList> {
  const list: PeerList = { peers: [], entries: [] }
  for await (const fact of client.request({ type: 'peer.list' }, options)) {
    if (fact.type !== 'peer.page') continue
    // The list begins anew if somebody repeats this request.
    if (fact.offset === 0) Object.assign(list, { peers: [], entries: [] })
    list.peers.push(...(fact.peers as Peer[]))
    list.entries.push(...(fact.entries as TableEntry[]))
  }
  return list
}
