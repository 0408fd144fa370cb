/** Gossip. Times are monotonic milliseconds. What a round costs is measured in `bench/gossip.ts`. */
export const GOSSIP = {
  /** One round: a node compares tables with `contacts` of its links, which is its probe of them too. */
  roundMs: 1_000,
  probesPerRound: 1,
  /** Links to which something new is pushed at once. Three reach 94 % unaided; comparing finds the rest. */
  fanout: 3,
  /** Links that a node looks for, and active links that it keeps: a random graph of degree 8 stays connected. */
  targetLinks: 8,
  maxLinks: 12,
  /** Of these, links that the node chose and dialled itself: they never give way to accepted ones. */
  minOutboundLinks: 4,
  /** Connections at one time, ephemeral ones included. */
  maxSockets: 64,
  /** Active links into one subnet, so that many nodes behind one address cannot surround a node. */
  maxLinksPerSubnet: 2,
  /** How long a link that one end does not count as active may stay: an ephemeral link is done in a second. */
  ephemeralMs: 4_000,
  /** How often a node dials a random member it has no link to: finds dead members, joins split networks. */
  ephemeralEveryMs: 30_000,
  /** How often a removed member, or an address given by the owner, is tried again; without any link soon, then less often. */
  retryMs: 15_000,
  isolatedInitialBackoffMs: 150,
  isolatedMaxBackoffMs: 1_000,
  /** Dials a second in all, and how long until one address that others named is dialled again. */
  dialsPerSecond: 10,
  redialMs: 30_000,
  /** How long an answer may take, twice, before others are requested to probe too; then how long those may take. */
  pingTimeoutMs: 300,
  indirectTimeoutMs: 700,
  /** How long dialling may take when it is a probe: one lost SYN is sent again after a second. */
  dialTimeoutMs: 1_600,
  /** Members requested to probe too (SWIM's k). */
  indirectProbers: 3,
  /** A suspicion of a node without a link is probed after this and up to half as much again: its refutation is faster. */
  suspicionProbeDelayMs: 600,
  /** Shortest time from suspicion to death, times max(1, log10 of the members); the longest is `suspicionSpread` as long. */
  suspicionTimeoutMs: 1_000,
  suspicionMaxMultiplier: 3,
  /** Independent confirmations that bring the shortest time, and how long where the address itself refuses. */
  confirmations: 2,
  refusedTimeoutMs: 300,
  /** How long a node that just answered here is safe from suspicions of others. */
  recentlyConfirmedMs: 10_000,
  /** Least time between two refutations of the own death. */
  refuteIntervalMs: 400,
  /** With another node that uses this key, that pause doubles up to this: else the two would never stop refuting each other. */
  conflictRefuteIntervalMs: 300_000,
  /** An event this much later than it was due means that this process stood still, not that the others died. */
  stallMs: 1_000,
  /** Lifeguard: failures of the own node stretch its timeouts up to this many times. */
  maxLocalHealth: 8,
  /** How long something counts as new, to be named in a heartbeat. */
  recentMs: 10_000,
  /** Signatures to check that one peer may cause a second, and suspicions that it may forward. */
  recordsPerSecond: 200,
  suspicionsPerSecond: 100,
  /** Records and digests that one peer is served a second. */
  servedPerSecond: 400,
  digestsPerSecond: 4,
  /** How long a requested record may take before another peer gets the request. */
  requestTimeoutMs: 1_000,
  /** How long two tables that cannot be brought closer are left alone while neither changes. */
  syncBackoffMs: 5_000,
  /** Members, members of one subnet, and members without a public address, which a LAN may have many of. */
  maxMembers: 4_096,
  subnetQuota: 16,
  maxPrivateMembers: 1_024,
  /** Removed members that are remembered, so that they do not rejoin, and how long. */
  maxTombstones: 4_096,
  tombstoneMs: 48 * 3_600_000,
  /** Broken messages or forged records until a peer is banned, and for how long. */
  maxPenalties: 3,
  banMs: 600_000,
} as const
