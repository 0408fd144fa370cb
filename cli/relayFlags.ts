import type { NodeOptions } from '../actors/node.ts'
import { LENT_PORT_MAX, LENT_PORT_MIN } from '../protocol/defaults/relay.ts'
import { AppError } from '../protocol/errors.ts'
import { relayPolicies } from '../protocol/rights.ts'
import { wholeNumber } from './commandLine.ts'

/** What was typed about the ports to lend. */
export interface RelayFlags {
  policy: string | undefined
  /** `from-to` */
  ports: string | undefined
  /** Mbit/s */
  rate: string | undefined
}

const RATE_MAX_MBPS = 100_000

const BYTES_PER_MBIT = 125_000

/** Reads the flags and the tokens. Throws `bad_request` or `bad_count`. */
export function relayOptions({ policy, ports, rate }: RelayFlags, env = process.env) {
  const relay = relayPolicies.find((one) => one === (policy ?? 'peers'))
  if (!relay) throw new AppError('bad_request', { why: `--relay is ${relayPolicies.join(', ')} and not "${policy}"` })
  const { P2PRC_RELAY_TOKEN: token, P2PRC_VIA_TOKEN: viaToken } = env
  // Ansible and other programs that the node starts must not inherit them.
  delete env.P2PRC_RELAY_TOKEN
  delete env.P2PRC_VIA_TOKEN
  const limits = {
    ...(ports !== undefined && { ports: rangeOf(ports) }),
    ...(rate !== undefined && { bytesPerSecond: wholeNumber('--relay-rate', rate, 1, RATE_MAX_MBPS) * BYTES_PER_MBIT }),
  }
  return {
    relay,
    relayChoices: { limits, ...(token && { token }) },
    ...(viaToken && { viaToken }),
  } satisfies Partial<NodeOptions>
}

function rangeOf(text: string): { from: number; to: number } {
  const [first = '', last = first, ...more] = text.split('-')
  const [from, to] = [first, last].map((one) => wholeNumber('--relay-ports', one, LENT_PORT_MIN, LENT_PORT_MAX))
  if (more.length > 0 || from === undefined || to === undefined || from > to)
    throw new AppError('bad_request', { why: `--relay-ports is a range such as 20000-30000 and not "${text}"` })
  return { from, to }
}
