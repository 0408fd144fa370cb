import { Agent } from 'node:http'
import { LATENCY } from '../../protocol/defaults/ipTable.ts'
import type { NodeId } from '../../protocol/ids.ts'
import type { PeerAt } from '../../protocol/ipTable.ts'
import { sendPlainRequest } from '../net/plainHttp.ts'
import type { Dial } from '../speedTester/speedLink.ts'

export interface Latency {
  /** Round trips in nanoseconds. */
  bestNs: number
  medianNs: number
  count: number
}

/**
 * Round trips of `/server_info` on one kept connection: the only ping that Go P2PRC nodes answer. The first one opens
 * the connection and does not count. `agent` must keep one connection. Rejects as `sendPlainRequest` where that one fails;
 * later failures end the measuring with what there is. `answer` is the last body.
 */
export async function measureLatency(
  to: PeerAt,
  agent: Agent,
  signal: AbortSignal,
): Promise<Latency & { answer: string }> {
  let answer = ''
  const limits = { timeoutMs: LATENCY.pingMs, maxBytes: LATENCY.maxBytes }
  const ping = async () => {
    answer = await sendPlainRequest(to, { path: '/server_info', agent, signal, ...limits })
  }
  const opening = await timed(ping)
  const trips: number[] = []
  const until = performance.now() + LATENCY.totalMs
  while (trips.length < LATENCY.trips && performance.now() < until) {
    const trip = await timed(ping).catch(() => undefined)
    if (trip === undefined) break
    trips.push(trip)
  }
  return { ...summary(trips.length > 0 ? trips : [opening]), answer }
}

/** Round trips to a node of ours, over a connection on which it has proved its key. Rejects as `Dial` and the above. */
export async function measureKeyedLatency(
  dial: Dial,
  to: PeerAt & { id?: NodeId },
  signal: AbortSignal,
): Promise<Latency & { answer: string; id: NodeId }> {
  const { socket, peer } = await dial(to, signal)
  socket.on('error', () => {})
  const agent = Object.assign(new Agent({ keepAlive: true, maxSockets: 1 }), { createConnection: () => socket })
  try {
    return { ...(await measureLatency(to, agent, signal)), id: peer.id }
  } finally {
    agent.destroy()
    socket.destroy()
  }
}

/** The same to a Go node, on a kept-alive connection of its own. */
export async function measurePlainLatency(to: PeerAt, signal: AbortSignal): Promise<Latency & { answer: string }> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  try {
    return await measureLatency(to, agent, signal)
  } finally {
    agent.destroy()
  }
}

/** The smallest and the middle one. Of an even count the lower middle, so that one slow trip never shows. */
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
