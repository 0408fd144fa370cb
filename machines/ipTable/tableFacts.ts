import { TABLE_TICK_MS } from '../../protocol/defaults/ipTable.ts'
import { AppError } from '../../protocol/errors.ts'
import type { Failure } from '../../protocol/ids.ts'
import type { IpTableEmits, SelfAddressesChanged } from '../../protocol/ipTable.ts'
import { type Endpoint, formatEndpoint } from '../../protocol/net/endpoint.ts'
import { advertisedAddresses } from './advertisedAddresses.ts'
import type { Context, SelfContext, TableRequest } from './ipTableContext.ts'
import type { ResolvedPeer } from './peerLookUp.ts'
import { parsed, peerOf } from './peerRow.ts'
import { countOf, findByAddress, isSelfAt } from './peerTable.ts'

/**
 * The facts that answer the table's commands, and the interpretation of the commands, as pure functions of its
 * context.
 */

/** Returns the endpoint that the owner wants to add; null if it is invalid or this node's own. */
export function addressToAdd({ self }: Context, where: string): Endpoint | null {
  const at = parsed(where)
  return at && !isSelfAt(self, at) ? at : null
}

export function selfFailure(where: string): Failure {
  return new AppError('bad_request', { why: `${where} is this node itself` }).toJSON()
}

export function resolvedFact(requestId: string, answer: { found: ResolvedPeer } | object): IpTableEmits {
  if ('found' in answer) return { type: 'peer.resolved', requestId, ...answer.found }
  const { failure } = answer as { failure: Failure }
  return { type: 'peer.resolveFailed', requestId, ...failure }
}

/** Returns the reply to a request whose revision was written or could not be written. */
export function savedFact(
  context: Context,
  { requestId, at }: Extract<TableRequest, { phase: 'saving' }>,
  failure?: Failure,
): IpTableEmits {
  if (failure) return { type: at ? 'peer.addFailed' : 'table.updateFailed', requestId, ...failure }
  if (!at) return { type: 'table.updated', requestId, count: countOf(context.table) }
  const row = findByAddress(context.table, at)
  if (row) return { type: 'peer.added', requestId, peer: peerOf(row, context.now, TABLE_TICK_MS) }
  return { type: 'peer.addFailed', requestId, ...selfFailure(formatEndpoint(at)) }
}

/** Returns the fact with the endpoints at which this node can be dialled, which gossip sends to others. */
export function selfAddressesFact({ self, observedAddresses, relayed, dialled }: SelfContext): SelfAddressesChanged {
  const endpoints = advertisedAddresses(self, observedAddresses, relayed, dialled)
  return { type: 'table.selfAddressesChanged', endpoints, port: self.port }
}
