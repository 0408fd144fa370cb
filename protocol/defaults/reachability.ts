/** The peers outside its own network whose answers decide whether a node can be reached. */
export const DIAL_BACK_PEERS = 3

/** The peers that are asked at most, where most of them are in this node's own network. */
export const DIAL_BACK_ASKED_MAX = 8

/** After this time all peers are asked anew: a router may have been set up or replaced, and forgets what it maps. */
export const DIAL_BACK_INTERVAL_MS = 15 * 60_000

/** How long a peer may take to dial back and answer. It waits for a handshake, and maybe for its budget of dials. */
export const DIAL_BACK_TIMEOUT_MS = 10_000

/** How often one node is dialled back, and all together: enough for a start with a mapping, too little to harm anybody. */
export const DIAL_BACKS_PER_PEER = { max: 6, windowMs: 60_000 } as const
export const DIAL_BACKS_IN_ALL = { max: 60, windowMs: 60_000 } as const
