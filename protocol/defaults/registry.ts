/** How many transitions of one actor are recorded; older ones are dropped. */
export const TRANSITIONS_MAX = 8

/**
 * Maximum length of an event type in a transition. It may be long, because the event of a finished child contains its
 * name.
 */
export const EVENT_MAX_CHARS = 200

/** Maximum size of the view of one context, in characters of JSON. A larger one is truncated and marked. */
export const CONTEXT_MAX_CHARS = 16 * 1024

/** Maximum nesting in the view of a context. It is far below `JSON_MAX_DEPTH`, so that every reader accepts it. */
export const CONTEXT_MAX_DEPTH = 12

/** Maximum length of a text in the view of a context. */
export const TEXT_MAX_CHARS = 1_024

/**
 * Limits of one `actor.listed`, which keep it below `LINE_MAX_BYTES`: the total size of the contexts, in characters,
 * and the number of actors. Above `maxContextChars`, actors are listed without their contexts; above `maxActors`, they are
 * only counted.
 */
export const ACTOR_LIST = { maxContextChars: 384 * 1024, maxActors: 1_000 } as const
