import { type ReceivedFact, sendRequest, withoutControlCharacters } from '../../client/commandStream.ts'
import { protocolError } from '../../client/connectionError.ts'
import { type Answer, commands } from '../../protocol/index.ts'
import { type Endpoint, formatEndpoint } from '../../protocol/net/endpoint.ts'
import type { ProvenPeer } from '../identity/certificate.ts'
import type { Dialer, DialTarget, NodeConnection } from './dialer.ts'
import { agentOver } from './httpClient.ts'

/** A command for another node. */
interface PeerCommand {
  type: string
  requestId?: string
  [key: string]: unknown
}

export interface PeerRequestOptions {
  /** Every fact in order, the finishing one included. Its texts are free of control characters. */
  onFact?: (fact: Answer) => void
  signal?: AbortSignal
  /** How long the peer may be silent, heartbeats included. */
  silenceMs?: number
}

/** Sends commands to other nodes over mutual TLS 1.3. Each command has a connection of its own. */
export interface PeerClient {
  /**
   * Resolves with the finishing fact, the node that gave it and the endpoint at which it was reached. Rejects as the
   * dialer does, and with `timed_out`, `protocol_error`, `connection_lost`, `abandoned`, or the peer's own failure. Facts
   * have the shape the peer gave them: whoever uses a field checks it. Secrets in them are plain strings.
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

/** Sends a command over a connection, which may be used again afterwards. Errors as of `PeerClient`, less the dialer's. */
export async function requestOver(
  { stream, endpoint }: NodeConnection,
  command: PeerCommand,
  { onFact, signal, silenceMs }: PeerRequestOptions = {},
): Promise<Answer> {
  const where = formatEndpoint(endpoint)
  const fact = await sendRequest(command, {
    connect: { agent: agentOver(stream), headers: { host: where } },
    where,
    ...(onFact && { onFact: (received: ReceivedFact) => onFact(asAnswer(received)) }),
    ...(signal && { signal }),
    ...(silenceMs !== undefined && { silenceMs }),
  })
  const terminalEvents = commands.get(command.type)?.terminalEvents
  if (terminalEvents && !terminalEvents.includes(fact.type)) throw protocolError(where, 'it stopped half-way')
  return asAnswer(fact)
}

function asAnswer(fact: ReceivedFact): Answer {
  return withoutControlCharacters(fact) as unknown as Answer
}
