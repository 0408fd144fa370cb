import { randomUUID } from 'node:crypto'
import type { Bus } from '../../protocol/bus.ts'
import type { BusEvent } from '../../protocol/index.ts'
import { request } from '../request.ts'
import type { DialTarget } from './dialer.ts'

/**
 * Resolves what a person typed to a peer, as `peer.resolve` describes. Rejects with `not_found`, `ambiguous`,
 * `bad_address`, `unreachable`.
 */
export type Resolve = (where: string, signal?: AbortSignal) => Promise<DialTarget>

/** Offers the IP table's name resolution to the other concerns. */
export function createResolve(bus: Bus<BusEvent>): Resolve {
  return async (where, signal) => {
    const command = { type: 'peer.resolve', requestId: randomUUID(), caller: 'owner', where } as const
    const fact = await request(bus, command, signal ? { signal } : {})
    if (fact.type !== 'peer.resolved') throw new Error(`peer.resolve was answered with ${fact.type}`)
    return { endpoints: fact.endpoints, ...(fact.id && { id: fact.id }) }
  }
}
