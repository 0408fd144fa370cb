/** The peers outside its own network whose answers decide whether a node can be reached. */
export const DIAL_BACK_PEERS = 3

/** The peers that are asked at most, where most of them are in this node's own network. */
export const DIAL_BACK_ASKED_MAX = 8

/** The pause before the next peer where the last one answered and did not find this node cut off from outside: there is time. */
export const DIAL_BACK_PAUSE_MS = 10_000

/** After this time all peers are asked anew: a router may have been set up or replaced, and forgets what it maps. */
export const DIAL_BACK_INTERVAL_MS = 15 * 60_000

/** How long a peer may take to dial back and answer. It waits for a handshake, and maybe for its budget of dials. */
export const DIAL_BACK_TIMEOUT_MS = 10_000

/** How often one node is dialled back, and all together: enough for a start with a mapping, too little to harm anybody. */
export const DIAL_BACKS_PER_PEER = { max: 6, windowMs: 60_000 } as const
export const DIAL_BACKS_IN_ALL = { max: 60, windowMs: 60_000 } as const

/** Mappings that are asked of the router. */
export const ROUTER = {
  /** How long the router keeps a mapping: what RFC 6886, section 3.3, recommends. It is renewed after half of it. */
  leaseSeconds: 7_200,
  renewMs: 3_600_000,
  /** How long a router may take for one answer, and all answers of one task, with the search for it, together. */
  answerTimeoutMs: 3_000,
  taskTimeoutMs: 10_000,
  /** A router's description has 5 to 20 KB. */
  answerMaxBytes: 256 * 1024,
  memoryMiB: 64,
  /** The ports outside that are tried where the node's own one is taken, and how many of them. */
  portMin: 20_000,
  portMax: 60_000,
  attempts: 3,
  description: 'P2PRC',
} as const
