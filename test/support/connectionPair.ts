import { type Duplex, duplexPair } from 'node:stream'

/** Both ends of a connection in memory. As with sockets, the end of one is that of the other. */
export function connectionPair(): [Duplex, Duplex] {
  const [near, far] = duplexPair()
  near.on('error', () => {}).once('close', () => far.destroy())
  far.on('error', () => {}).once('close', () => near.destroy())
  return [near, far]
}
