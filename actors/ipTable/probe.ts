import { randomUUID } from 'node:crypto'
import type { Observation, Outcome, ProbeInput } from '../../machines/ipTable/ipTablePorts.ts'
import { PROBE } from '../../protocol/defaults/ipTable.ts'
import { toAppError } from '../../protocol/errors.ts'
import type { ContactFact, PeerAt } from '../../protocol/ipTable.ts'
import { readJson } from '../../protocol/json.ts'
import { type Specs, specsSchema } from '../../protocol/specs.ts'
import type { DialGuard } from '../net/dialGuard.ts'
import type { PeerClient } from '../net/peerClient.ts'
import { sendPlainRequest } from '../net/plainHttp.ts'
import type { Dial } from '../speedTester/speedLink.ts'
import { type Latency, measureKeyedLatency, measurePlainLatency } from './latency.ts'

export interface ProbeDependencies {
  guard: DialGuard
  peers: PeerClient
  dial?: Dial
}

/** `/server_info` of a node is a few kilobytes; more is not one. */
const INFO_MAX_BYTES = 64 * 1024

/** Looks who answers at a peer's addresses, the first that does. Never rejects. */
export async function probe(input: ProbeInput, { guard, ...dependencies }: ProbeDependencies): Promise<Outcome> {
  let isDeferred = false
  for (const at of input.addresses) {
    const proved = at.provedAt !== null
    try {
      const to = await guard.authorize(at, { trusted: at.trusted || proved, signal: input.signal })
      return await probeAddress(to, at, { ...input, ...dependencies, knownLegacy: proved })
    } catch (error) {
      isDeferred ||= toAppError(error).code === 'dialled_lately' || input.signal.aborted
    }
  }
  return { kind: isDeferred ? 'skipped' : 'silent' }
}

interface IdentityProof extends Observation {
  contact: Omit<ContactFact, 'type'>
}

/** Failures of a peer that is not there, or is not the one. */
const UNREACHABLE_CODES: ReadonlySet<string> = new Set([
  'unreachable',
  'timed_out',
  'protocol_error',
  'wrong_node',
  'connection_lost',
  'abandoned',
])

interface ProbeAddressOptions extends Omit<ProbeDependencies, 'guard'> {
  keyed: boolean
  measure: boolean
  /** It answered without a key before, so it is not asked for one again. */
  knownLegacy: boolean
  signal: AbortSignal
}

/** Rejects where nobody answers. A node without a key is asked plainly first: to it a TLS greeting is garbage. */
async function probeAddress(to: PeerAt, named: PeerAt, options: ProbeAddressOptions): Promise<Outcome> {
  const { keyed, knownLegacy, measure, signal, peers, dial } = options
  const asNode = async (): Promise<Outcome> => {
    const proof = await requestIdentity(to, named, peers, signal)
    const latency =
      measure && dial && (await latencyOf(measureKeyedLatency(dial, { ...to, id: proof.contact.id }, signal)))
    return { kind: 'node', ...proof, ...latency }
  }
  if (keyed) return asNode()
  const limits = { timeoutMs: PROBE.timeoutMs, maxBytes: INFO_MAX_BYTES }
  const seen = readSpecs(await sendPlainRequest(to, { path: '/server_info', signal, ...limits }))
  const asLegacy = async (): Promise<Outcome> => {
    const latency = measure && (await latencyOf(measurePlainLatency(to, signal)))
    return { kind: 'legacy', at: named, ...seen, ...latency }
  }
  return knownLegacy ? asLegacy() : asNode().catch(asLegacy)
}

/** A latency, or nothing: whoever answered a moment ago is there, however this ends. */
function latencyOf(measuring: Promise<Latency>): Promise<Observation> {
  return measuring.then(
    ({ bestNs }) => ({ latencyNs: bestNs }),
    () => ({}),
  )
}

/** Has the node at an address prove its key, and say how its machine is by the way. */
export async function requestIdentity(
  to: PeerAt,
  named: PeerAt,
  peers: PeerClient,
  signal: AbortSignal,
): Promise<IdentityProof> {
  const limited = AbortSignal.any([signal, AbortSignal.timeout(PROBE.timeoutMs)])
  const request = (type: string) => peers.request(to, { type, requestId: randomUUID() }, { signal: limited })
  const answer = await request('specs.get').catch((error) => {
    // Whoever refuses with words of its own is there; it is asked for no more than its name.
    if (UNREACHABLE_CODES.has(toAppError(error).code)) throw error
    return request('node.show')
  })
  const { id, name, key, fact } = answer
  const specs = specsSchema.safeParse(fact.type === 'specs.got' ? fact.specs : undefined)
  return { contact: { id, name, key, host: named.host, port: named.port }, ...(specs.success && { specs: specs.data }) }
}

/** What a plain `/server_info` says of the machine; nothing where it is not in the known form. */
export function readSpecs(body: string): { specs?: Specs } {
  try {
    const specs = specsSchema.safeParse(readJson(body))
    return specs.success ? { specs: specs.data } : {}
  } catch {
    return {}
  }
}
