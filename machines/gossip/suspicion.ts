interface Timing {
  members: number
  /** Number of other nodes that suspect the member. */
  others: number
  /** Number of confirmations at which the timeout is shortest. */
  confirmations: number
  shortestMs: number
  maxMultiplier: number
}

/**
 * Returns the milliseconds from the first suspicion until the member counts as dead. The timeout is long while one node
 * alone suspects the member, and falls with independent confirmations (Lifeguard, section 4.2; the formula is
 * memberlist's). It is the shortest at once if no other node could confirm.
 */
export function suspicionTimeout({ members, others, confirmations, shortestMs, maxMultiplier }: Timing): number {
  const shortest = shortestMs * Math.max(1, Math.log10(members))
  const expected = expectedConfirmations(members, confirmations)
  if (expected === 0) return shortest
  const longest = shortest * maxMultiplier
  const share = Math.log(Math.min(others, expected) + 1) / Math.log(expected + 1)
  return longest - (longest - shortest) * share
}

/** Limits the confirmations to what the network can give: the suspect and this node cannot confirm. */
export function expectedConfirmations(members: number, confirmations: number): number {
  return Math.max(0, Math.min(confirmations, members - 2))
}

/**
 * Returns Lifeguard's next local health score, from 0 to `max - 1`. Signs that this node itself is in trouble raise it,
 * successful probes lower it, and timeouts grow with it.
 */
export function nextLocalHealth(localHealth: number, change: number, max: number): number {
  return Math.max(0, Math.min(max - 1, localHealth + change))
}
