import { randomBytes } from 'node:crypto'
import type { Readable, Writable } from 'node:stream'
import { isEnough, rateOf } from '../../machines/speedMeter.ts'
import { SPEED } from '../../protocol/defaults/speedTester.ts'

/** The count of a receiver. */
export interface Counted {
  bytes: number
  /** Mbit/s. */
  mbps: number
}

/**
 * Reads and counts the bytes of a stream until the rate is known (`isEnough`), the stream ends or breaks, or
 * `SPEED.maxMs` have passed. Then it stops reading; the caller closes the stream. Never rejects.
 */
export function countFlow(stream: Readable, onReport: (counted: Counted) => void = () => {}): Promise<Counted> {
  return new Promise((resolve) => {
    const samples: number[] = []
    let bytes = 0
    let firstAt: number | undefined
    const take = (chunk: Buffer) => {
      const now = performance.now()
      firstAt ??= now
      const sample = Math.floor((now - firstAt) / SPEED.sampleMs)
      while (samples.length <= sample) samples.push(0)
      samples[sample] = (samples[sample] ?? 0) + chunk.length
      bytes += chunk.length
    }
    /** Returns the completed samples; a sample in which nothing arrived is zero. */
    const whole = (): number[] => {
      const count = firstAt === undefined ? 0 : Math.floor((performance.now() - firstAt) / SPEED.sampleMs)
      while (samples.length < count) samples.push(0)
      return samples.slice(0, count)
    }
    const finish = () => {
      clearInterval(ticks)
      clearTimeout(limit)
      stream.off('data', take).off('end', finish).off('error', finish).off('close', finish)
      stream.on('error', () => {})
      stream.pause()
      resolve({ bytes, mbps: rateOf(whole()) })
    }
    let reportedAt = performance.now()
    const ticks = setInterval(() => {
      const counts = whole()
      if (isEnough(counts, bytes)) return finish()
      if (performance.now() - reportedAt < SPEED.reportIntervalMs) return
      reportedAt = performance.now()
      onReport({ bytes, mbps: rateOf(counts) })
    }, SPEED.sampleMs)
    const limit = setTimeout(finish, SPEED.maxMs)
    stream.on('data', take).on('end', finish).on('error', finish).on('close', finish)
  })
}

let cachedBlock: Buffer | undefined

/**
 * Returns bytes that nothing on the path can compress. They are created once, so that sending costs no more than
 * copying.
 */
export function randomBlock(): Buffer {
  cachedBlock ??= randomBytes(1024 * 1024)
  return cachedBlock
}

const PIECE_BYTES = 64 * 1024

/**
 * Sends random bytes as fast as the stream accepts them, until `until` returns true or the stream breaks. Resolves
 * with the number of bytes; the stream stays open.
 */
export function sendRandom(stream: Writable, until: (sent: { bytes: number; ms: number }) => boolean): Promise<number> {
  const block = randomBlock()
  const startedAt = performance.now()
  let bytes = 0
  return new Promise((resolve) => {
    const finish = () => {
      clearInterval(watch)
      stream.off('drain', send).off('close', finish).off('error', finish)
      resolve(bytes)
    }
    const isOver = () => stream.destroyed || until({ bytes, ms: performance.now() - startedAt })
    const send = () => {
      for (;;) {
        if (isOver()) return finish()
        const from = bytes % block.length
        const piece = block.subarray(from, from + PIECE_BYTES)
        bytes += piece.length
        if (!stream.write(piece)) return
      }
    }
    // A reader that reads nothing causes no `drain` event.
    const watch = setInterval(() => isOver() && finish(), SPEED.sampleMs)
    stream.on('drain', send).on('close', finish).on('error', finish)
    send()
  })
}
