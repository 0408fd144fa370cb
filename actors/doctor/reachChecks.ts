import { fromFailure } from '../../protocol/errors.ts'
import type { Failure } from '../../protocol/ids.ts'
import { formatEndpoint } from '../../protocol/net/endpoint.ts'
import type { DialledEndpoint } from '../../protocol/reachability.ts'
import { broken, brokenBy, type CheckResult, isReached, ok, type Subject, unknown, unneeded } from './check.ts'

/** The checks of how others reach this node, from what peers found that dialled it back. */

export function checkFirewall(subject: Subject): CheckResult {
  const { reach, listening, ownAddresses } = subject
  if (listening.port === 0) return unknown('Nobody can dial a node that does not run')
  const direct = reach.endpoints.filter(({ endpoint }) => endpoint.kind === 'direct')
  const reached = direct.find(({ state }) => state === 'reachable')
  if (reached)
    return ok(`${peersText(reached)} reached this node at ${formatEndpoint(reached.endpoint)}`, reached.since)
  const failed = direct.filter(({ state }) => state === 'unreachable')
  const own = failed.find(({ endpoint }) => ownAddresses.includes(endpoint.host))
  if (own) {
    const what = `${peersText(own)} dialled this machine at ${formatEndpoint(own.endpoint)} and did not reach it`
    return failing(subject, broken(what, `Open TCP port ${listening.port} in the firewall of this machine.`))
  }
  const [routed] = failed
  if (routed) return unneeded(`Peers see this machine at ${routed.endpoint.host}, which is the address of its router`)
  return unknown('No peer has tried yet to dial this node back')
}

export function checkRouter(subject: Subject): CheckResult {
  const { reach } = subject
  const { state, by, since, why } = reach.mapping
  const mapped = reach.endpoints.find(({ endpoint }) => endpoint.kind === 'mapped')
  switch (state) {
    case 'confirmed':
      return ok(`The router maps ${mapped ? formatEndpoint(mapped.endpoint) : 'a port'} to this node, by ${by}`, since)
    case 'refused':
      return failing(subject, failed(why))
    case 'requesting':
    case 'confirming':
      return unknown('The router is being asked for a mapping')
    case 'unneeded':
      return unneeded(
        reach.state === 'reachable'
          ? 'Peers reach this node without a mapping of its router'
          : 'No router was asked for a mapping, because no peer outside has seen this node yet',
      )
  }
}

export function checkRelay(subject: Subject): CheckResult {
  const { reach, relayed } = subject
  if (!relayed) {
    if (reach.state === 'reachable') return unneeded('Peers reach this node without a relay')
    return unknown('No relay is in use, because no peer has found yet that this node needs one')
  }
  const { state, address, since, why } = relayed
  if (state === 'open' && address) return ok(`A relay passes connections on from ${formatEndpoint(address)}`, since)
  return why ? failing(subject, failed(why)) : unknown('This node looks for a relay, or is about to log in there')
}

/** Which router is in between, as far as what peers see tells, and whether hyperdht is there to punch through it. */
export function checkPunching(subject: Subject): CheckResult {
  const { punched } = subject
  const router = routerText(subject)
  if (punched) return ok(`Peers punch through to this node over ${formatEndpoint(punched)}; ${router}`)
  if (subject.isPunchingInstalled) return unneeded(`No relay is in use through which peers punch; ${router}`)
  return unneeded(`hyperdht is not installed, so peers behind routers use a relay; ${router}`)
}

function routerText({ reach, ownAddresses }: Subject): string {
  const hosts = reach.endpoints.map(({ endpoint }) => endpoint.host)
  const [seen] = hosts
  if (seen === undefined) return 'no peer has said yet where it sees this machine'
  const own = hosts.find((host) => ownAddresses.includes(host))
  if (own !== undefined) return `no router translates the address of this machine, ${own}`
  return `a router translates the address of this machine to ${seen}`
}

/** What does not work is no broken link while others reach this node in another way. */
function failing(subject: Subject, result: CheckResult): CheckResult {
  return isReached(subject) ? unneeded(result.what) : result
}

function failed(why: Failure | undefined): CheckResult {
  return why ? brokenBy(fromFailure(why)) : unknown('The reason is not known')
}

function peersText({ by }: DialledEndpoint): string {
  return by.length === 1 ? 'One peer' : `${by.length} peers`
}
