import type { DialFailed, DialSucceeded } from '../../protocol/dialer.ts'
import { AppError } from '../../protocol/errors.ts'
import type { Failure, NodeId } from '../../protocol/ids.ts'
import type { BetterRung, IpTableEmits } from '../../protocol/ipTable.ts'
import { isIPv6 } from '../../protocol/net/address.ts'
import { type Endpoint, isSameEndpoint, rungNameOf, rungs } from '../../protocol/net/endpoint.ts'
import { isShared } from '../../protocol/net/ranges.ts'
import { linkedTo } from './gossipChange.ts'
import type { Context } from './ipTableContext.ts'
import { rowNamed } from './peerLookUp.ts'
import { endpointOf, type KnownEndpoint, type Row } from './peerRow.ts'
import { type Self, set, type Table } from './peerTable.ts'

/** Which rung of the ladder is in use to a peer, and what is known of the better ones. */

/** What says nothing of an endpoint: it was not dialled at all. */
const notDialled: ReadonlySet<string> = new Set(['not_dialled', 'dialled_lately', 'abandoned'])

/** Records the endpoint that has answered a dial, and those that had not. `since` stays while the rung is the same. */
export function dialled(table: Table, { id, endpoint, at, attempts = [] }: DialSucceeded): Table {
  const row = id && table.get(id)
  if (!row) return table
  const known = row.endpoints.find((other) => isSameEndpoint(other, endpoint))
  const used = known ? endpointOf(known) : endpoint
  const since = row.path && rungNameOf(row.path.endpoint) === rungNameOf(used) ? row.path.since : at
  return set(table, { ...row, path: { endpoint: used, since }, endpoints: withFailures(row, attempts, at) })
}

/** Records the endpoints that did not answer. Where the one in use is among them, none is in use any more. */
export function notAnswered(table: Table, { id, attempts, at }: DialFailed): Table {
  const row = id && table.get(id)
  if (!row) return table
  const hasFailed = (endpoint: Endpoint) =>
    attempts.some((one) => isSameEndpoint(one.endpoint, endpoint) && !notDialled.has(one.code))
  const path = row.path && hasFailed(row.path.endpoint) ? null : row.path
  return set(table, { ...row, path, endpoints: withFailures(row, attempts, at) })
}

function withFailures(row: Row, attempts: DialFailed['attempts'], at: number): readonly KnownEndpoint[] {
  return row.endpoints.map((endpoint) => {
    const failed = attempts.find((one) => isSameEndpoint(one.endpoint, endpoint) && !notDialled.has(one.code))
    if (!failed) return endpoint
    const { code, message } = failed
    return { ...endpoint, failure: { code, message, at } }
  })
}

/** Returns the fact that answers `peer.showPath`. */
export function pathFact(context: Context, { requestId, where }: { requestId: string; where: string }): IpTableEmits {
  const found = rowNamed(context.table, where)
  if ('failure' in found) return { type: 'peer.showPathFailed', requestId, ...found.failure }
  const { row } = found
  const { NodeId, Name } = row.entry
  return {
    type: 'peer.pathShown',
    requestId,
    ...(NodeId && { id: NodeId as NodeId }),
    name: Name,
    ...(row.path && { path: { ...row.path, rung: rungNameOf(row.path.endpoint) } }),
    linked: linkedTo(context.links).has(row.key as NodeId),
    better: betterRungs(row, context.self),
  }
}

/** Returns the rungs above the one in use, the best first; all of them while none is. */
export function betterRungs({ path, endpoints }: Row, self: Pick<Self, 'addresses'>): BetterRung[] {
  const above = path ? rungs.slice(0, rungs.indexOf(rungNameOf(path.endpoint))) : rungs
  return above.map((rung) => {
    const offered = endpoints.filter((endpoint) => rungNameOf(endpoint) === rung)
    return { rung, ...whyNot(offered, self) }
  })
}

/** Returns why no endpoint of a rung is in use. */
function whyNot(offered: readonly KnownEndpoint[], self: Pick<Self, 'addresses'>): Omit<BetterRung, 'rung'> {
  const failed = offered.filter(({ failure }) => failure)
  const latest = failed.sort((one, other) => (other.failure?.at ?? 0) - (one.failure?.at ?? 0))[0]
  const endpoint = latest ?? offered.find(({ provedAt }) => provedAt !== null) ?? offered[0]
  if (!endpoint) return { state: 'notOffered' }
  const impossible = whyImpossible(endpoint, self)
  const at = endpointOf(endpoint)
  if (impossible) return { state: 'impossible', endpoint: at, why: impossible }
  if (latest?.failure) {
    const { at: since, ...why } = latest.failure
    return { state: 'failed', endpoint: at, at: since, why }
  }
  return { state: endpoint.provedAt === null ? 'untried' : 'answered', endpoint: at }
}

/** Returns why this machine cannot use an endpoint, whatever the peer does; undefined if it can. */
function whyImpossible(at: KnownEndpoint, { addresses }: Pick<Self, 'addresses'>): Failure | undefined {
  if (at.failure?.code === 'punching_missing') return { code: at.failure.code, message: at.failure.message }
  const isPublicIPv6 = (host: string) => isIPv6(host) && !isShared(host)
  if (!isPublicIPv6(at.host) || addresses.some(isPublicIPv6)) return undefined
  return new AppError('family_missing').toJSON()
}
