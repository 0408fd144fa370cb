import { DIAL_BACK_ASKED_MAX, DIAL_BACK_PEERS } from '../../protocol/defaults/reachability.ts'
import type { Failure, NodeId } from '../../protocol/ids.ts'
import { type Endpoint, formatEndpoint } from '../../protocol/net/endpoint.ts'
import { isShared } from '../../protocol/net/ranges.ts'
import type { DialledEndpoint, ReachState } from '../../protocol/reachability.ts'

/** What one peer found that dialled back. */
export interface DialBackAnswer {
  by: NodeId
  /** Where the peer saw this node, and dialled it. */
  endpoint: Endpoint
  /** Why it did not reach this node there; absent if it did. */
  failure?: Failure
}

/** Returns the answers after those of one peer, which replace what it said before. The oldest make room. */
export function addAnswers(
  answers: readonly DialBackAnswer[],
  by: NodeId,
  added: readonly DialBackAnswer[],
): readonly DialBackAnswer[] {
  const others = answers.filter((answer) => answer.by !== by)
  const peers = [...new Set(others.map((answer) => answer.by))].slice(-(DIAL_BACK_ASKED_MAX - 1))
  return [...others.filter((answer) => peers.includes(answer.by)), ...added]
}

/** The peers that saw this node from outside its own network. */
export function outsidePeers(answers: readonly DialBackAnswer[]): readonly NodeId[] {
  return [...new Set(answers.filter(({ endpoint }) => !isShared(endpoint.host)).map(({ by }) => by))]
}

/** The next peer to ask; undefined if those that were asked suffice, or no other one is linked. */
export function nextToAsk(
  linked: readonly NodeId[],
  asked: readonly NodeId[],
  answers: readonly DialBackAnswer[],
): NodeId | undefined {
  const outside = outsidePeers(answers).filter((id) => asked.includes(id))
  if (outside.length >= DIAL_BACK_PEERS || asked.length >= DIAL_BACK_ASKED_MAX) return undefined
  return linked.find((id) => !asked.includes(id))
}

/**
 * Returns what the peers found at each endpoint. Of contrary answers half suffice for `reachable`: an endpoint that works for some is
 * worth to be known, and a peer that lies can name any address in its own record anyway.
 */
export function endpointsOf(
  answers: readonly DialBackAnswer[],
  before: readonly DialledEndpoint[],
  now: number,
): DialledEndpoint[] {
  const byText = new Map<string, DialBackAnswer[]>()
  for (const answer of answers) {
    const text = formatEndpoint(answer.endpoint)
    byText.set(text, [...(byText.get(text) ?? []), answer])
  }
  return [...byText].map(([text, found]) => {
    const known = before.find(({ endpoint }) => formatEndpoint(endpoint) === text)
    return endpointOf(found, known, now)
  })
}

function endpointOf(
  found: readonly DialBackAnswer[],
  known: DialledEndpoint | undefined,
  now: number,
): DialledEndpoint {
  const failed = found.filter(({ failure }) => failure)
  const isReachable = failed.length * 2 <= found.length
  const state = isReachable ? 'reachable' : 'unreachable'
  const why = isReachable ? undefined : failed.at(-1)?.failure
  return {
    endpoint: (found[0] as DialBackAnswer).endpoint,
    state,
    since: known?.state === state ? known.since : now,
    by: found.filter(({ failure }) => (failure === undefined) === isReachable).map(({ by }) => by),
    ...(why && { why }),
  }
}

/** A node in a network without an outside does not know how it would be reached from there. */
export function outsideState(endpoints: readonly DialledEndpoint[]): ReachState {
  const outside = endpoints.filter(({ endpoint }) => !isShared(endpoint.host))
  if (outside.length === 0) return 'unknown'
  return outside.some(({ state }) => state === 'reachable') ? 'reachable' : 'unreachable'
}
