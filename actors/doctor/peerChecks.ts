import { randomUUID } from 'node:crypto'
import { toAppError } from '../../protocol/errors.ts'
import { type Endpoint, formatEndpoint, isSameEndpoint, rungNameOf, rungs } from '../../protocol/net/endpoint.ts'
import { isShared } from '../../protocol/net/ranges.ts'
import { reachabilityFacts } from '../../protocol/reachability.ts'
import type { DialTarget } from '../net/dialer.ts'
import { createPeerClient } from '../net/peerClient.ts'
import { broken, brokenBy, type CheckResult, isReached, ok, type Subject, unknown, unneeded } from './check.ts'

/** A result with the name of its check. */
export type PeerResult = CheckResult & { check: string }

interface Dialled {
  endpoint: Endpoint
  ms?: number
  error?: unknown
}

/** Dials each endpoint of a peer by itself, and has the peer dial this node back. */
export async function checkPeer(where: string, subject: Subject): Promise<PeerResult[]> {
  try {
    const target = await targetOf(where, subject)
    const dials = await Promise.all(target.endpoints.map((endpoint) => dialAlone(target, endpoint, subject)))
    const answering = dials.filter(({ ms }) => ms !== undefined).map(({ endpoint }) => endpoint)
    const back = await checkBack({ ...target, endpoints: answering }, where, subject)
    const router = { check: `router of ${where}`, ...routerResult(target.endpoints) }
    return [...rungResults(dials, where), { check: `from ${where}`, ...back }, router]
  } catch (error) {
    return [{ check: `to ${where}`, ...brokenBy(error) }]
  }
}

/** A machine that the owner names by one address is examined at its others too. */
async function targetOf(where: string, { resolve, peers, signal }: Subject): Promise<DialTarget> {
  const target = await resolve(where, signal)
  if (target.id) return target
  const isNamed = (at: Endpoint) => target.endpoints.some((one) => isSameEndpoint(one, at))
  const known = peers.find(({ id, endpoints }) => id && endpoints.some(isNamed))
  return known?.id ? resolve(known.id, signal) : target
}

/** Which router is on the side of a peer, as far as its endpoints tell. */
export function routerResult(endpoints: readonly Endpoint[]): CheckResult {
  const kinds = new Set(endpoints.map(({ kind }) => kind))
  if (endpoints.some(({ kind, host }) => kind === 'direct' && !isShared(host)))
    return ok('No router is in the way to it: it names a public address of its own')
  if (kinds.has('mapped')) return ok('A router passes connections on to it, from a port that it maps')
  if (kinds.has('punched') || kinds.has('relayed')) return ok('A router passes nothing on to it, so a relay does')
  return unknown('It names only addresses of its own network')
}

async function dialAlone({ id }: DialTarget, endpoint: Endpoint, { dialer, signal }: Subject): Promise<Dialled> {
  try {
    const target = { ...(id && { id }), endpoints: [endpoint] }
    const { stream, ms } = await dialer.dial(target, { purpose: 'command', signal })
    stream.destroy()
    return { endpoint, ms }
  } catch (error) {
    return { endpoint, error }
  }
}

/** One result for each rung that the peer offers. A rung that fails is no broken link while another one works. */
export function rungResults(dials: readonly Dialled[], where: string): PeerResult[] {
  const isAnswered = dials.some(({ ms }) => ms !== undefined)
  return rungs.flatMap((rung) => {
    const offered = dials.filter(({ endpoint }) => rungNameOf(endpoint) === rung)
    const best = offered.find(({ ms }) => ms !== undefined) ?? offered[0]
    if (!best) return []
    const check = `to ${where}, ${rung}`
    const { endpoint, ms, error } = best
    if (ms !== undefined) return [{ check, ...ok(`It answers at ${formatEndpoint(endpoint)} in ${Math.ceil(ms)} ms`) }]
    return [{ check, ...(isAnswered ? unneeded(toAppError(error).what) : brokenBy(error)) }]
  })
}

/** Through a relay the peer would see the relay's address, so that it is asked over a direct path. */
async function checkBack(target: DialTarget, where: string, subject: Subject): Promise<CheckResult> {
  const { dialer, listening, ownAddresses, signal } = subject
  const endpoints = target.endpoints.filter(({ kind }) => kind === 'direct' || kind === 'mapped')
  if (listening.port === 0) return unknown('No node runs here that it could dial')
  if (endpoints.length === 0) return unknown(`${where} is not reached directly, so it does not see this machine`)
  const command = { type: 'reach.dialBack', requestId: randomUUID(), port: listening.port }
  const { fact } = await createPeerClient(dialer).request({ ...target, endpoints }, command, { signal })
  const answer = reachabilityFacts['reach.dialledBack'].safeParse(fact)
  if (!answer.success) return unknown(`${where} does not dial other nodes back`)
  const { endpoint, failure } = answer.data
  const at = formatEndpoint(endpoint)
  if (!failure) return ok(`It reaches this node at ${at}`)
  const what = `It does not reach this node at ${at}: ${failure.message}`
  if (isReached(subject)) return unneeded(what)
  const isOwn = ownAddresses.includes(endpoint.host)
  return broken(
    what,
    isOwn
      ? `Open TCP port ${listening.port} in the firewall of this machine.`
      : 'Allow UPnP or NAT-PMP in the settings of the router, or forward the port there by hand; a relay helps too.',
  )
}
