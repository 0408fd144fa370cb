import type { Duplex } from 'node:stream'
import { HALF_CLOSED_TIMEOUT_MS, SPLICE_BUFFER_BYTES } from '../../protocol/defaults/turnClient.ts'
import { canTakeOver, takeOver } from './ownBuffer.ts'

export interface SpliceOptions {
  /**
   * What happens when one side has sent all. `kept`: the other side may go on, as TCP allows. `lost`: stock frp closes
   * both directions then and reads no more, so the other side gets what is under way and then ends.
   */
  halfClose: 'kept' | 'lost'
  /** Is told of the bytes that have passed. Returns for how many milliseconds their side is not read any more. */
  pace?: (bytes: number) => number
}

/** The bytes that went in each direction. */
export interface SplicedBytes {
  up: number
  down: number
}

/**
 * Joins two streams until both directions have ended or either fails. Resolves with the bytes from `one` to `other` (up) and
 * back, and never rejects. It owns both streams.
 */
export function splice(
  one: Duplex,
  other: Duplex,
  { halfClose, pace = () => 0 }: SpliceOptions,
): Promise<SplicedBytes> {
  return new Promise((resolve) => {
    const bytes = { up: 0, down: 0 }
    let open = 2
    let timer: NodeJS.Timeout | undefined
    const finish = () => {
      clearTimeout(timer)
      one.destroy()
      other.destroy()
      resolve(bytes)
    }
    if (one.destroyed || other.destroyed) return finish()

    const count = (direction: keyof SplicedBytes) => (length: number) => {
      bytes[direction] += length
      return pace(length)
    }
    const join = canTakeOver(one) && canTakeOver(other) ? joinSockets : joinStreams
    const ends = join(one, other, count('up'), count('down'))
    for (const [from, to] of [ends, [...ends].reverse()] as [Duplex, Duplex][]) {
      const onEnd = () => {
        // The other side has all the time that it needs to take what is under way.
        to.end(() => {
          if (halfClose === 'lost' && open > 0) timer ??= setTimeout(finish, HALF_CLOSED_TIMEOUT_MS)
        })
      }
      // A stream that has ended before it was joined does not say so again.
      if (from.readableEnded) onEnd()
      else from.once('end', onEnd)
      from.once('error', finish)
      from.once('close', () => {
        open -= 1
        if (open === 0 || !from.readableEnded) finish()
      })
    }
  })
}

/** Counts bytes. Returns for how many milliseconds their side is not read. */
type Count = (length: number) => number

/** Passes the bytes of both on, whatever they are. Returns them. */
function joinStreams(one: Duplex, other: Duplex, up: Count, down: Count): [Duplex, Duplex] {
  const forward = (from: Duplex, to: Duplex, count: Count) => {
    from.on('data', (chunk: Uint8Array) => {
      const waitMs = count(chunk.length)
      const isTaken = to.write(chunk) || to.writableLength < SPLICE_BUFFER_BYTES
      if (isTaken && waitMs <= 0) return
      from.pause()
      const resume = () => resumeIn(from, waitMs)
      if (isTaken) resume()
      else to.once('drain', resume)
    })
  }
  forward(one, other, up)
  forward(other, one, down)
  // A listener starts no stream that was paused before.
  one.resume()
  other.resume()
  return [one, other]
}

/** The same for sockets without TLS, through one buffer for each direction. Returns the sockets that took their place. */
function joinSockets(one: Duplex, other: Duplex, up: Count, down: Count): [Duplex, Duplex] {
  if (!canTakeOver(one) || !canTakeOver(other)) return joinStreams(one, other, up, down)
  const [fromOne, fromOther] = [readAll(one), readAll(other)]
  const pass = (from: () => Duplex, to: () => Duplex, count: Count) => (bytes: Uint8Array) => {
    const waitMs = count(bytes.length)
    to().write(bytes)
    if (to().writableLength === 0 && waitMs <= 0) return true
    // The system may not have taken all of it. The buffer is free when it has.
    to().write('', () => resumeIn(from(), waitMs))
    return false
  }
  const near: Duplex = takeOver(
    one,
    pass(
      () => near,
      () => far,
      up,
    ),
  )
  const far: Duplex = takeOver(
    other,
    pass(
      () => far,
      () => near,
      down,
    ),
  )
  for (const [bytes, to, count] of [
    [fromOne, far, up],
    [fromOther, near, down],
  ] as const) {
    if (bytes.length === 0) continue
    count(bytes.length)
    to.write(bytes)
  }
  near.resume()
  far.resume()
  return [near, far]
}

function resumeIn(from: Duplex, ms: number): void {
  if (ms <= 0) from.resume()
  else setTimeout(() => from.resume(), ms)
}

/** What a socket has read and nobody has taken. */
function readAll(stream: Duplex): Uint8Array {
  const chunks: Uint8Array[] = []
  for (let chunk = stream.read(); chunk !== null; chunk = stream.read()) chunks.push(chunk)
  return Buffer.concat(chunks)
}
