import type { Duplex } from 'node:stream'
import { HALF_CLOSED_TIMEOUT_MS } from '../../protocol/defaults/turnClient.ts'

export interface SpliceOptions {
  /**
   * What happens when one side has sent all. `kept`: the other side may go on, as TCP allows. `lost`: stock frp closes
   * both directions then and reads no more, so the other side gets what is under way and then ends.
   */
  halfClose: 'kept' | 'lost'
}

/** Joins two streams until both directions have ended or either fails. Resolves with the bytes of each direction, and never rejects. */
export function splice(
  one: Duplex,
  other: Duplex,
  { halfClose }: SpliceOptions,
): Promise<{ up: number; down: number }> {
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
    const onEnd = () => {
      open -= 1
      if (open === 0) return
      if (halfClose === 'lost') timer = setTimeout(finish, HALF_CLOSED_TIMEOUT_MS)
    }
    const join = (from: Duplex, to: Duplex, direction: 'up' | 'down') => {
      from.on('data', (chunk: Uint8Array) => {
        bytes[direction] += chunk.length
      })
      from.pipe(to)
      from.once('end', onEnd)
      from.once('error', finish)
      from.once('close', () => {
        if (open === 0 || !from.readableEnded) finish()
      })
    }
    join(one, other, 'up')
    join(other, one, 'down')
  })
}
