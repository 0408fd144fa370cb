import { z } from 'zod'
import type { Port } from '../../protocol/containerManager.ts'
import { AppError } from '../../protocol/errors.ts'
import type { Loan } from '../../protocol/groupTracker.ts'
import type { Answer } from '../../protocol/index.ts'
import { atEndpoint } from '../../protocol/loanRecord.ts'
import { type Endpoint, formatEndpoint } from '../../protocol/net/endpoint.ts'
import { type Mapping, mapping } from '../../protocol/turnClient.ts'
import type { DialTarget } from '../net/dialer.ts'
import type { PeerClient } from '../net/peerClient.ts'

/**
 * Returns the record of a loan with the endpoint at which this node reaches each published port, if its lender answers at
 * `endpoint`. A lender that was dialled itself is reached at the ports that it publishes. Any other is behind a router,
 * so it is asked to show the container's ports at its relay; those that it shows already keep their addresses. Rejects as
 * `PeerClient.request` does.
 */
export async function withShownPorts(
  peers: PeerClient,
  loan: Loan,
  endpoint: Endpoint,
  signal: AbortSignal,
): Promise<Loan> {
  const located = atEndpoint(loan, endpoint)
  const { Port } = located.Container.Ports
  if (endpoint.kind === 'direct' || Port.length === 0) return located
  const to = { ...(loan.NodeId && { id: loan.NodeId }), endpoints: [endpoint] }
  const shown = await listShown(peers, to, signal)
  const published = await Promise.all(
    Port.map(async (one) => {
      const address = shown.find((each) => isOf(each, one))?.address ?? (await show(peers, to, one, signal))
      return { ...one, Endpoint: formatEndpoint({ ...address, kind: 'relayed' }) }
    }),
  )
  return { ...located, Container: { ...located.Container, Ports: { ...located.Container.Ports, Port: published } } }
}

/** What a lender answers, which may be hostile. */
const listed = z.object({ mappings: z.array(mapping).max(1_024) })
const mapped = z.object({ mapping: mapping.required({ address: true }) })

async function listShown(peers: PeerClient, to: DialTarget, signal: AbortSignal): Promise<Mapping[]> {
  const { mappings } = parsed(listed, await peers.request(to, { type: 'port.list' }, { signal }))
  return mappings.filter(({ state }) => state === 'open')
}

async function show(peers: PeerClient, to: DialTarget, port: Port, signal: AbortSignal): Promise<Endpoint> {
  const command = { type: 'port.map', port: port.ExternalPort, protocol: port.Type }
  return parsed(mapped, await peers.request(to, command, { signal })).mapping.address
}

function isOf({ port, protocol }: Mapping, { ExternalPort, Type }: Port): boolean {
  return port === ExternalPort && protocol === Type
}

function parsed<T>(schema: z.ZodType<T>, { fact, endpoint }: { fact: Answer; endpoint: Endpoint }): T {
  const answer = schema.safeParse(fact)
  if (answer.success) return answer.data
  throw new AppError('protocol_error', {
    where: formatEndpoint(endpoint),
    why: 'its answer about the ports that it shows is not in the known form',
  })
}
