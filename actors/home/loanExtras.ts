import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { extrasOf, type LoanExtrasFile, loanExtrasFile } from '../../protocol/files/loans.ts'
import type { Loan } from '../../protocol/groupTracker.ts'
import { replace } from './atomicFile.ts'

/** Returns the path of the file beside `trackcontainers.json` that keeps what Go P2PRC drops there. */
export function loanExtrasPath(trackContainers: string): string {
  return join(dirname(trackContainers), 'loans.json')
}

/** Reads the file. One that is missing or damaged counts as empty: the records themselves have the same fields. */
export async function readLoanExtras(trackContainers: string): Promise<LoanExtrasFile> {
  try {
    return loanExtrasFile.parse(JSON.parse(await readFile(loanExtrasPath(trackContainers), 'utf8')))
  } catch {
    return { Loans: {} }
  }
}

/** Rejects with `disk_failed`. */
export function writeLoanExtras(path: string, loans: readonly Loan[]): Promise<void> {
  return replace(path, `${JSON.stringify(extrasOf(loans), null, '\t')}\n`)
}
