/** How long one check may take: a dial to a silent address and the answer to a dial back fit in it. */
export const CHECK_TIMEOUT_MS = 20_000

/** How long this node may take to answer itself. */
export const PING_TIMEOUT_MS = 3_000

/** What the folder of a node needs at least: its tables and logs. */
export const HOME_FREE_MIN_BYTES = 64 * 1024 * 1024

/** What the engine needs at least where it runs on this machine: the image that is lent, and some room for its containers. */
export const ENGINE_FREE_MIN_BYTES = 2 * 1024 * 1024 * 1024

/** How far this machine's clock may be from the clocks of others. HTTP tells whole seconds, so that less is not seen. */
export const CLOCK_SKEW_MAX_MS = 30_000

/** How many peers are asked for the time; the median counts, so that one wrong clock has no effect. */
export const CLOCK_PEERS = 3

/** How long a name server may take to answer. */
export const DNS_TIMEOUT_MS = 3_000

/** How many names of peers are looked up. */
export const DNS_NAMES_MAX = 8
