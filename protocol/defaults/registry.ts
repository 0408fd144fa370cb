/** Transitions of one actor that are kept; older ones are forgotten. */
export const TRANSITIONS_KEPT = 8

/** Longest name of an event in a transition: the end of a child is named after the child. */
export const EVENT_MAX_CHARS = 200

/** Largest view of one context, in characters of JSON. What exceeds it is cut, with a mark. */
export const CONTEXT_MAX_CHARS = 16 * 1024

/** Deepest level of a context that is shown. Far below `JSON_MAX_DEPTH`, so that every reader takes it. */
export const CONTEXT_MAX_DEPTH = 12

/** Longest text within a context. */
export const TEXT_MAX_CHARS = 1_024

/**
 * All views of contexts in one `actor.listed`, in characters, and the actors in it: together they stay below
 * `LINE_MAX_BYTES`. Actors beyond the first are listed without their contexts, those beyond the second are counted.
 */
export const ACTOR_LIST = { contextChars: 384 * 1024, actors: 1_000 } as const
