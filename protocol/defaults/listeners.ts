/** How often a listener writes an empty line while a command is at work, so that silence means a broken connection. */
export const HEARTBEAT_MS = 5_000

/** Largest body of a command or an IP table. A table of 4,096 entries of 437 bytes would be 1.8 MB; commands are small. */
export const BODY_MAX_BYTES = 2 * 1024 * 1024

/** Deepest JSON that is read: `JSON.stringify` overflows the stack on what `JSON.parse` accepts. */
export const JSON_MAX_DEPTH = 32

/** Plain HTTP requests that one address may make: `count` within `windowMs`. Pinging every second stays far below. */
export const ANONYMOUS_RATE = { count: 6_000, windowMs: 10_000 } as const

/** Tables that one address may upload: a Go node uploads two a round. Reading the largest takes 50 ms. */
export const TABLE_RATE = { count: 30, windowMs: 10_000 } as const

/** How long a connection may stay without a complete request (slow-loris). */
export const HEADERS_TIMEOUT_MS = 10_000

/** How long a stopping node gives connections to take what was already written to them. */
export const CLOSE_GRACE_MS = 500

/** What may wait for a slow reader of an NDJSON stream before it is cut off. */
export const EVENTS_BACKLOG_BYTES = 1024 * 1024

/** How long a listener's connection may neither read nor write. Heartbeats keep a command at work far below it. */
export const IDLE_TIMEOUT_MS = 120_000

/** Addresses whose requests are counted at one time. Above it the count begins anew for all. */
export const ANONYMOUS_COUNTED_MAX = 65_536
