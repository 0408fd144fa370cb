import { parseEndpoints } from '../../protocol/net/endpoint.ts'
import { subnetOf } from '../../protocol/net/subnet.ts'
import type { NodeRecord, ShortId } from '../../protocol/wire/record.ts'
import { getEntry, setEntry } from './shardedMap.ts'
import type { Tx } from './tx.ts'

// What a failed dial says. A private address means another machine, or none, in each LAN. So a member behind a router that
// cannot be dialled from here may be well, and the peers that are linked to it notice when it is not.

/** Remembers that a link leads to an address that the peer's record names: that address means the peer here too. */
export function locate({ state }: Tx, short: ShortId, { endpoints }: NodeRecord, observedAddress: string): void {
  const [observed] = parseEndpoints([observedAddress])
  if (observed && parseEndpoints(endpoints).some(({ host }) => host === observed.host))
    state.locatedAt = setEntry(state.locatedAt, short, observed.host)
}

/** Whether an address in a member's record means that member here, so that a failed dial of it speaks against the member. */
export function isLocated({ state }: Tx, short: ShortId): boolean {
  const endpoints = getEntry(state.members, short)?.record.endpoints ?? []
  if (endpoints.some((endpoint) => !subnetOf(endpoint).private)) return true
  const locatedAt = getEntry(state.locatedAt, short)
  return locatedAt !== undefined && parseEndpoints(endpoints).some(({ host }) => host === locatedAt)
}
