import PQueue from 'p-queue'
import { CONCURRENT_LENDERS_MAX, LENDER_TIMEOUT_MS } from '../../protocol/defaults/groupTracker.ts'
import { toAppError } from '../../protocol/errors.ts'
import type { Loan, LoanState } from '../../protocol/groupTracker.ts'
import type { LenderClient } from './lenderClient.ts'

/** Returns the loans with the states that their lenders report now. The lenders are asked in parallel. */
export async function refreshStates(
  lenderClient: LenderClient,
  loans: readonly Loan[],
  signal: AbortSignal,
): Promise<Map<string, LoanState>> {
  const byLender = new Map<string, Loan[]>()
  for (const loan of loans) if (loan.NodeId) byLender.set(loan.NodeId, [...(byLender.get(loan.NodeId) ?? []), loan])
  const queue = new PQueue({ concurrency: CONCURRENT_LENDERS_MAX })
  const states = new Map<string, LoanState>()
  await queue.addAll(
    [...byLender.values()].map((lenderLoans) => async () => {
      const reply = await queryLender(lenderClient, lenderLoans[0] as Loan, signal)
      for (const { ID } of lenderLoans) states.set(ID, typeof reply === 'string' ? reply : (reply.get(ID) ?? 'gone'))
    }),
  )
  return states
}

async function queryLender(
  lenderClient: LenderClient,
  loan: Loan,
  signal: AbortSignal,
): Promise<Map<string, LoanState> | LoanState> {
  try {
    return await lenderClient.list(loan, AbortSignal.any([signal, AbortSignal.timeout(LENDER_TIMEOUT_MS)]))
  } catch (error) {
    return /^not_(trusted|owner)$/.test(toAppError(error).code) ? 'refused' : 'unreachable'
  }
}
