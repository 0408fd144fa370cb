import { randomBytes } from 'node:crypto'
import type { Readable, Writable } from 'node:stream'
import { isEnough, rateOf } from '../../machines/speedMeter.ts'
import { SPEED } from '../../protocol/defaults/speedTester.ts'

/** What a receiver has counted. */
export interface Counted {
  bytes: number
  /** Mbit/s. */
  mbps: number
}

/**
 * Takes bytes off a stream and counts them until the rate is known (`isEnough`), the stream ends or breaks, or
 * `SPEED.mostMs` have passed. Then it reads no more; the stream is the caller's to close. Never rejects.
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
    /** Samples whose time is over; those in which nothing came are zeros. */
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
      if (performance.now() - reportedAt < SPEED.reportMs) return
      reportedAt = performance.now()
      onReport({ bytes, mbps: rateOf(counts) })
    }, SPEED.sampleMs)
    const limit = setTimeout(finish, SPEED.mostMs)
    stream.on('data', take).on('end', finish).on('error', finish).on('close', finish)
  })
}

let cachedBlock: Buffer | undefined

/** Bytes that nothing on the way can compress, made once: sending them costs no more than copying. */
export function randomBlock(): Buffer {
  cachedBlock ??= randomBytes(1024 * 1024)
  return cachedBlock
}

const PIECE_BYTES = 64 * 1024

/**
 * Sends random bytes as fast as the stream takes them, until `until` says so or the stream breaks. Resolves with how
 * many; the stream is left open.
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
    // A reader that takes nothing brings no `drain`.
    const watch = setInterval(() => isOver() && finish(), SPEED.sampleMs)
    stream.on('drain', send).on('close', finish).on('error', finish)
    send()
  })
}
