/** TCP port of a node, as in P2PRC, so that old links and habits work. */
export const PORT = 8088

/** `/api/v1`'s version, named in the greeting. Raised only when an older node could misread a message. */
export const PROTOCOL_VERSION = 1

/** How long a CLI without a running node waits for the home's lock before it gives up. Longer than any file write. */
export const LOCK_WAIT_MS = 5_000

/** Restart of a crashed concern: first wait, longest wait, and the healthy time after which the wait starts anew. */
export const RESTART = { firstMs: 200, longestMs: 30_000, healthyMs: 60_000 } as const
