import type HyperDht from 'hyperdht'
import type { DhtAddress } from 'hyperdht'
import { AppError } from '../../../protocol/errors.ts'
import { takeToken } from './handshakeLimit.ts'

/**
 * The numbers of hyperdht's commands of which streams need an answer: handshake, holepunch, find peer, look up, announce,
 * unannounce. The others store values of anybody.
 */
export const SIGNALLING: ReadonlySet<number> = new Set([0, 1, 2, 3, 4, 5])

/** Those that a DHT passes on to another address, for anybody: handshake and holepunch. */
const PASSED_ON: ReadonlySet<number> = new Set([0, 1])

/**
 * Loads hyperdht, which is an optional dependency with compiled parts. It takes 40 MB of memory, so it is loaded only where
 * a punched path is wanted. Rejects with `punching_missing`.
 */
export async function loadHyperdht(load = () => import('hyperdht')): Promise<typeof HyperDht> {
  try {
    return (await load()).default
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const isAbsent = code === 'MODULE_NOT_FOUND' || code === 'ERR_MODULE_NOT_FOUND'
    const why = isAbsent ? 'it is not installed' : (message.split('\n')[0] as string)
    throw new AppError('punching_missing', { why }, error)
  }
}

export interface GuardOptions {
  /** The other addresses of the DHT. No other one is asked, whatever its nodes answer. */
  isMember: (address: DhtAddress) => boolean
  handshakesPerSecond: number
  /** Whether a request of this command is answered, beyond handshakes. */
  isServed?: (command: number) => boolean
}

/** Keeps a node of a DHT to the addresses of that DHT, and to so many messages of handshakes in a second. */
export function guardDht(dht: HyperDht, { isMember, handshakesPerSecond, isServed = () => true }: GuardOptions): void {
  dht._filterNode = isMember
  const take = takeToken(handshakesPerSecond)
  const answer = dht.onrequest.bind(dht)
  dht.onrequest = (request) => {
    // True: nothing is sent back, as if the datagram had been lost.
    if (PASSED_ON.has(request.command) && !take()) return true
    return isServed(request.command) ? answer(request) : true
  }
}
