import type { DialBackInput, FromDialBack } from '../../machines/reachability.ts'
import { DIAL_BACK_TIMEOUT_MS, DIAL_BACKS_IN_ALL, DIAL_BACKS_PER_PEER } from '../../protocol/defaults/reachability.ts'
import { AppError, toFailure } from '../../protocol/errors.ts'
import type { NodeId } from '../../protocol/ids.ts'
import { canonicalHost } from '../../protocol/net/address.ts'
import { directEndpoint } from '../../protocol/net/endpoint.ts'
import { createRateLimit } from '../listeners/rateLimit.ts'
import { DIAL_ENDED_EARLY, type Dialer } from '../net/dialer.ts'
import { openScope } from '../scope.ts'

/** Dials a peer that asked for it, at the address from which it asked. Resolves in every case. */
export type DialBack = (input: DialBackInput) => Promise<FromDialBack>

export function createDialBack(dialer: Dialer): DialBack {
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
    const scope = openScope(signal, DIAL_BACK_TIMEOUT_MS)
    try {
      const target = { id: caller as NodeId, endpoints: [endpoint] }
      // The peer is a third party: its own address too is refused in ranges that third parties may not name.
      const options = { purpose: 'dialBack', signal: scope.signal, urgent: true, isTrusted: () => false } as const
      const { stream } = await dialer.dial(target, options)
      stream.destroy()
      return { ...ended, endpoint }
    } catch (error) {
      const failure = toFailure(error)
      return DIAL_ENDED_EARLY.has(failure.code) ? refuse(error) : { ...ended, endpoint, failure }
    } finally {
      scope.end()
    }
  }
}
