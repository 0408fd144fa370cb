import { DISCOVERY } from '../../protocol/defaults/ipTable.ts'

/** When nodes were last asked for on one interface, by whomever, and how long nobody needs to ask again. */
export interface QuerySchedule {
  readonly askedAt: number
  readonly intervalMs: number
}

export const firstQuery: QuerySchedule = {
  askedAt: Number.NEGATIVE_INFINITY,
  intervalMs: DISCOVERY.queryIntervalMs / 2,
}

/**
 * Returns the schedule after a query, this node's own or that of another node: all hear the answers, so a query of another
 * node stands for the own one (RFC 6762, section 7.3). Otherwise every node of a LAN would ask all others, all of whom
 * answer everybody. Queries soon after another, as when many nodes start, do not make the next one later.
 */
export function afterQuery({ askedAt, intervalMs }: QuerySchedule, now: number): QuerySchedule {
  const isDue = now - askedAt >= intervalMs / 2
  return { askedAt: now, intervalMs: isDue ? Math.min(2 * intervalMs, DISCOVERY.maxQueryIntervalMs) : intervalMs }
}

/**
 * Whether a node needs to query now. One with links learns from gossip who is there, and receives the announcement of whoever
 * starts, so that it only queries once an hour, which joins two networks on one LAN that do not know each other.
 */
export function isQueryNeeded({ askedAt }: QuerySchedule, now: number, isLinked: boolean): boolean {
  return !isLinked || now - askedAt >= DISCOVERY.maxQueryIntervalMs
}
