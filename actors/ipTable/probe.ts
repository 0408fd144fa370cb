import { randomUUID } from 'node:crypto'
import type { Contact, Observation, Outcome, ProbeInput } from '../../machines/ipTable/ipTablePorts.ts'
import { endpointOf } from '../../machines/ipTable/peerRow.ts'
import { namedIn } from '../../machines/ipTable/unverified.ts'
import { CRAWL, LATENCY, PROBE } from '../../protocol/defaults/ipTable.ts'
import type { NodeId } from '../../protocol/ids.ts'
import { readJson } from '../../protocol/json.ts'
import { type Endpoint, isSameEndpoint } from '../../protocol/net/endpoint.ts'
import type { Specs } from '../../protocol/specs.ts'
import { receivedSpecs } from '../../protocol/wire/specs.ts'
import type { Connection, Dialer, DialOptions, NodeConnection } from '../net/dialer.ts'
import { type Latency, measureLatency } from '../net/latency.ts'
import { requestOver } from '../net/peerClient.ts'
import { DialError } from '../net/race.ts'
import { openScope } from '../scope.ts'
import { exchangeTables, selfDescription } from './exchange.ts'

/** Finds out which node answers at a peer's addresses, and measures its latency. Never rejects. */
export async function probe(input: ProbeInput, dialer: Dialer): Promise<Outcome> {
  const { measure, signal, keyed, endpoints, fields } = input
  let connection: Connection
  try {
    // A peer that answered without a key gets no TLS handshake in the background, because to it a ClientHello is
    // garbage.
    const goNode = !keyed && endpoints.some(({ provedAt }) => provedAt !== null) ? 'expected' : 'accepted'
    connection = await dialKnown(input, dialer, { purpose: 'probe', goNode, attemptMs: PROBE.timeoutMs })
  } catch (error) {
    return { kind: isDeferred(error, signal) ? 'skipped' : 'silent' }
  }
  try {
    if (connection.peer) {
      const specs = input.specs && (await requestSpecs(connection, signal))
      const latency = measure && (await latencyOf(measureLatency(connection, signal, LATENCY.probeTrips)))
      return { kind: 'node', contact: contactOf(connection), ...specs, ...latency }
    }
    const first = await measureLatency(connection, signal, measure ? LATENCY.probeTrips : 0)
    const latencyNs = measure ? { latencyNs: first.bestNs } : {}
    const outcome = { kind: 'legacy' as const, at: connection.endpoint, ...readSpecs(first.answer), ...latencyNs }
    return { ...outcome, ...(fields && { fields }), ...(await exchangeResult(connection, input)) }
  } catch {
    return { kind: 'silent' }
  } finally {
    connection.stream.destroy()
  }
}

type ExchangeResult = Pick<Extract<Outcome, { kind: 'legacy' }>, 'fields' | 'also' | 'named'>

/** Exchanges tables with a peer without a key if that is due. A failure teaches nothing, because the peer did answer. */
async function exchangeResult(
  connection: Connection,
  { upload, endpoints, signal }: ProbeInput,
): Promise<ExchangeResult> {
  if (!upload) return {}
  const scope = openScope(signal, CRAWL.peerTimeoutMs)
  try {
    const table = await exchangeTables(connection, { upload, endpoints, signal: scope.signal })
    const named = namedIn(table).slice(0, CRAWL.maxPerAnswer)
    return { ...selfDescription(table, connection.endpoint), named }
  } catch {
    return {}
  } finally {
    scope.end()
  }
}

/**
 * Dials a peer of the table. If another node answers at one of its addresses, that node is dialled, so that the table
 * learns who owns the address now. A peer with a known key is never taken for a Go node. Rejects as the dialer does.
 */
export async function dialKnown(
  { key, keyed, endpoints, signal }: ProbeInput,
  dialer: Dialer,
  options: Pick<DialOptions, 'purpose' | 'goNode' | 'attemptMs'>,
): Promise<Connection> {
  // Only addresses that the owner named or that were proved are exempt from the dial budget.
  const isTrusted = (endpoint: Endpoint) =>
    endpoints.some((at) => isSameEndpoint(at, endpoint) && (at.trusted || at.provedAt !== null))
  const all: DialOptions = { ...options, isTrusted, signal, ...(keyed && { goNode: 'refused' }) }
  try {
    return await dialer.dial({ endpoints: endpoints.map(endpointOf), ...(keyed && { id: key as NodeId }) }, all)
  } catch (error) {
    const taken = error instanceof DialError && error.attempts.find((attempt) => attempt.error.code === 'wrong_node')
    if (!taken) throw error
    return dialer.dial({ endpoints: [taken.endpoint] }, all)
  }
}

/** Whether a dial ended before the peer was contacted, so that nothing was learned about it. */
export function isDeferred(error: unknown, signal: AbortSignal): boolean {
  return (
    signal.aborted ||
    (error instanceof DialError && error.attempts.some(({ error: { code } }) => code === 'dialled_lately'))
  )
}

export function contactOf({ peer: { id, name, key }, endpoint }: NodeConnection): Contact {
  return { id, name, key, endpoint }
}

/**
 * Requests a node's machine specifications. Resolves with nothing if it sends none: it has proved its key and is
 * there.
 */
export async function requestSpecs(connection: NodeConnection, signal: AbortSignal): Promise<{ specs?: Specs }> {
  const scope = openScope(signal, PROBE.timeoutMs)
  try {
    const command = { type: 'specs.get', requestId: randomUUID() }
    const fact = await requestOver(connection, command, { signal: scope.signal })
    const specs = receivedSpecs.safeParse(fact.type === 'specs.got' ? fact.specs : undefined)
    return specs.success ? { specs: specs.data } : {}
  } catch {
    return {}
  } finally {
    scope.end()
  }
}

/** Converts a measurement to an observation. A failed one yields nothing, because the peer did answer before. */
function latencyOf(measuring: Promise<Latency>): Promise<Observation> {
  return measuring.then(
    ({ bestNs }) => ({ latencyNs: bestNs }),
    () => ({}),
  )
}

/** Reads the machine specifications from the body of `/server_info`; returns nothing if it is not in the known form. */
export function readSpecs(body: string): { specs?: Specs } {
  try {
    const specs = receivedSpecs.safeParse(readJson(body))
    return specs.success ? { specs: specs.data } : {}
  } catch {
    return {}
  }
}
