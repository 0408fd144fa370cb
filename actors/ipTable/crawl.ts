import { randomUUID } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import { Agent } from 'node:http'
import PQueue from 'p-queue'
import type { CrawlInput, IpTableInternalEvent, Outcome, ProbeInput } from '../../machines/ipTable/ipTablePorts.ts'
import { canonical, type KnownAddress, rowOf, sameAddress } from '../../machines/ipTable/peerRow.ts'
import { namedIn } from '../../machines/ipTable/unverified.ts'
import { CRAWL } from '../../protocol/defaults/ipTable.ts'
import { BODY_MAX_BYTES } from '../../protocol/defaults/listeners.ts'
import { AppError, toAppError, toFailure } from '../../protocol/errors.ts'
import { type IpTableFile, parseIpTable, type TableEntry } from '../../protocol/files/ipTable.ts'
import type { Failure } from '../../protocol/ids.ts'
import type { PeerAt } from '../../protocol/ipTable.ts'
import { formatAddress, isIPv4, isIPv6 } from '../../protocol/net/address.ts'
import { refusal } from '../../protocol/net/reachable.ts'
import { sendPlainRequest } from '../net/plainHttp.ts'
import { measureKeyedLatency, measureLatency } from './latency.ts'
import { type ProbeDependencies, readSpecs, requestIdentity } from './probe.ts'

export interface CrawlDependencies extends ProbeDependencies {
  /** Anonymous callers may name loopback addresses. */
  test: boolean
  report: (event: IpTableInternalEvent) => void
  /** What one peer may cost; tests are in a hurry. */
  peerMs?: number
}

/** What one peer of a crawl gave. */
interface VisitResult {
  outcome: Outcome
  /** Its table, where it gave one. */
  table?: IpTableFile
  failure?: Failure
}

/**
 * Crawls the network as the seeds describe: measure the known, upload the own table, take theirs, and again with those
 * that they named, `hops` times. Resolves with the addresses named but not visited. Never rejects: a peer that hangs,
 * lies or answers garbage costs its own time-out.
 */
export async function crawl(input: CrawlInput, dependencies: CrawlDependencies): Promise<PeerAt[]> {
  const { requestId, hops, document, test } = { ...input, test: dependencies.test }
  const signal = AbortSignal.any([input.signal, AbortSignal.timeout(CRAWL.totalMs)])
  setMaxListeners(0, signal)
  const seen = new Set(input.known.flatMap((peer) => peer.addresses.map(formatAddress)))
  const queue = new PQueue({ concurrency: CRAWL.parallel })
  let round: readonly Omit<ProbeInput, 'signal'>[] = input.known
  for (let hop = 1; hop <= hops && round.length > 0; hop += 1) {
    const named: PeerAt[][] = []
    const visits = round.map((peer) => async () => {
      const { outcome, table, failure } = await visit({ ...peer, signal }, document, dependencies)
      const fresh = table ? namedIn(table).map(canonical).filter(isNew) : []
      for (const at of fresh) seen.add(formatAddress(at))
      named.push(fresh.slice(0, CRAWL.perAnswer))
      const where = formatAddress(peer.addresses[0] ?? { host: '?', port: 0 })
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
      key: formatAddress(at),
      addresses: [untrustedAddress(at)],
      keyed: false,
      measure: true,
    }))
  }
  return round.flatMap(({ addresses }) => addresses.map(({ host, port }) => ({ host, port })))

  function isNew(at: PeerAt): boolean {
    if (seen.has(formatAddress(at)) || dependencies.guard.isSelf(at)) return false
    const isIp = isIPv4(at.host) || isIPv6(at.host)
    return !isIp || refusal(at.host, at.port, { test }) === undefined
  }
}

/** Tries a peer's addresses in turn; the first that answers is the one that is asked. */
async function visit(peer: ProbeInput, document: string, dependencies: CrawlDependencies): Promise<VisitResult> {
  let last: unknown = new AppError('unreachable', { where: peer.key, why: 'it has no address' })
  let isDeferred = false
  for (const at of peer.addresses) {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    try {
      // Waiting for its turn is not the peer's fault: its time runs from the dial.
      const to = await dependencies.guard.authorize(at, {
        trusted: at.trusted || at.provedAt !== null,
        signal: peer.signal,
      })
      const signal = AbortSignal.any([peer.signal, AbortSignal.timeout(dependencies.peerMs ?? CRAWL.peerMs)])
      return await queryPeer({ ...peer, signal }, { at, to, document, agent, ...dependencies })
    } catch (error) {
      last = error
      isDeferred ||= peer.signal.aborted || toAppError(error).code === 'dialled_lately'
    } finally {
      agent.destroy()
    }
  }
  return { outcome: { kind: isDeferred ? 'skipped' : 'silent' }, failure: toFailure(last) }
}

/** Rejects where nobody answers at the address. What goes wrong after that is the peer's failure, not its absence. */
async function queryPeer(
  { keyed, signal }: ProbeInput,
  {
    at,
    to,
    peers,
    dial,
    document,
    agent,
  }: CrawlDependencies & { at: PeerAt; to: PeerAt; document: string; agent: Agent },
): Promise<VisitResult> {
  const first = keyed ? await requestIdentity(to, at, peers, signal) : undefined
  const { bestNs, answer } =
    first && dial
      ? await measureKeyedLatency(dial, { ...to, id: first.contact.id }, signal)
      : await measureLatency(to, agent, signal)
  const greeted = first ?? (await requestIdentity(to, at, peers, signal).catch(() => undefined))
  const seen = { latencyNs: bestNs, ...readSpecs(answer) }
  const asNode: Outcome | undefined = greeted && { kind: 'node', ...seen, ...greeted }
  try {
    const table = await exchangeTables(to, document, agent, signal)
    const own = ownEntry(table, at)
    const outcome: Outcome = asNode ?? { kind: 'legacy', at, ...seen, ...(own && selfDescription(own, at)) }
    return { outcome, table }
  } catch (error) {
    return { outcome: asNode ?? { kind: 'legacy', at, ...seen }, failure: toFailure(error) }
  }
}

/** Uploads the own table as Go does, a multipart file named `json`, and reads the peer's from the answer. */
async function exchangeTables(to: PeerAt, document: string, agent: Agent, signal: AbortSignal): Promise<IpTableFile> {
  const boundary = `p2prc-${randomUUID()}`
  const head = `--${boundary}\r\nContent-Disposition: form-data; name="json"; filename="ip_table.json"\r\nContent-Type: application/json\r\n\r\n`
  const body = Buffer.from(`${head}${document}\r\n--${boundary}--\r\n`)
  const headers = { 'content-type': `multipart/form-data; boundary=${boundary}` }
  const limits = { timeoutMs: CRAWL.peerMs, maxBytes: BODY_MAX_BYTES }
  const answer = await sendPlainRequest(to, {
    method: 'POST',
    path: '/IpTable',
    headers,
    body,
    agent,
    signal,
    ...limits,
  })
  return parseIpTable(answer, formatAddress(to))
}

/** The entry in which a peer without a key speaks of itself: the one with the address at which it was asked. */
function ownEntry(table: IpTableFile, at: PeerAt): TableEntry | undefined {
  return table.ip_address.find((entry) =>
    rowOf(entry)?.addresses.some((address) => sameAddress(address, canonical(at))),
  )
}

/** What it says of itself, less what is measured here and what is ours. Its other address must be of the same port. */
function selfDescription(own: TableEntry, at: PeerAt): Pick<Extract<Outcome, { kind: 'legacy' }>, 'fields' | 'also'> {
  const { Latency: _l, Download: _d, Upload: _u, NodeId: _n, Addresses: _a, Added: _o, Trusted: _t, ...fields } = own
  const also = rowOf({ ...own, Addresses: undefined })?.addresses.filter(({ host }) => host !== canonical(at).host)
  return { fields, also: (also ?? []).map(({ host, port }) => ({ host, port })) }
}

function untrustedAddress(at: PeerAt): KnownAddress {
  return { ...at, provedAt: null, failedAt: null, trusted: false }
}

/** One of each in turn, so that the addresses of a liar do not stand before those of honest peers. */
function interleaved<T>(lists: readonly (readonly T[])[]): T[] {
  const longest = Math.max(0, ...lists.map(({ length }) => length))
  return Array.from({ length: longest }, (_, index) => lists.flatMap((list) => list.slice(index, index + 1))).flat()
}
