/** The default TCP port of a node. It is P2PRC's, so that existing links keep working. */
export const PORT = 8088

/**
 * The version of `/api/v1`, which the greeting names. It is increased only if an older node could misread a message.
 */
export const PROTOCOL_VERSION = 1

/** How long a CLI without a running node waits for the lock of the home folder. Any file write is faster. */
export const LOCK_TIMEOUT_MS = 5_000

/** Restarts of a crashed concern: the first delay, the maximum delay, and the uptime after which the delay is reset. */
export const RESTART = { initialBackoffMs: 200, maxBackoffMs: 30_000, healthyMs: 60_000 } as const
