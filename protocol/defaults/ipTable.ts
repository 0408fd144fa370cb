/**
 * Hops of a crawl. The default is that of P2PRC's help text. Each hop multiplies the requests; over 16 finds no new
 * peer.
 */
export const HOPS = { default: 3, max: 16 } as const

/** Maximum number of peers in the table. With 2 kB of free text each, they are 12 MB as JSON. */
export const PEERS_MAX = 4_096

/**
 * How much JSON one page of the table holds; the row that passes the limit is still on it. Large enough that a page
 * costs little beside its rows, and small enough that no reader has to hold much.
 */
export const TABLE_PAGE_MAX_CHARS = 128 * 1024

/** How many seeds one fact tells gossip at its start, so that no message on the bus is as large as the table. */
export const SEEDS_PER_FACT_MAX = 64

/**
 * Maximum length of a text in the row of a peer without a key. Go sets no limit, so that a longer text is kept in part,
 * and its row is not passed on.
 */
export const LEGACY_TEXT_MAX_CHARS = 16 * 1024

/** How old the time of a peer's last answer may be in the file of a running node, if nothing else changes there. */
export const ANSWERED_AT_INTERVAL_MS = 600_000

/** How often this node and a Go peer exchange their tables. Through it, nodes that know only that peer find each other. */
export const LEGACY_EXCHANGE_INTERVAL_MS = 60_000

/** Probes of peers that have no link. Times are counted in ticks of `TABLE_TICK_MS`, not by the wall clock. */
export const PROBE = {
  /** Minimum interval between two dials of one peer, or of one address from an anonymous caller. */
  intervalMs: 30_000,
  /**
   * A peer that gossip confirms is probed only for its latency and load: at this interval, or, of many such peers, one of
   * them each `confirmedSpacingMs`, so that an idle node costs the same however many it knows. A probe takes 10 ms of a core
   * at either end. While somebody looks at the list of peers, one is probed each `listedSpacingMs`.
   */
  confirmedIntervalMs: 120_000,
  confirmedSpacingMs: 60_000,
  listedSpacingMs: 1_000,
  /** Maximum number of dials per second, so that nobody can use this node to flood another. */
  dialsPerSecond: 10,
  /** Maximum number of concurrent probes: ten per second, each of which hangs until its timeout. */
  maxConcurrent: 30,
  /** How long a probe may take, from dial to answer. Go P2PRC runs `nvidia-smi` before it answers. */
  timeoutMs: 3_000,
  /** Consecutive failures until a suspected peer is dropped: 90 s, so that a node has time to restart. */
  dropAfter: 3,
  /** Maximum interval between two probes of a dropped peer. The interval starts at `intervalMs` and doubles each time. */
  maxIntervalMs: 3_600_000,
  /** Failed probes until a dropped peer is forgotten, unless the owner added it: about eight days. */
  forgetAfter: 200,
} as const

/** How often the table checks which work is due, unless nothing will be soon. It is also the unit of the ages in the table. */
export const TABLE_TICK_MS = 1_000

/**
 * Maximum number of unverified addresses from anonymous callers: in total, and per host so that none displaces all
 * others.
 */
export const UNVERIFIED_MAX = { all: 4_096, perHost: 16 } as const

/**
 * How long changes are collected before the table is written, unless a command waits. Lost changes cost one round of
 * probes.
 */
export const TABLE_SAVE_DELAY_MS = 10_000

/** Minimum interval between two writes of the table, unless a command waits for the write. */
export const TABLE_SAVE_INTERVAL_MS = 1_000

/** How often a node checks whether its own addresses have changed. */
export const ADDRESSES_INTERVAL_MS = 10_000

/** A crawl of the network, from peer to peer (`p2prc update`). */
export const CRAWL = {
  /** How many peers are asked at the same time. */
  maxConcurrent: 16,
  /** How long the exchange with one peer may take: its table has up to 2 MiB, and its line may be slow. */
  peerTimeoutMs: 10_000,
  /** How long the whole crawl may take. Addresses that it did not reach are probed later in the background. */
  timeoutMs: 60_000,
  /**
   * Maximum number of new addresses from one answer, so that false addresses cost the dials of a few seconds at most.
   */
  maxPerAnswer: 64,
} as const

/**
 * Measurement of the latency over plain HTTP: `trips` round trips, or as many as are possible within `maxMs`; in the background
 * `probeTrips`, of which the shortest is within a few percent, because each costs both nodes half a millisecond of a core.
 */
export const LATENCY = { trips: 10, probeTrips: 4, pingTimeoutMs: 3_000, maxMs: 3_000 } as const

/** Discovery of nodes on the LAN by mDNS. */
export const DISCOVERY = {
  /** Minimum interval between two multicasts of a record. RFC 6762 requires one second; many nodes that start share an answer. */
  minAnswerIntervalMs: 3_000,
  /** An announcement of the same endpoint within this time changes nothing. */
  refoundIntervalMs: 10_000,
  /**
   * First and longest interval of queries; it doubles, as RFC 6762 requires. Nodes announce themselves when they start;
   * queries find those whose announcement was lost.
   */
  queryIntervalMs: 60_000,
  maxQueryIntervalMs: 3_600_000,
  /** How often the network interfaces are checked, because a laptop may change its network. */
  interfacesIntervalMs: 10_000,
} as const

/** How often the latency of a reachable peer is measured in the background. */
export const LATENCY_INTERVAL_MS = 600_000
