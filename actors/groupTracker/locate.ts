import { setTimeout as pause } from 'node:timers/promises'
import PQueue from 'p-queue'
import { CONCURRENT_LENDERS_MAX, LOCATE_RETRY_MS, LOCATE_TIMEOUT_MS } from '../../protocol/defaults/groupTracker.ts'
import { toAppError } from '../../protocol/errors.ts'
import type { Loan } from '../../protocol/groupTracker.ts'
import type { LenderClient } from './lenderClient.ts'
import type { Loans } from './loans.ts'

/**
 * Returns the loans as they are reached now, and records what has changed: the ports of a lender behind a router move when
 * its relay is lost. A loan whose lender does not answer keeps its last addresses.
 */
export async function locateAll(
  { loans, lenderClient }: { loans: Pick<Loans, 'move'>; lenderClient: Pick<LenderClient, 'located'> },
  wanted: readonly Loan[],
  signal: AbortSignal,
): Promise<Loan[]> {
  const queue = new PQueue({ concurrency: CONCURRENT_LENDERS_MAX })
  const located = wanted.map((loan) =>
    queue.add(async () => {
      const limit = AbortSignal.any([signal, AbortSignal.timeout(LOCATE_TIMEOUT_MS)])
      const now = await untilLocated(lenderClient, loan, limit).catch(() => loan)
      // A record that cannot be written is the same at the next time.
      if (now !== loan && isMoved(loan, now)) await loans.move(now).catch(() => {})
      return now
    }),
  )
  return Promise.all(located)
}

/** Tries again while nobody answers: where a lender is reached next becomes known a moment after its relay is lost. */
async function untilLocated(
  lenderClient: Pick<LenderClient, 'located'>,
  loan: Loan,
  signal: AbortSignal,
): Promise<Loan> {
  for (;;) {
    try {
      return await lenderClient.located(loan, signal)
    } catch (error) {
      if (signal.aborted || !IS_PASSING.has(toAppError(error).code)) throw error
      await pause(LOCATE_RETRY_MS, undefined, { signal })
    }
  }
}

const IS_PASSING: ReadonlySet<string> = new Set([
  'unreachable',
  'timed_out',
  'connection_lost',
  'no_relay',
  'wrong_node',
])

function isMoved(before: Loan, now: Loan): boolean {
  const endpoints = ({ Endpoint, Container }: Loan) => [Endpoint, ...Container.Ports.Port.map((one) => one.Endpoint)]
  return endpoints(before).join() !== endpoints(now).join()
}
