import { randomUUID } from 'node:crypto'
import PQueue from 'p-queue'
import type { CrawlInput, IpTableInternalEvent, Outcome, ProbeInput } from '../../machines/ipTable/ipTablePorts.ts'
import { endpointOf, rowOf, untried } from '../../machines/ipTable/peerRow.ts'
import { namedIn } from '../../machines/ipTable/unverified.ts'
import { CRAWL } from '../../protocol/defaults/ipTable.ts'
import { BODY_MAX_BYTES } from '../../protocol/defaults/listeners.ts'
import { toFailure } from '../../protocol/errors.ts'
import { type IpTableFile, parseIpTable, type TableEntry } from '../../protocol/files/ipTable.ts'
import type { Failure } from '../../protocol/ids.ts'
import { type Endpoint, formatEndpoint, isNumeric, isSameEndpoint } from '../../protocol/net/endpoint.ts'
import { refusal } from '../../protocol/net/reachable.ts'
import type { Connection, Dialer } from '../net/dialer.ts'
import { fetchText } from '../net/httpClient.ts'
import { measureLatency } from '../net/latency.ts'
import { openScope } from '../scope.ts'
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
export async function crawl(input: CrawlInput, dependencies: CrawlDependencies): Promise<Endpoint[]> {
  const { requestId, hops, document, test } = { ...input, test: dependencies.test }
  const { signal, end } = openScope(input.signal, CRAWL.timeoutMs)
  const seen = new Set(input.known.flatMap((peer) => peer.endpoints.map(formatEndpoint)))
  const queue = new PQueue({ concurrency: CRAWL.maxConcurrent })
  let round: readonly Omit<ProbeInput, 'signal'>[] = input.known
  for (let hop = 1; hop <= hops && round.length > 0; hop += 1) {
    const named: Endpoint[][] = []
    const visits = round.map((peer) => async () => {
      const { outcome, table, failure } = await visit({ ...peer, signal }, document, dependencies)
      const fresh = table ? namedIn(table).filter(isNew) : []
      for (const at of fresh) seen.add(formatEndpoint(at))
      named.push(fresh.slice(0, CRAWL.maxPerAnswer))
      const where = peer.endpoints[0] ? formatEndpoint(peer.endpoints[0]) : '?:0'
      const entries = table?.ip_address.length
      dependencies.report({
        type: 'crawl.visited',
        key: peer.key,
        outcome,
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
    round = interleaved(named).map((at) => ({
      key: formatEndpoint(at),
      endpoints: [untried(at)],
      keyed: false,
      measure: true,
    }))
  }
  end()
  return round.flatMap(({ endpoints }) => endpoints.map(endpointOf))

  function isNew(at: Endpoint): boolean {
    if (seen.has(formatEndpoint(at)) || dependencies.dialer.isSelf(at)) return false
    return !isNumeric(at) || refusal(at.host, at.port, { test }) === undefined
  }
}

/** Dials a peer, measures how near it is and exchanges tables with it. */
async function visit(
  peer: ProbeInput,
  document: string,
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
    return await queryPeer(connection, document, scope.signal)
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
async function queryPeer(connection: Connection, document: string, signal: AbortSignal): Promise<VisitResult> {
  const { endpoint } = connection
  const specs = connection.peer ? await requestSpecs(connection, signal) : {}
  const { bestNs, answer } = await measureLatency(connection, signal)
  const seen = { latencyNs: bestNs, ...readSpecs(answer), ...specs }
  const outcome: Outcome = connection.peer
    ? { kind: 'node', ...seen, contact: contactOf(connection) }
    : { kind: 'legacy', at: endpoint, ...seen }
  try {
    const table = await exchangeTables(connection, document, signal)
    const own = outcome.kind === 'legacy' && ownEntry(table, endpoint)
    return { outcome: own ? { ...outcome, ...selfDescription(own, endpoint) } : outcome, table }
  } catch (error) {
    return { outcome, failure: toFailure(error) }
  }
}

/**
 * Uploads this node's table as Go does, as a multipart file named `json`, and reads the peer's table from the
 * response.
 */
async function exchangeTables(connection: Connection, document: string, signal: AbortSignal): Promise<IpTableFile> {
  const where = formatEndpoint(connection.endpoint)
  const boundary = `p2prc-${randomUUID()}`
  const head = `--${boundary}\r\nContent-Disposition: form-data; name="json"; filename="ip_table.json"\r\nContent-Type: application/json\r\n\r\n`
  const answer = await fetchText(connection.stream, {
    where,
    method: 'POST',
    path: '/IpTable',
    headers: { 'content-type': `multipart/form-data; boundary=${boundary}` },
    body: Buffer.from(`${head}${document}\r\n--${boundary}--\r\n`),
    signal,
    timeoutMs: CRAWL.peerTimeoutMs,
    maxBytes: BODY_MAX_BYTES,
  })
  return parseIpTable(answer, where)
}

/**
 * Returns the entry in which a peer without a key describes itself: the one with the endpoint at which it was dialled.
 */
function ownEntry(table: IpTableFile, at: Endpoint): TableEntry | undefined {
  return table.ip_address.find((entry) => rowOf(entry)?.endpoints.some((each) => isSameEndpoint(each, at)))
}

/**
 * Returns what the peer says of itself, without the fields that this node measures or owns. Its other endpoint must
 * have the same port.
 */
function selfDescription(own: TableEntry, at: Endpoint): Pick<Extract<Outcome, { kind: 'legacy' }>, 'fields' | 'also'> {
  const { Latency: _l, Download: _d, Upload: _u, NodeId: _n, Addresses: _a, Added: _o, Trusted: _t, ...fields } = own
  const also = rowOf({ ...own, Addresses: undefined })?.endpoints.filter(({ host }) => host !== at.host)
  return { fields, also: (also ?? []).map(endpointOf) }
}

/** Takes one item of each list in turn, so that the addresses of a liar do not precede those of honest peers. */
function interleaved<T>(lists: readonly (readonly T[])[]): T[] {
  const longest = Math.max(0, ...lists.map(({ length }) => length))
  return Array.from({ length: longest }, (_, index) => lists.flatMap((list) => list.slice(index, index + 1))).flat()
}
