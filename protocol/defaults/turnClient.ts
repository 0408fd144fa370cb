/** frp's own limit on the JSON of one message. A longer one ends the connection, in stock frp too. */
export const FRP_MESSAGE_MAX_BYTES = 10_240

/** Settings of yamux, the multiplexer below frp, as hashicorp's specification and library have them. */
export const YAMUX = {
  /** The credit with which each direction of each stream begins; the specification allows no other. */
  initialWindowBytes: 256 * 1024,
  /**
   * The largest window that this node grants to a stream, and thus what a stalled stream may hold in memory. A single
   * stream reaches 1 Gbit/s over 8 ms with it.
   */
  maxWindowBytes: 1024 * 1024,
  /** The largest payload of one frame that is written. Small enough that the streams of a session share it fairly. */
  maxFrameBytes: 64 * 1024,
  /** Streams that the other end may open. A stock library refuses the 257th that nobody has accepted. */
  maxStreams: 4_096,
  /** What may wait to be written before the other end counts as one that never reads. */
  maxBacklogBytes: 4 * 1024 * 1024,
  /** Both stock versions expect an answer to their ping within 10 s, and send one every 30 or 60 s. */
  pingIntervalMs: 30_000,
  pingTimeoutMs: 10_000,
} as const

/** What may wait to be written on a connection of messages before its other end counts as one that never reads. */
export const FRP_BACKLOG_MAX_BYTES = 256 * 1024

/** How long a relay may take to accept a connection and a login. Stock frp waits as long. */
export const FRP_LOGIN_TIMEOUT_MS = 10_000

/** How long a tunnel waits for the relay's answer, and after a refusal, until it requests its port again. Stock frp's values. */
export const TUNNEL_TIMEOUT_MS = 20_000
export const TUNNEL_RETRY_MS = 30_000

/**
 * How often a session without a multiplexer sends a ping, and how long the other end may then stay silent. With one, its own
 * pings do this. Stock frp's values.
 */
export const FRP_PING_INTERVAL_MS = 30_000
export const FRP_SILENCE_TIMEOUT_MS = 90_000

/** The delay before a lost session connects again: it doubles with each failure. */
export const SESSION_BACKOFF = { initialMs: 200, maxMs: 20_000 } as const

/** What waits to be written to one side of a joined connection before the other is not read any more. */
export const SPLICE_BUFFER_BYTES = 256 * 1024

/** How long the rest of one direction may take after stock frp has closed the other. */
export const HALF_CLOSED_TIMEOUT_MS = 5_000

/** How long the socket of a user of a UDP tunnel is kept without a datagram. Stock frp's value. */
export const UDP_IDLE_TIMEOUT_MS = 30_000

/** Users of a UDP tunnel for whom this node keeps a socket, and those whom a relay remembers, the latest ones. */
export const UDP_USERS_MAX = 256
export const UDP_USERS_REMEMBERED = 1_024

/** How long a new stream may take to send its first message. Stock frp's value. */
export const FRP_FIRST_MESSAGE_TIMEOUT_MS = 10_000

/** Work connections that a relay requests in advance for a client, at most. Stock frp's value. */
export const FRP_POOL_MAX = 5

/** Work connections of one client that wait for a user. */
export const WORK_POOL_MAX = 16

/** How long a user at a port waits for the client's work connection. Stock frp's value. */
export const RELAY_USER_TIMEOUT_MS = 10_000

/** The delay before the work connection of a UDP port is requested again. Stock frp's value. */
export const UDP_WORK_RETRY_MS = 1_000

/** How often relays are searched for while fewer than two work. */
export const RELAY_SEARCH_INTERVAL_MS = 5_000

/** How long a mapping waits until any relay is known: gossip brings a node that has just started the records of others in seconds. */
export const RELAY_DISCOVERY_TIMEOUT_MS = 15_000

/** How long a connection to the address outside may take to arrive here, until the mapping counts as unreachable. */
export const MAPPING_CONFIRM_TIMEOUT_MS = 10_000

/** The delay before a mapping that could not be confirmed is tried again, and between two datagrams of one attempt. */
export const MAPPING_RETRY_MS = 5_000
export const MAPPING_PROBE_INTERVAL_MS = 500

/** How often a server is tried that Go P2PRC has announced and not yet started. */
export const KEYLESS_RELAY_RETRY_MS = 200

/** How long it is remembered what listens at an endpoint without a key, so that a search does not ask it each time. */
export const KEYLESS_RELAY_KNOWN_MS = 300_000
