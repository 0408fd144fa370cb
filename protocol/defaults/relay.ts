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
  /** What all users of one client may transfer in a second, in both directions: 100 Mbit/s. */
  bytesPerSecond: 12_500_000,
} as const

/** The ports that an owner may lend: from the first one that no service of the system is expected at. */
export const LENT_PORT_MIN = 10_000
export const LENT_PORT_MAX = 65_535

/** How long users may exceed the rate before they are held back. */
export const RELAY_BURST_MS = 250

/** The clients whose rates are remembered, of which more than `logins` are never active. */
export const PACED_CLIENTS_MAX = 1_024

/**
 * How often a client of this project says that it is alive, and how long it may be silent until its ports are freed: a
 * port leads nowhere for 5 s at most.
 */
export const RELAY_PING_INTERVAL_MS = 1_500
export const RELAY_SILENCE_TIMEOUT_MS = 4_500

/** The same for stock clients with a multiplexer, where the relay itself sends the pings. */
export const RELAY_MUX_PING = { intervalMs: 2_000, timeoutMs: 2_500 } as const

/** How far the clock of a client with a token may be off. Logins are remembered as long, so that none counts twice. */
export const LOGIN_CLOCK_SKEW_MS = 900_000

/** Logins with a token that are remembered; further ones are refused until the oldest has expired. */
export const LOGINS_REMEMBERED_MAX = 4_096

/** How long a client that the owner has closed is refused. */
export const CLOSED_CLIENT_MS = 600_000

/** The first port that needs no privilege. */
export const UNPRIVILEGED_PORT_MIN = 1_024

/** How many random ports are tried for a request that names none, as in stock frp. */
export const RANDOM_PORT_TRIES = 5

/** The names under which a relay shows ports that it lends. */
export const DOMAIN_LIMITS = {
  perClient: 16,
  total: 1_024,
  /** How long a name stays with its owner after it was last claimed. */
  keepMs: 90 * 86_400_000,
} as const

/** Limits of the reverse proxy of these names. The relay's own limits for each client hold too. */
export const DOMAIN_PROXY = {
  /** How long the machine behind a name may take until the head of its answer. */
  answerTimeoutMs: 60_000,
  /** How long a connection to the machine behind a name is kept for the next request. */
  keepAliveMs: 5_000,
  /** How long the certificate that a node signs itself is valid. Browsers refuse those that are valid for longer. */
  selfSignedDays: 397,
} as const

/** Certificates that an authority issues for domains. */
export const CERTIFICATE = {
  /** The part of its validity after which one is renewed, as Let's Encrypt advises. */
  renewAtPart: 2 / 3,
  /** How often it is looked at whether one is to be renewed. */
  checkMs: 86_400_000,
  /** The time to the next order after one that failed; it doubles. Let's Encrypt allows five failures of a name an hour. */
  initialBackoffMs: 15 * 60_000,
  maxBackoffMs: 86_400_000,
  /** Where orders go. */
  directoryUrl: 'https://acme-v02.api.letsencrypt.org/directory',
} as const
