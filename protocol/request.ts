/**
 * What the listeners say about a request itself. A concern with something under way for it stops that, and undoes what
 * nobody was told about.
 */
export type RequestFact = {
  /** Whoever asked closed the connection, or pressed Ctrl-C, before the finishing fact. */
  type: 'request.abandoned'
  requestId: string
}
