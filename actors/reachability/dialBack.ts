import type { DialBackInput, FromDialBack } from '../../machines/reachability/reachabilitySetup.ts'
import { DIAL_BACK_TIMEOUT_MS, DIAL_BACKS_IN_ALL, DIAL_BACKS_PER_PEER } from '../../protocol/defaults/reachability.ts'
import { AppError, toFailure } from '../../protocol/errors.ts'
import type { NodeId } from '../../protocol/ids.ts'
import { canonicalHost } from '../../protocol/net/address.ts'
import { directEndpoint, formatEndpoint } from '../../protocol/net/endpoint.ts'
import { refusal } from '../../protocol/net/reachable.ts'
import { createRateLimit } from '../listeners/rateLimit.ts'
import type { Dialer } from '../net/dialer.ts'
import { openScope } from '../scope.ts'

/** Dials a peer that asked for it, at the address from which it asked. Resolves in every case. */
export type DialBack = (input: DialBackInput) => Promise<FromDialBack>

/** `test` allows loopback addresses. */
export function createDialBack(dialer: Dialer, { test }: { test: boolean }): DialBack {
  const perPeer = createRateLimit(DIAL_BACKS_PER_PEER)
  const inAll = createRateLimit(DIAL_BACKS_IN_ALL)
  return async ({ command: { requestId, caller, from = '', port }, signal }) => {
    const ended = { type: 'dialBack.ended', requestId } as const
    const refuse = (error: unknown): FromDialBack => ({ ...ended, refused: toFailure(error) })
    if (from === '' || caller === 'owner') {
      return refuse(new AppError('bad_request', { why: 'Only another node can be dialled back' }))
    }
    const now = performance.now()
    if (!perPeer(caller, now)) return refuse(new AppError('too_many', { from: caller }))
    if (!inAll('all', now)) return refuse(new AppError('too_many', { from: 'all nodes' }))
    const endpoint = directEndpoint({ host: canonicalHost(from), port })
    const why = dialer.isSelf(endpoint) ? 'this node itself' : refusal(endpoint.host, port, { test })
    if (why) return refuse(new AppError('not_dialled', { where: formatEndpoint(endpoint), why }))
    const scope = openScope(signal, DIAL_BACK_TIMEOUT_MS)
    try {
      const target = { id: caller as NodeId, endpoints: [endpoint] }
      const { stream } = await dialer.dial(target, { purpose: 'dialBack', signal: scope.signal })
      stream.destroy()
      return { ...ended, endpoint }
    } catch (error) {
      const failure = toFailure(error)
      return failure.code === 'abandoned' ? refuse(error) : { ...ended, endpoint, failure }
    } finally {
      scope.end()
    }
  }
}
