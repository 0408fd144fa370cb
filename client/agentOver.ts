import { Agent } from 'node:http'
import type { Duplex } from 'node:stream'

/** An agent whose only connection is the given one, for requests one after another. */
class ConnectionAgent extends Agent {
  readonly #stream: Duplex

  constructor(stream: Duplex) {
    super({ keepAlive: true, maxSockets: 1 })
    // The agent calls `ref` when it reuses a connection. Only sockets have it.
    this.#stream = 'ref' in stream ? stream : Object.assign(stream, { ref: () => stream })
  }

  override createConnection(): Duplex {
    return this.#stream
  }

  // The original needs a TCP socket, and lets the process end while the connection is idle.
  override keepSocketAlive(): boolean {
    return !this.#stream.destroyed
  }
}

const agents = new WeakMap<Duplex, Agent>()

/** The agent for `node:http` that sends requests over this connection. */
export function agentOver(stream: Duplex): Agent {
  const known = agents.get(stream)
  if (known) return known
  const created = new ConnectionAgent(stream)
  agents.set(stream, created)
  return created
}
