import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { CONNECTIONS_MAX } from '../../protocol/defaults/listeners.ts'
import { isLoopback } from '../../protocol/net/address.ts'
import { prefix64Of } from '../../protocol/net/subnet.ts'

export interface ConnectionLimits {
  perAddress: number
  total: number
}

/**
 * Limits the open connections of a listener. The returned function counts a connection until it closes, or until the function
 * that it returns is called because another limit counts it. It returns undefined for a connection that is one too many. IPv6 addresses are counted by their first 64 bits. Loopback addresses count only towards
 * the total, because local programs have easier ways to overload the machine.
 */
export function createConnectionLimit({ perAddress, total }: ConnectionLimits) {
  const counts = new Map<string, number>()
  let open = 0
  return (socket: Socket): (() => void) | undefined => {
    const prefix = prefix64Of(socket.remoteAddress ?? '')
    const count = counts.get(prefix) ?? 0
    if (open >= total || (count >= perAddress && !isLoopback(prefix))) return undefined
    open += 1
    counts.set(prefix, count + 1)
    let isCounted = true
    const release = () => {
      if (!isCounted) return
      isCounted = false
      open -= 1
      const left = (counts.get(prefix) ?? 1) - 1
      if (left === 0) counts.delete(prefix)
      else counts.set(prefix, left)
    }
    socket.once('close', release)
    return release
  }
}

/**
 * Returns the limits for this process. At least half of its file descriptors remain for the control socket, the
 * container engine, files and dials, so that callers from outside cannot silence the owner.
 */
export function connectionLimits(openFiles = maxOpenFiles()): ConnectionLimits {
  return { ...CONNECTIONS_MAX, total: Math.min(CONNECTIONS_MAX.total, Math.floor(openFiles / 2)) }
}

/** Returns the soft limit of open files, or infinity where the system does not tell. */
function maxOpenFiles(): number {
  try {
    const [, soft] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? []
    return soft ? Number(soft) : Number.POSITIVE_INFINITY
  } catch {
    return Number.POSITIVE_INFINITY
  }
}
