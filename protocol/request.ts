import { done, type FactSpecs, type FactsOf } from './facts.ts'

/**
 * What the listeners say about a request itself. A concern with something under way for it stops that, and undoes what
 * nobody was told about.
 */
export const requestFacts = {
  /** Whoever asked closed the connection, or pressed Ctrl-C, before the finishing fact. */
  'request.abandoned': done,
} as const satisfies FactSpecs

export type RequestFact = FactsOf<typeof requestFacts>
