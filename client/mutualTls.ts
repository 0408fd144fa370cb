import type { Duplex } from 'node:stream'
import { AppError } from '../protocol/errors.ts'
import { agentOver } from './agentOver.ts'
import { httpTransport } from './httpTransport.ts'
import { streamExchange } from './streamExchange.ts'
import type { Transport } from './transport.ts'

export interface MutualTlsOptions {
  /** How messages name the other side, and the name that it is asked for: `host:port`. */
  where: string
  /**
   * A connection on which both sides have proved their keys, as a dialer gives it. It stays the caller's; requests go
   * over it one after another, and one that fails or is not read to its end closes it.
   */
  stream: Duplex
  /** How long the other side may be silent, heartbeats included, in ms. */
  silenceMs?: number | undefined
}

/** A node's way to another node. */
export function mutualTls({ where, stream, silenceMs }: MutualTlsOptions): Transport {
  const carrier = () => {
    if (stream.destroyed) throw new AppError('connection_lost', { where })
    return { agent: agentOver(stream) }
  }
  return httpTransport({ where, exchange: streamExchange({ where, carrier, headers: { host: where } }), silenceMs })
}
