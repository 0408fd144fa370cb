/** A token bucket. `left` is its level, of which 1 is full, at the time `at`. */
export interface TokenBucket {
  readonly left: number
  readonly at: number
}

/**
 * Takes up to `count` tokens from a bucket that fills at `perSecond` and holds at most `burst`. Returns how many it granted,
 * and the bucket afterwards.
 */
export function takeTokens(
  { left, at }: TokenBucket,
  now: number,
  count: number,
  perSecond: number,
  burst = perSecond,
): [granted: number, rest: TokenBucket] {
  const filled = Math.min(burst, left * burst + ((now - at) * perSecond) / 1_000)
  const granted = Math.min(count, Math.floor(filled + 1e-9))
  return [granted, { left: (filled - granted) / burst, at: now }]
}
