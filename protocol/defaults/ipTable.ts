/** Hops of a walk: P2PRC's text says 3. Each hop multiplies the peers asked; more than 16 reaches nobody new. */
export const HOPS = { usual: 3, most: 16 } as const

/** Peers that the table holds. 4,096 entries of 437 bytes are 1.8 MB, which one message still carries. */
export const PEERS_MAX = 4_096

/** Looking after peers without a link. Times are counted in ticks of `TABLE_TICK_MS`, never on the wall clock. */
export const PROBE = {
  /** One peer, and one address named by anonymous callers, is dialled this often at most. */
  everyMs: 30_000,
  /** Dials a second in all, so that nobody can use this node to flood another. */
  dialsPerSecond: 10,
  /** Probes under way at one time: ten a second that each hang until their time-out. */
  parallel: 30,
  /** How long connecting and answering may take together. Go P2PRC runs `nvidia-smi` before it answers. */
  timeoutMs: 3_000,
  /** Failures in a row until a suspected peer is dropped: 90 s, so that a restart of a node is survived. */
  dropAfter: 3,
  /** A dropped peer is looked for after `everyMs`, then twice as long each time, up to this. */
  longestMs: 3_600_000,
  /** Failed looks after which a dropped peer that the owner did not add is forgotten: about eight days. */
  forgetAfter: 200,
} as const

/** How often the table looks what is due; its ages are exact to this. */
export const TABLE_TICK_MS = 1_000

/** Addresses of anonymous callers that wait to be looked at: in all, and of one host, so that none can crowd out the others. */
export const UNVERIFIED_MAX = { all: 4_096, perHost: 16 } as const

/** How long changes that nobody waits for are gathered before the table is written. Losing them costs one look round. */
export const TABLE_SAVE_MS = 10_000

/** Least time between two writes of the table, but for those that somebody waits for. */
export const TABLE_PAUSE_MS = 1_000

/** How often a node looks whether its own addresses have changed. */
export const ADDRESSES_INTERVAL_MS = 10_000

/** A walk from peer to peer (`p2prc update`). */
export const CRAWL = {
  /** Peers asked at one time. */
  parallel: 16,
  /** One peer's whole exchange: its table of up to 2 MiB over a slow line. */
  peerMs: 10_000,
  /** The whole walk; what was not reached is looked at later in the background. */
  totalMs: 60_000,
  /** New addresses taken from one answer, so that a liar costs the dials of a few seconds at most. */
  perAnswer: 64,
} as const

/** Latency over plain HTTP: `trips` round trips, or as many as `totalMs` holds. */
export const LATENCY = { trips: 10, pingMs: 3_000, totalMs: 3_000 } as const

/** Finding nodes of the LAN by mDNS. */
export const DISCOVERY = {
  /** RFC 6762 wants a second between answers of one kind. */
  answerEveryMs: 1_000,
  /** Nodes say so when they start; asking again finds those whose word was lost. */
  askEveryMs: 60_000,
  /** How often interfaces are looked at: a laptop changes its network. */
  interfacesMs: 5_000,
} as const

/** How often the latency of a peer that answers is measured in the background: ten round trips of a kilobyte each. */
export const LATENCY_EVERY_MS = 600_000
