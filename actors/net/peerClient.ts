import { connect } from '../../client/client.ts'
import { mutualTls } from '../../client/mutualTls.ts'
import type { CommandInput, CommandType } from '../../client/types.ts'
import type { Answer } from '../../protocol/index.ts'
import { type Endpoint, formatEndpoint } from '../../protocol/net/endpoint.ts'
import type { ProvenPeer } from '../identity/certificate.ts'
import type { Dialer, DialTarget, NodeConnection } from './dialer.ts'

/** A command for another node. */
interface PeerCommand {
  type: string
  requestId?: string
  [key: string]: unknown
}

export interface PeerRequestOptions {
  /** Called with every fact in order, including the finishing one. Its texts are free of control characters. */
  onFact?: (fact: Answer) => void
  signal?: AbortSignal
  /** How long the peer may send nothing, not even a heartbeat, in milliseconds. */
  silenceMs?: number
}

/** Sends commands to other nodes over mutual TLS 1.3. Each command uses its own connection. */
export interface PeerClient {
  /**
   * Resolves with the finishing fact, the node that gave it and the endpoint at which it was reached. Rejects as the
   * dialer does, and with `timed_out`, `protocol_error`, `connection_lost`, `abandoned`, or the peer's own failure.
   * Facts have the shape that the peer gave them, so a caller must check each field that it uses. Secrets in them are
   * plain strings.
   */
  request(
    to: DialTarget,
    command: PeerCommand,
    options?: PeerRequestOptions,
  ): Promise<{ fact: Answer; endpoint: Endpoint } & ProvenPeer>
}

export function createPeerClient(dialer: Dialer): PeerClient {
  return {
    async request(to, command, options = {}) {
      const connection = await dialer.dial(to, { purpose: 'command', signal: options.signal })
      try {
        const fact = await requestOver(connection, command, options)
        return { fact, endpoint: connection.endpoint, ...connection.peer }
      } finally {
        connection.stream.destroy()
      }
    },
  }
}

/**
 * Sends a command over a connection, which may be used again afterwards. Rejects as `PeerClient` does, without the
 * dialer's errors.
 */
export async function requestOver(
  { stream, endpoint }: NodeConnection,
  command: PeerCommand,
  { onFact, signal, silenceMs }: PeerRequestOptions = {},
): Promise<Answer> {
  const client = connect({ transport: mutualTls({ where: formatEndpoint(endpoint), stream, silenceMs }) })
  // The peer validates the command. Its facts are unverified in spite of their types: a caller must check each field.
  const pending = client.request(command as CommandInput<CommandType>, { signal })
  for await (const fact of pending) onFact?.(fact as unknown as Answer)
  return (await pending.answer) as unknown as Answer
}
