import PQueue from 'p-queue'
import type { CrawlInput, IpTableInternalEvent, Outcome, ProbeInput } from '../../machines/ipTable/ipTablePorts.ts'
import { untried } from '../../machines/ipTable/peerRow.ts'
import type { Upload } from '../../machines/ipTable/publicTable.ts'
import { namedIn } from '../../machines/ipTable/unverified.ts'
import { CRAWL } from '../../protocol/defaults/ipTable.ts'
import { toFailure } from '../../protocol/errors.ts'
import type { IpTableFile } from '../../protocol/files/ipTable.ts'
import type { Failure } from '../../protocol/ids.ts'
import type { UnverifiedPeer } from '../../protocol/ipTable.ts'
import { formatEndpoint, isNumeric } from '../../protocol/net/endpoint.ts'
import { refusal } from '../../protocol/net/reachable.ts'
import type { Connection, Dialer } from '../net/dialer.ts'
import { measureLatency } from '../net/latency.ts'
import { openScope } from '../scope.ts'
import { exchangeTables, selfDescription } from './exchange.ts'
import { contactOf, dialKnown, isDeferred, readSpecs, requestSpecs } from './probe.ts'

export interface CrawlDependencies {
  dialer: Dialer
  /** Anonymous callers may name loopback addresses. */
  test: boolean
  report: (event: IpTableInternalEvent) => void
  /** The time limit for one peer, in milliseconds. Tests set a shorter one. */
  peerMs?: number
}

/** The result of visiting one peer of a crawl. */
interface VisitResult {
  outcome: Outcome
  /** The peer's table, if it sent one. */
  table?: IpTableFile
  failure?: Failure
}

/**
 * Crawls the network as the seeds describe: measures the known peers, uploads this node's table, takes theirs, and
 * repeats this with the peers that they named, `hops` times. Resolves with the endpoints that were named but not
 * visited. Never rejects: a peer that hangs, lies or answers garbage costs its own timeout.
 */
export async function crawl(input: CrawlInput, dependencies: CrawlDependencies): Promise<UnverifiedPeer[]> {
  const { requestId, hops, upload, test } = { ...input, test: dependencies.test }
  const { signal, end } = openScope(input.signal, CRAWL.timeoutMs)
  const seen = new Set(input.known.flatMap((peer) => peer.endpoints.map(formatEndpoint)))
  const queue = new PQueue({ concurrency: CRAWL.maxConcurrent })
  let round: readonly Omit<ProbeInput, 'signal'>[] = input.known
  let next: UnverifiedPeer[] = []
  for (let hop = 1; hop <= hops && round.length > 0; hop += 1) {
    const named: UnverifiedPeer[][] = []
    const visits = round.map((peer) => async () => {
      const { outcome, table, failure } = await visit({ ...peer, upload, signal }, dependencies)
      const all = table ? namedIn(table) : []
      const reported = all.filter(({ endpoint }) => seen.has(formatEndpoint(endpoint)))
      const fresh = all.filter(isNew)
      for (const { endpoint } of fresh) seen.add(formatEndpoint(endpoint))
      named.push(fresh.slice(0, CRAWL.maxPerAnswer))
      const where = peer.endpoints[0] ? formatEndpoint(peer.endpoints[0]) : '?:0'
      const entries = table?.ip_address.length
      dependencies.report({
        type: 'crawl.visited',
        key: peer.key,
        outcome,
        reported,
        progress: {
          type: 'table.progress',
          requestId,
          hop,
          where,
          ...(entries !== undefined && { entries }),
          ...(failure && { failure }),
        },
      })
    })
    await queue.addAll(visits)
    next = interleaved(named)
    round = next.map(({ endpoint, fields }) => ({
      key: formatEndpoint(endpoint),
      endpoints: [untried(endpoint)],
      keyed: false,
      measure: true,
      specs: true,
      ...(fields && { fields }),
    }))
  }
  end()
  return next

  function isNew({ endpoint: at }: UnverifiedPeer): boolean {
    if (seen.has(formatEndpoint(at)) || dependencies.dialer.isSelf(at)) return false
    return !isNumeric(at) || refusal(at.host, at.port, { test }) === undefined
  }
}

/** Dials a peer, measures how near it is and exchanges tables with it. */
async function visit(
  peer: ProbeInput & { upload: Upload },
  { dialer, peerMs = CRAWL.peerTimeoutMs }: CrawlDependencies,
): Promise<VisitResult> {
  let connection: Connection
  try {
    // The timeout starts at the dial, because waiting for the dial budget is not the peer's fault.
    connection = await dialKnown(peer, dialer, { purpose: 'crawl', goNode: 'accepted', attemptMs: peerMs })
  } catch (error) {
    return { outcome: { kind: isDeferred(error, peer.signal) ? 'skipped' : 'silent' }, failure: toFailure(error) }
  }
  const scope = openScope(peer.signal, peerMs)
  try {
    return await queryPeer(connection, { ...peer, signal: scope.signal })
  } catch (error) {
    return { outcome: { kind: 'silent' }, failure: toFailure(error) }
  } finally {
    scope.end()
    connection.stream.destroy()
  }
}

/**
 * Queries a connected peer. Rejects if it does not answer; a later failure is part of the result, because the peer
 * exists.
 */
async function queryPeer(connection: Connection, peer: ProbeInput & { upload: Upload }): Promise<VisitResult> {
  const { fields, signal } = peer
  const { endpoint } = connection
  const specs = connection.peer && (await requestSpecs(connection, signal))
  const { bestNs, answer } = await measureLatency(connection, signal)
  const seen = { latencyNs: bestNs, ...(specs ?? readSpecs(answer)) }
  const outcome: Outcome = connection.peer
    ? { kind: 'node', ...seen, contact: contactOf(connection) }
    : { kind: 'legacy', at: endpoint, ...(fields && { fields }), ...seen }
  try {
    const table = await exchangeTables(connection, peer)
    return { outcome: connection.peer ? outcome : { ...outcome, ...selfDescription(table, endpoint) }, table }
  } catch (error) {
    return { outcome, failure: toFailure(error) }
  }
}

/** Takes one item of each list in turn, so that the addresses of a liar do not precede those of honest peers. */
function interleaved<T>(lists: readonly (readonly T[])[]): T[] {
  const longest = Math.max(0, ...lists.map(({ length }) => length))
  return Array.from({ length: longest }, (_, index) => lists.flatMap((list) => list.slice(index, index + 1))).flat()
}
