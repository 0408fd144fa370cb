import { PING_PATH } from '../../protocol/control.ts'
import { LATENCY } from '../../protocol/defaults/ipTable.ts'
import { SERVER_INFO_MAX_BYTES } from '../../protocol/defaults/net.ts'
import { formatEndpoint } from '../../protocol/net/endpoint.ts'
import type { Connection } from './dialer.ts'
import { fetchText } from './httpClient.ts'

export interface Latency {
  /** The shortest round trip, in nanoseconds. */
  bestNs: number
  medianNs: number
  count: number
}

/**
 * Measures round trips on an open connection: of `/api/v1/ping` to a node, and of `/server_info` to a Go P2PRC node, which
 * answers no other ping. The first one warms up the connection and does not count. Rejects as `fetchText` does if that one
 * fails; a later failure ends the measurement with the round trips so far. `answer` is the last body of a Go node.
 */
export async function measureLatency(
  connection: Connection,
  signal: AbortSignal,
  trips: number = LATENCY.trips,
): Promise<Latency & { answer: string }> {
  const { stream, endpoint } = connection
  const path = connection.peer ? PING_PATH : '/server_info'
  const request = { where: formatEndpoint(endpoint), path, timeoutMs: LATENCY.pingTimeoutMs, signal }
  let answer = ''
  const ping = async () => {
    answer = await fetchText(stream, { ...request, maxBytes: SERVER_INFO_MAX_BYTES })
  }
  const warmUp = serverInfoOf(connection)
  if (warmUp !== undefined) answer = warmUp
  const opening = warmUp === undefined ? await timed(ping) : connection.ms * 1e6
  const measured: number[] = []
  const until = performance.now() + LATENCY.maxMs
  while (measured.length < trips && performance.now() < until) {
    const trip = await timed(ping).catch(() => undefined)
    if (trip === undefined) break
    measured.push(trip)
  }
  return { ...summary(measured.length > 0 ? measured : [opening]), answer }
}

/** Returns the body that the dialer has already read from a Go node to identify it. */
function serverInfoOf(connection: Connection): string | undefined {
  return connection.peer ? undefined : connection.serverInfo
}

/**
 * Returns the minimum and the median. For an even count it is the lower median, so that one slow trip has no effect.
 */
export function summary(trips: readonly number[]): Latency {
  const sorted = [...trips].sort((one, other) => one - other)
  const middle = sorted[Math.floor((sorted.length - 1) / 2)] ?? 0
  return { bestNs: Math.round(sorted[0] ?? 0), medianNs: Math.round(middle), count: sorted.length }
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const from = process.hrtime.bigint()
  await work()
  return Number(process.hrtime.bigint() - from)
}
