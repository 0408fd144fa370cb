/** Limits of gossip. Durations are milliseconds of the monotonic clock. `bench/gossip.ts` measures what a round costs. */
export const GOSSIP = {
  /** Length of a round. In each, a node pings `probesPerRound` of its links, which also compares tables over them. */
  roundMs: 1_000,
  probesPerRound: 1,
  /**
   * While no record changes, a link is pinged only when nothing has arrived on it for the longer of these two: with two links,
   * each would carry six times as many messages as with twelve. At 750 ms a link nodes send a fifth less, and a machine that
   * loses power is found as soon as before; at 1,000 ms it takes a third longer.
   */
  quietSilenceMs: 4_000,
  quietSilencePerLinkMs: 750,
  /** Number of links to which a new record is pushed at once. Three reach 94 % of the nodes; comparing tables reaches the rest. */
  fanout: 3,
  /** A node dials until it has `targetLinks` active links, and keeps at most `maxLinks`. A random graph of degree 8 stays connected. */
  targetLinks: 8,
  maxLinks: 12,
  /** Number of active links that the node dialled itself. Accepted links cannot displace them. */
  minOutboundLinks: 4,
  /** Number of open connections, ephemeral links included. */
  maxSockets: 64,
  /**
   * Number of active links into one subnet, so that many nodes in one subnet cannot eclipse a node. More are dialled only
   * where no other subnet has a member to dial, and accepted only while as many are left for other subnets.
   */
  maxLinksPerSubnet: 2,
  /** An ephemeral link is closed at this age. Its exchange takes about a second. */
  maxEphemeralMs: 4_000,
  /** Interval at which a node opens an ephemeral link to a random member, which detects dead members and heals partitions. */
  ephemeralIntervalMs: 30_000,
  /** Interval at which removed members and bootstrap addresses are dialled; for an isolated node, the bounds of the backoff. */
  retryIntervalMs: 15_000,
  isolatedInitialBackoffMs: 150,
  isolatedMaxBackoffMs: 1_000,
  /** Rate of all dials, and the interval at which one address is dialled again, unless the dial is urgent. */
  dialsPerSecond: 10,
  redialIntervalMs: 30_000,
  /** Timeout of a ping, which is sent twice before indirect probes are requested, and the timeout of these. */
  pingTimeoutMs: 300,
  indirectTimeoutMs: 700,
  /** Timeout of a dial that is a probe. TCP retransmits a lost SYN after one second. */
  dialTimeoutMs: 1_600,
  /** Number of indirect probers (k in SWIM). */
  indirectProbers: 3,
  /** Delay, plus up to half as much again, before a suspect without a link is probed, because its refutation is usually faster. */
  suspicionProbeDelayMs: 600,
  /** Shortest suspicion timeout, times max(1, log10(members)); the longest is `suspicionMaxMultiplier` times as long. */
  suspicionTimeoutMs: 1_000,
  suspicionMaxMultiplier: 3,
  /** Number of independent confirmations at which the suspicion timeout is the shortest. */
  confirmations: 2,
  /** Suspicion timeout if the suspect's address refuses connections and another node confirms the suspicion. */
  refusedTimeoutMs: 300,
  /** A member that has answered this node is not suspected on another node's word for this long. */
  recentlyConfirmedMs: 10_000,
  /** Minimum interval between two refutations of this node. */
  refuteIntervalMs: 400,
  /** If another node uses this key, the interval doubles up to this, because the two would otherwise refute each other forever. */
  maxRefuteIntervalMs: 300_000,
  /** An event that is later than this after it was due shows that this process has stalled, not that other nodes have died. */
  stallMs: 300,
  /** Upper bound of Lifeguard's local health score, which stretches this node's timeouts. */
  maxLocalHealth: 8,
  /** A merged record is named in heartbeats for this long. */
  recentMs: 10_000,
  /** Records of one peer that are verified in a second, and suspicions of one peer that are handled in a second. */
  recordsPerSecond: 200,
  suspicionsPerSecond: 100,
  /** Records and digests that one peer is served in a second. */
  servedPerSecond: 400,
  digestsPerSecond: 4,
  /** A requested record that has not arrived after this time is requested from another peer. */
  requestTimeoutMs: 1_000,
  /** After a comparison that did not make two tables equal, it is not repeated for this long while neither changes. */
  syncBackoffMs: 5_000,
  /**
   * Number of members. From `quotaMinMembers` on the table is nearly full: then a subnet with more than `subnetQuota` members
   * gives way if it is the fullest. Below, an office or a laboratory may have all its nodes in one subnet.
   */
  maxMembers: 4_096,
  quotaMinMembers: 3_584,
  subnetQuota: 16,
  /** Number of tombstones, and how long they are kept. They keep old records from rejoining. */
  maxTombstones: 4_096,
  tombstoneMs: 48 * 3_600_000,
  /**
   * Age of a record at which the peers that are linked to its author ask for a newer one, and the age at which a member expires.
   * Between the two are several rounds of asking and the time to spread.
   */
  renewIntervalMs: 600_000,
  maxRecordAgeMs: 1_800_000,
  /** Number of protocol violations at which a peer is banned, and for how long. */
  maxPenalties: 3,
  banMs: 600_000,
} as const

/** The longest time until a step without facts is reported, so that what `p2prc actors` shows of gossip is at most this old. */
export const GOSSIP_REPORT_INTERVAL_MS = 10_000
