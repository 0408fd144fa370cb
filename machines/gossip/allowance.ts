/** A share of something per second, which may be saved up for a while (a token bucket). `left` counts in bursts: 1 is full. */
export interface Allowance {
  readonly left: number
  readonly at: number
}

/**
 * Takes up to `count` from what `perSecond` has filled since, saving at most `burst`. Answers how many were had and what
 * remains.
 */
export function take(
  { left, at }: Allowance,
  now: number,
  count: number,
  perSecond: number,
  burst = perSecond,
): [had: number, rest: Allowance] {
  const filled = Math.min(burst, left * burst + ((now - at) * perSecond) / 1_000)
  const had = Math.min(count, Math.floor(filled + 1e-9))
  return [had, { left: (filled - had) / burst, at: now }]
}
