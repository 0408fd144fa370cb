import { SPEED } from '../protocol/defaults/speedTester.ts'

/**
 * The evaluation of a receiver's counts. `samples` are the bytes of each `SPEED.sampleMs` since the first byte,
 * complete samples only. The functions are pure, so that both ends come to the same result.
 */

/** Whether to end the test, because the rate is steady or the budget is spent. */
export function isEnough(samples: readonly number[], bytes: number): boolean {
  const elapsedMs = samples.length * SPEED.sampleMs
  // The budget is 50 MB, or one second of data if that is more.
  if (bytes >= SPEED.maxBytes && elapsedMs >= 1_000) return true
  return elapsedMs >= SPEED.minMs && isSteady(samples.slice(-SPEED.steadySamples))
}

/**
 * Returns the rate in Mbit/s (10^6 bits): the median over windows of half a second, without the beginning. A lost
 * segment stalls the reader and then delivers all data at once, which distorts a mean but not the median.
 */
export function rateOf(samples: readonly number[]): number {
  const ramp = Math.max(SPEED.rampMs / SPEED.sampleMs, Math.floor(samples.length / 3))
  const width = SPEED.steadySamples
  const kept = samples.length - ramp >= width ? samples.slice(ramp) : samples.slice(-width)
  if (kept.length === 0) return 0
  const windows: number[] = []
  for (let from = 0; from + Math.min(width, kept.length) <= kept.length; from += 1) {
    const part = kept.slice(from, from + width)
    windows.push(sum(part) / part.length)
  }
  windows.sort((one, other) => one - other)
  const middle = windows.length >> 1
  const upper = windows[middle] ?? 0
  const bytes = windows.length % 2 === 1 ? upper : ((windows[middle - 1] ?? 0) + upper) / 2
  return mbps(bytes, SPEED.sampleMs)
}

export function mbps(bytes: number, ms: number): number {
  return ms > 0 ? (bytes * 8) / (ms * 1_000) : 0
}

function isSteady(samples: readonly number[]): boolean {
  const mean = sum(samples) / samples.length
  const variance = sum(samples.map((sample) => (sample - mean) ** 2)) / samples.length
  return mean > 0 && Math.sqrt(variance) < mean * SPEED.steadiness
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
