import { randomUUID } from 'node:crypto'
import type { Bus } from '../../protocol/bus.ts'
import { AppError } from '../../protocol/errors.ts'
import type { BusEvent, Command } from '../../protocol/index.ts'
import type { Peer } from '../../protocol/ipTable.ts'
import { formatAddress } from '../../protocol/net/address.ts'
import { type RequestOptions, request } from '../request.ts'

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
    const send = (command: Command, onFact?: RequestOptions['onFact']) =>
      request(bus, command, { ...(signal && { signal }), ...(onFact && { onFact }) })
    const listAnswering = async () => {
      const peers: Peer[] = []
      await send({ ...own, type: 'peer.list' }, (fact) => {
        if (fact.type === 'peer.page') peers.push(...fact.peers.filter(isAnswering))
      })
      return peers
    }
    let peers = await listAnswering()
    if (peers.length < count) {
      await send({ ...own, type: 'table.update', hops: 1 })
      peers = await listAnswering()
    }
    if (peers.length < count) throw new AppError('peers_short', { found: peers.length, count })
    return peers.slice(0, count).map(({ id, endpoints: [best] }) => id ?? (best ? formatAddress(best) : ''))
  }
}

function isAnswering({ state, id, endpoints }: Peer): boolean {
  return state === 'answering' && (id !== undefined || endpoints.length > 0)
}
