import { randomUUID } from 'node:crypto'
import type { Bus } from '../../protocol/bus.ts'
import { AppError } from '../../protocol/errors.ts'
import type { BusEvent, Command } from '../../protocol/index.ts'
import type { Peer } from '../../protocol/ipTable.ts'
import { formatAddress } from '../../protocol/net/address.ts'
import { request } from '../request.ts'

/**
 * Finds the `count` nearest machines that answer, in the form that `Resolve` takes: by node id where there is one, so
 * that no other node can impersonate them. Rejects with `peers_short`.
 */
export type Nearest = (count: number, signal?: AbortSignal) => Promise<string[]>

/**
 * Offers the IP table's ranking to the other concerns. If too few peers are known to answer, every known peer is
 * probed once.
 */
export function createNearest(bus: Bus<BusEvent>): Nearest {
  return async (count, signal) => {
    const own = { requestId: randomUUID(), caller: 'owner' } as const
    const peersOf = async (command: Command): Promise<Peer[]> => {
      const fact = await request(bus, command, signal ? { signal } : {})
      if (fact.type !== 'peer.listed' && fact.type !== 'table.updated')
        throw new Error(`${command.type} was answered with ${fact.type}`)
      return fact.peers
    }
    let peers = answering(await peersOf({ ...own, type: 'peer.list' }))
    if (peers.length < count) peers = answering(await peersOf({ ...own, type: 'table.update', hops: 1 }))
    if (peers.length < count) throw new AppError('peers_short', { found: peers.length, count })
    return peers.slice(0, count).map(({ id, endpoints: [best] }) => id ?? (best ? formatAddress(best) : ''))
  }
}

/** Returns the peers that answer, the nearest first, which is the table's order. */
function answering(peers: readonly Peer[]): Peer[] {
  return peers.filter(({ state, id, endpoints }) => state === 'answering' && (id !== undefined || endpoints.length > 0))
}
