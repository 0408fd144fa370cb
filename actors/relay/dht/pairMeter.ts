import type { RawStream } from 'hyperdht'
import { BLIND_RELAY } from '../../../protocol/defaults/punched.ts'

/** A pair of streams that are relayed to each other. */
interface Pair {
  streams: Set<RawStream>
  /** Bytes at the last measurement. */
  bytes: number
  /** Bytes that it may transfer now beyond its rate. */
  left: number
  end(why: string): void
}

export type PairLimits = Record<'bytesPerSecond' | 'burstBytes' | 'tickMs', number>

/** Measures pairs, and ends those that exceed the rate: what the kernel passes on cannot be held back here. */
export function createPairMeter(limits: PairLimits = BLIND_RELAY) {
  const { bytesPerSecond, burstBytes, tickMs } = limits
  const pairs = new Map<string, Pair>()
  let at = performance.now()

  function measure(): void {
    const now = performance.now()
    const refill = ((now - at) / 1_000) * bytesPerSecond
    at = now
    for (const pair of pairs.values()) {
      const bytes = [...pair.streams].reduce((sum, { bytesReceived }) => sum + bytesReceived, 0)
      pair.left = Math.min(burstBytes, pair.left + refill) - Math.max(0, bytes - pair.bytes)
      pair.bytes = bytes
      if (pair.left < 0) pair.end(`more than ${bytesPerSecond} bytes a second`)
    }
  }

  const timer = setInterval(measure, tickMs)
  timer.unref()
  return {
    /** Adds one stream of a pair, which both have the same token. */
    add(token: string, stream: RawStream, end: (why: string) => void): void {
      const known = pairs.get(token)
      const pair = known ?? { streams: new Set(), bytes: 0, left: burstBytes, end }
      if (known) pair.end = both(known.end, end)
      pair.streams.add(stream)
      pairs.set(token, pair)
      stream.once('close', () => {
        if (pairs.get(token) === pair) pairs.delete(token)
      })
    },
    bytesOf: (token: string) => pairs.get(token)?.bytes ?? 0,
    close: () => clearInterval(timer),
  }
}

function both<T>(first: (value: T) => void, second: (value: T) => void): (value: T) => void {
  return (value) => {
    first(value)
    second(value)
  }
}
