/** Settings of the speed test of one connection. */
export const SPEED = {
  /** The duration of one sample, in which bytes are counted. */
  sampleMs: 50,
  /**
   * The test ends when this many samples vary by less than `steadiness` (the standard deviation divided by the mean).
   */
  steadySamples: 10,
  steadiness: 0.05,
  /** The beginning of the transfer is not counted, because TCP is still in slow start. */
  rampMs: 500,
  /** The minimum and maximum duration in one direction; the handshake takes a few more milliseconds. */
  minMs: 1_500,
  maxMs: 2_900,
  /** The maximum number of bytes of a test, or those of one second at the measured rate if that is more. */
  maxBytes: 50_000_000,
  /**
   * The bytes that may be in buffers between the two ends: the sender sends this much more than the receiver requests.
   */
  slackBytes: 8_000_000,
  slackMs: 1_000,
  /** How often the rate so far is reported. */
  reportIntervalMs: 250,
  /** How many tests this node runs at the same time: two would share its line, and each would measure half of it. */
  maxOwn: 1,
  /** How many tests of other nodes this node serves at the same time; it serves one per peer. */
  maxServed: 2,
  /** The size of P2PRC's test file `/50`. */
  fileBytes: 50_000_000,
  /** How long a Go node may take for `/50`, and for `/upload`, which must end within the timeout of a request. */
  fileTimeoutMs: 120_000,
  uploadTimeoutMs: 9_000,
  /** How long bytes are sent to a Go node, which confirms only the complete upload. */
  legacySendMs: 2_000,
} as const
