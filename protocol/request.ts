import { done, type FactSpecs, type FactsOf } from './facts.ts'

/**
 * Facts about a request itself, which `request()` publishes. A concern that works on the request stops, and reverts the
 * work that it has not reported yet.
 */
export const requestFacts = {
  /** The client closed the connection or pressed Ctrl-C, or the deadline passed, before a terminal event. */
  'request.abandoned': done,
  /** The reader of a long answer has taken a page and has room for the next one. */
  'request.continued': done,
} as const satisfies FactSpecs

export type RequestFact = FactsOf<typeof requestFacts>
