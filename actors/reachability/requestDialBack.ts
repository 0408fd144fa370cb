import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import type { DialBackAnswer } from '../../machines/reachability/dialBackAnswers.ts'
import type { DialBackRequest } from '../../machines/reachability/reachabilitySetup.ts'
import { DIAL_BACK_TIMEOUT_MS } from '../../protocol/defaults/reachability.ts'
import { failure, type NodeId } from '../../protocol/ids.ts'
import { isIPv6 } from '../../protocol/net/address.ts'
import type { Endpoint } from '../../protocol/net/endpoint.ts'
import { endpointSchema } from '../../protocol/net/endpointSchema.ts'
import type { Dialer } from '../net/dialer.ts'
import { createPeerClient } from '../net/peerClient.ts'
import type { Resolve } from '../net/resolve.ts'
import { openScope } from '../scope.ts'

/**
 * Asks peers one after the other to dial this node back, until one has reached it. Resolves with what they answered: nothing
 * of a peer that cannot be reached or refuses.
 */
export async function requestDialBack(
  { ids, port, signal }: DialBackRequest,
  parts: { resolve: Resolve; dialer: Dialer },
): Promise<DialBackAnswer[]> {
  const answers: DialBackAnswer[] = []
  for (const id of ids) {
    answers.push(...(await requestOf({ id, port, signal }, parts)))
    if (answers.some(({ failure }) => !failure)) break
  }
  return answers
}

/** Asks once over each family of addresses, for a router may do with one what it does not with the other. */
async function requestOf(
  { id, port, signal }: { id: NodeId; port: number; signal: AbortSignal },
  { resolve, dialer }: { resolve: Resolve; dialer: Dialer },
): Promise<DialBackAnswer[]> {
  const client = createPeerClient(dialer)
  const askAt = async (endpoints: readonly Endpoint[]): Promise<DialBackAnswer[]> => {
    if (endpoints.length === 0) return []
    const scope = openScope(signal, DIAL_BACK_TIMEOUT_MS * 2)
    try {
      const command = { type: 'reach.dialBack', requestId: randomUUID(), port }
      const { fact } = await client.request({ id, endpoints }, command, { signal: scope.signal })
      const answer = dialledBack.safeParse(fact)
      return answer.success ? [{ by: id, ...answer.data }] : []
    } catch {
      return []
    } finally {
      scope.end()
    }
  }
  try {
    const { endpoints } = await resolve(id, signal)
    // Through a relay the peer would see the relay.
    const own = endpoints.filter(({ kind }) => kind === 'direct' || kind === 'mapped')
    const families = [own.filter(({ host }) => isIPv6(host)), own.filter(({ host }) => !isIPv6(host))]
    return (await Promise.all(families.map(askAt))).flat()
  } catch {
    return []
  }
}

const dialledBack = z.object({ endpoint: endpointSchema, failure: failure.optional() })
