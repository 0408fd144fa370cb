/**
 * What a relay lends, in all and to one client: a node by its id, or everybody without a key at one address. A client with
 * all its ports and users needs about 300 file descriptors, so that eight such clients fit into a limit of 4,096.
 */
export const RELAY_LIMITS = {
  /** The ports that are lent. Those below 1024 never are, whatever the owner sets. */
  ports: { from: 10_000, to: 65_535 },
  portsPerClient: 16,
  /** Connections of users at the ports of one client at the same time. */
  connectionsPerClient: 256,
  loginsPerClient: 16,
  logins: 256,
  /** Pairs of streams that are relayed blindly, where no direct path comes up: those of one client, and all. */
  pairsPerClient: 16,
  pairs: 128,
} as const

/** The first port that needs no privilege. */
export const UNPRIVILEGED_PORT_MIN = 1_024

/** How many random ports are tried for a request that names none, as in stock frp. */
export const RANDOM_PORT_TRIES = 5
