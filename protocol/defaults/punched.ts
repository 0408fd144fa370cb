/** UDP ports of a relay's DHT, one after the other from the named one. hyperdht tells a NAT by answers of four addresses. */
export const DHT_PORTS = 4

/** Settings of the punched path at the two nodes. */
export const PUNCHED = {
  /** How long the DHT of a relay may take to answer. UDP that is blocked shows as silence. */
  answerTimeoutMs: 3_000,
  /** How long a node waits until it tries to listen at a relay's DHT again. */
  retryMs: 60_000,
  /** How long it may take until a stream is open. Over the relay it takes 1 s, also where it moves to a direct path later. */
  connectTimeoutMs: 10_000,
  /** How long the sockets at a relay's DHT are kept after their last use. */
  idleMs: 60_000,
  /** How often a node that listens checks that the relay still knows it: a relay that has started again does not. */
  checkIntervalMs: 10_000,
  /** Streams that one peer, and all peers, may have open to this node. */
  streamsPerPeer: 64,
  streams: 512,
  /** Messages of handshakes that are answered in a second: each costs a millisecond of CPU time, and memory for ten seconds. */
  handshakesPerSecond: 100,
  /** The largest piece that is written at a time. hyperdht encrypts and frames each piece. */
  chunkBytes: 64 * 1024,
  /** How long a stream that has ended in both directions may take to deliver what is under way. */
  lingerMs: 10_000,
} as const

/** What a relay carries for others where no direct path comes up. Streams between our own nodes keep to the rate. */
export const BLIND_RELAY = {
  /** Bytes a second of one pair of nodes, both directions together. */
  bytesPerSecond: 4 * 1024 * 1024,
  /** What a pair may send at once. One that has used it up, and the rate, is ended. */
  burstBytes: 16 * 1024 * 1024,
  /** How long one node of a pair may wait for the other one. hyperdht waits as long. */
  pairTimeoutMs: 15_000,
  /** How long a pair is relayed after one of its nodes has left, so that what is under way arrives. */
  lingerMs: 5_000,
  /** How often the pairs are measured. */
  tickMs: 250,
} as const

/** Settings of the process that runs the DHT of a relay. */
export const DHT_PROCESS = {
  startTimeoutMs: 10_000,
  /** How long the ports stay open after somebody has requested them. Nodes that listen request them again in a third of it. */
  idleMs: 15 * 60_000,
  /** How long its end may take before it is killed. */
  stopTimeoutMs: 2_000,
  /** The delay before it starts again: it doubles with each failure. */
  backoff: { initialMs: 500, maxMs: 60_000 },
  /** How many groups of ports are tried, one after the other. */
  portTries: 8,
  /** How often the node is told what was transferred. */
  reportMs: 1_000,
  /** Announcements and routes that each of the four addresses remembers. */
  records: 4_096,
  /** Messages of handshakes that each address passes on in a second: a stream takes about ten. */
  handshakesPerSecond: 500,
  /** Old space of V8 in MB. It holds the records; the rest is refused by limits long before. */
  heapMb: 48,
} as const
