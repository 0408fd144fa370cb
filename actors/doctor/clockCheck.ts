import { get } from 'node:http'
import { agentOver } from '../../client/agentOver.ts'
import { PING_PATH } from '../../protocol/control.ts'
import { CLOCK_PEERS, CLOCK_SKEW_MAX_MS } from '../../protocol/defaults/doctor.ts'
import { formatEndpoint } from '../../protocol/net/endpoint.ts'
import type { NodeConnection } from '../net/dialer.ts'
import { broken, type CheckResult, ok, type Subject, unknown } from './check.ts'

/** Compares this machine's clock with those of the nearest peers that answer. */
export async function checkClock({ peers, resolve, dialer, signal }: Subject): Promise<CheckResult> {
  const near = peers.flatMap(({ id, state }) => (id && state === 'answering' ? [id] : [])).slice(0, CLOCK_PEERS)
  const skews = await Promise.all(
    near
      .map(async (id) => {
        const connection = await dialer.dial(await resolve(id, signal), { purpose: 'probe', signal })
        return skewOf(connection, signal).finally(() => connection.stream.destroy())
      })
      .map((skew) =>
        skew.then(
          (ms) => [ms],
          () => [],
        ),
      ),
  )
  return clockResult(skews.flat())
}

/** `skews` has by how many milliseconds this machine is ahead of each peer. */
export function clockResult(skews: readonly number[]): CheckResult {
  const sorted = [...skews].sort((one, other) => one - other)
  const median = sorted[Math.floor((sorted.length - 1) / 2)]
  if (median === undefined) return unknown('No peer could be asked for the time')
  const seconds = Math.round(Math.abs(median) / 1_000)
  const whose = sorted.length === 1 ? 'that of a peer' : `those of ${sorted.length} peers`
  if (Math.abs(median) <= CLOCK_SKEW_MAX_MS) return ok(`The clock of this machine agrees with ${whose}`)
  return broken(
    `The clock of this machine is ${seconds} s ${median > 0 ? 'ahead of' : 'behind'} ${whose}`,
    'Set it, best by NTP: `timedatectl set-ntp true`.',
  )
}

/** The time in a response is that of its second's beginning, somewhere during the exchange. */
function skewOf({ stream, endpoint }: NodeConnection, signal: AbortSignal): Promise<number> {
  return new Promise((resolve, reject) => {
    const sentAt = Date.now()
    const options = { path: PING_PATH, headers: { host: formatEndpoint(endpoint) }, agent: agentOver(stream), signal }
    const sent = get(options, (response) => {
      response.resume()
      const theirs = Date.parse(response.headers.date ?? '') + 500
      if (Number.isFinite(theirs)) resolve((sentAt + Date.now()) / 2 - theirs)
      else reject(new Error('the answer has no time'))
    })
    sent.once('error', reject)
  })
}
