import PQueue from 'p-queue'
import { ASK_LENDER_TIMEOUT_MS, LENDERS_AT_ONCE } from '../../protocol/defaults.ts'
import { toFault } from '../../protocol/errors.ts'
import type { Loan, LoanState } from '../../protocol/groupTracker.ts'
import type { Lender } from './lender.ts'

/** Each lender's present word on what it lends to us, all of them asked at the same time. */
export async function presentStates(
  lender: Lender,
  loans: readonly Loan[],
  signal: AbortSignal,
): Promise<Map<string, LoanState>> {
  const byLender = new Map<string, Loan[]>()
  for (const loan of loans) if (loan.NodeId) byLender.set(loan.NodeId, [...(byLender.get(loan.NodeId) ?? []), loan])
  const queue = new PQueue({ concurrency: LENDERS_AT_ONCE })
  const states = new Map<string, LoanState>()
  await queue.addAll(
    [...byLender.values()].map((lent) => async () => {
      const word = await wordOf(lender, lent[0] as Loan, signal)
      for (const { ID } of lent) states.set(ID, typeof word === 'string' ? word : (word.get(ID) ?? 'gone'))
    }),
  )
  return states
}

async function wordOf(lender: Lender, loan: Loan, signal: AbortSignal): Promise<Map<string, LoanState> | LoanState> {
  try {
    return await lender.list(loan, AbortSignal.any([signal, AbortSignal.timeout(ASK_LENDER_TIMEOUT_MS)]))
  } catch (error) {
    return /^not_(trusted|owner)$/.test(toFault(error).code) ? 'refused' : 'unreachable'
  }
}
