/** A speed test of one link. */
export const SPEED = {
  /** Bytes are counted in samples of this length. */
  sampleMs: 50,
  /** It ends when this many samples vary by less than `steadiness` (standard deviation over mean). */
  steadySamples: 10,
  steadiness: 0.05,
  /** What the beginning of a TCP connection says of a link is not counted. */
  rampMs: 500,
  /** It takes at least and at most this long in one direction; the connecting, some ms, comes on top. */
  leastMs: 1_500,
  mostMs: 2_900,
  /** It costs at most this, or one second of the measured rate where that is more. */
  mostBytes: 50_000_000,
  /** What may lie in buffers between the two ends: the sender goes on for so much more than the receiver wants. */
  slackBytes: 8_000_000,
  slackMs: 1_000,
  /** How often the rate up to now is told. */
  reportMs: 250,
  /** Tests that this node runs at one time: two would share its own line and measure half of it. */
  ownAtOnce: 1,
  /** Tests of others that it serves at one time; of one peer it serves one. */
  servedAtOnce: 2,
  /** P2PRC's test file `/50`. */
  fileBytes: 50_000_000,
  /** How long a Go node may take for `/50`, and for `/upload` within the time that a request may take. */
  fileMs: 120_000,
  uploadMs: 9_000,
  /** How long bytes are sent to a Go node, which confirms only when it has all. */
  legacySendMs: 2_000,
} as const
