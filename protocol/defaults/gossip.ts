/** Gossip. Times are monotonic milliseconds. What a round costs is measured in `bench/gossip.ts`. */
export const GOSSIP = {
  /** One round: a node compares tables with `contacts` of its links, which is its probe of them too. */
  roundMs: 1_000,
  contacts: 1,
  /** Links to which something new is pushed at once. Three reach 94 % unaided; comparing finds the rest. */
  fanout: 3,
  /** Links that a node looks for, and lasting links that it keeps: a random graph of degree 8 stays connected. */
  linksWanted: 8,
  linksMost: 12,
  /** Of these, links that the node chose and dialled itself: they never give way to accepted ones. */
  linksChosen: 4,
  /** Connections at one time, ephemeral ones included. */
  socketsMost: 64,
  /** Lasting links into one neighbourhood, so that a crowd behind one address cannot surround a node. */
  linksPerSubnet: 2,
  /** How long a link that one end does not keep may stay: a visit is over in a second. */
  ephemeralMs: 4_000,
  /** How often a node looks at a random member it has no link to: finds ghosts, joins what had split. */
  ephemeralEveryMs: 30_000,
  /** How often one of the departed, or an address given by hand, is tried again; without any link soon, then less often. */
  retryMs: 15_000,
  isolatedFirstMs: 150,
  isolatedRetryMs: 1_000,
  /** Dials a second in all, and how long until one address is dialled again on somebody else's word. */
  dialsPerSecond: 10,
  redialMs: 30_000,
  /** How long an answer may take, twice, before others are asked to look too; then how long those may take. */
  pingTimeoutMs: 300,
  indirectTimeoutMs: 700,
  /** How long dialling may take when it is a probe: one lost SYN is sent again after a second. */
  dialTimeoutMs: 1_600,
  /** Members asked to look too (SWIM's k). */
  indirectProbers: 3,
  /** A hint about a node without a link is looked into after this and up to half as much again: its denial is faster. */
  suspicionPatienceMs: 600,
  /** Shortest time from suspicion to death, times max(1, log10 of the members); the longest is `suspicionSpread` as long. */
  suspicionMs: 1_000,
  suspicionSpread: 3,
  /** Independent confirmations that bring the shortest time, and how long where the address itself refuses. */
  confirmations: 2,
  refusedMs: 300,
  /** How long a node that just answered here is safe from hints. */
  recentlyConfirmedMs: 10_000,
  /** Least time between two denials of the own death. */
  refuteIntervalMs: 400,
  /** With another node that uses this key, that pause doubles up to this: else the two would never stop answering each other. */
  twinRefuteIntervalMs: 300_000,
  /** An event this much later than it was due means that this process stood still, not that the others died. */
  stallMs: 1_000,
  /** Lifeguard: own troubles stretch the own time-outs up to this many times. */
  localHealthMost: 8,
  /** How long something counts as new, to be named in a heartbeat. */
  recentMs: 10_000,
  /** Signatures to check that one peer may cause a second, and hints that it may pass on. */
  recordsPerSecond: 200,
  suspicionsPerSecond: 100,
  /** Records and digests that one peer is served a second. */
  servedPerSecond: 400,
  digestsPerSecond: 4,
  /** How long an asked-for record is waited for before another is asked. */
  requestTimeoutMs: 1_000,
  /** How long two tables that cannot be brought closer are left alone while neither changes. */
  settledMs: 5_000,
  /** Members, members of one neighbourhood, and members without a public address, which a LAN may have many of. */
  tableMost: 4_096,
  subnetQuota: 16,
  privateMost: 1_024,
  /** The departed that are remembered, so that they do not rise, and how long. */
  tombstonesMost: 4_096,
  tombstonesMs: 48 * 3_600_000,
  /** Broken messages or forged records until a peer is sent away, and for how long. */
  penaltiesMost: 3,
  banMs: 600_000,
} as const
