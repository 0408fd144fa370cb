/** How often a listener writes an empty line while a command runs, so that silence means a broken connection. */
export const HEARTBEAT_INTERVAL_MS = 5_000

/** Maximum size of a body. A table of 4,096 entries of 437 bytes has 1.8 MB; commands are small. */
export const BODY_MAX_BYTES = 2 * 1024 * 1024

/**
 * Maximum nesting of JSON from outside. Without it, `JSON.stringify` overflows the stack for input that `JSON.parse`
 * accepts.
 */
export const JSON_MAX_DEPTH = 32

/**
 * Rate limit for the plain HTTP requests of one address: `max` per `windowMs`. A ping every second is far below it.
 */
export const ANONYMOUS_RATE = { max: 6_000, windowMs: 10_000 } as const

/**
 * Rate limit for the table uploads of one address. A Go node uploads two per round, and the largest takes 50 ms to
 * parse.
 */
export const TABLE_RATE = { max: 30, windowMs: 10_000 } as const

/** How many refusals of one address the lender is told of, so that nobody can fill the lender's screen. */
export const REFUSALS_REPORTED_RATE = { max: 1, windowMs: 60_000 } as const

/** How long a connection may take to send a complete request, against Slowloris attacks. */
export const HEADERS_TIMEOUT_MS = 10_000

/** How long a stopping node waits for connections to read what was already written to them. */
export const CLOSE_TIMEOUT_MS = 500

/** Maximum number of bytes that are buffered for a slow reader of an NDJSON stream before the stream ends. */
export const EVENTS_BACKLOG_MAX_BYTES = 1024 * 1024

/** How long a listener's connection may be idle. The heartbeats of a running command come far more often. */
export const IDLE_TIMEOUT_MS = 120_000

/** Maximum number of addresses whose requests are counted at the same time. Above it, all counts restart at zero. */
export const ANONYMOUS_COUNTED_MAX = 65_536

/**
 * Maximum number of connections to the TCP port: from one address, so that one caller cannot take them all, and in
 * total, which a low limit of the process's open files reduces. A link has 60 kB.
 */
export const CONNECTIONS_MAX = { perAddress: 64, total: 1_024 } as const

/** How long a rejected connection may take to read why. A client that never closes would otherwise keep it open. */
export const REJECTED_GRACE_MS = 1_000

/**
 * How long it is remembered that a closed connection came from a user outside: what it sent last is read within this time,
 * and the system gives its port to another connection later.
 */
export const TUNNEL_REMEMBERED_MS = 10_000
