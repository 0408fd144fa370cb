/** A token bucket: a rate per second that may be saved up for a while. `left` counts in bursts: 1 is full. */
export interface TokenBucket {
  readonly left: number
  readonly at: number
}

/**
 * Takes up to `count` from what `perSecond` has filled since, saving at most `burst`. Returns how many were granted and what
 * remains.
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
