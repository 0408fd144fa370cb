import { connect } from 'node:net'
import { controlSocketPath } from './home.ts'
import { httpTransport } from './httpTransport.ts'
import { streamExchange } from './streamExchange.ts'
import type { Transport } from './transport.ts'

export interface ControlSocketOptions {
  /** The node's Unix socket; without it that of the home that the environment names, as the command line finds it. */
  path?: string
  /** How messages name the node. */
  where?: string
  /** How long the node may be silent, heartbeats included, in ms. */
  silenceMs?: number
}

/** The owner's way to the node on this machine. Where no node listens, requests throw `unreachable`. */
export function controlSocket(options: ControlSocketOptions = {}): Transport {
  const { path = controlSocketPath(process.env), where = 'the node on this machine', silenceMs } = options
  const exchange = streamExchange({ where, carrier: () => ({ createConnection: () => connect(path) }) })
  return httpTransport({ where, exchange, silenceMs })
}
