/** The mathematics of suspicion, as functions of all that they depend on. */

interface Timing {
  members: number
  /** Number of nodes that suspect it besides this node. */
  others: number
  /** Number of confirmations that bring the shortest time. */
  confirmations: number
  shortestMs: number
  spread: number
}

/**
 * How long from the first suspicion to death: long where one node alone suspects it, short where independent ones agree
 * (Lifeguard, section 4.2; the formula is memberlist's). Where nobody else could confirm, it is the shortest at once.
 */
export function suspicionMs({ members, others, confirmations, shortestMs, spread }: Timing): number {
  const shortest = shortestMs * Math.max(1, Math.log10(members))
  const expected = expectedConfirmations(members, confirmations)
  if (expected === 0) return shortest
  const longest = shortest * spread
  const share = Math.log(Math.min(others, expected) + 1) / Math.log(expected + 1)
  return longest - (longest - shortest) * share
}

/** In a small network fewer can confirm: all but the suspect and this node. */
export function expectedConfirmations(members: number, confirmations: number): number {
  return Math.max(0, Math.min(confirmations, members - 2))
}

/** Lifeguard's local health: failures of the own node raise it, successes lower it, and time-outs grow with it. */
export function nextLocalHealth(localHealth: number, change: number, most: number): number {
  return Math.max(0, Math.min(most - 1, localHealth + change))
}
