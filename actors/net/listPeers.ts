import { randomUUID } from 'node:crypto'
import type { Bus } from '../../protocol/bus.ts'
import type { BusEvent } from '../../protocol/index.ts'
import type { Peer } from '../../protocol/ipTable.ts'
import { request } from '../request.ts'

/** Returns the peers of the IP table, the nearest first. */
export async function listPeers(bus: Bus<BusEvent>, signal: AbortSignal): Promise<Peer[]> {
  const peers: Peer[] = []
  await request(
    bus,
    { type: 'peer.list', requestId: randomUUID(), caller: 'owner' },
    {
      signal,
      onFact: (fact) => {
        if (fact.type === 'peer.page') peers.push(...fact.peers)
      },
    },
  )
  return peers
}
