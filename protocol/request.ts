import { done, type FactSpecs, type FactsOf } from './facts.ts'

/**
 * Facts about a request itself, which `request()` publishes. A concern that works on the request stops, and reverts the
 * work that it has not reported yet.
 */
export const requestFacts = {
  /** The client closed the connection or pressed Ctrl-C, or the deadline passed, before a terminal event. */
  'request.abandoned': done,
} as const satisfies FactSpecs

export type RequestFact = FactsOf<typeof requestFacts>
