import { AppError } from '../../protocol/errors.ts'
import type { Loan } from '../../protocol/groupTracker.ts'
import type { Groups } from './groups.ts'
import type { Loans } from './loans.ts'

/**
 * Returns the loans that `ref` refers to: the members of a group, by its id or name, or one loan, by its id or id
 * prefix. A group takes precedence over a loan. Throws `not_found` or `ambiguous`.
 */
export function findMembers(loans: Pick<Loans, 'find'>, groups: Pick<Groups, 'find'>, ref: string): Loan[] {
  try {
    return groups.find(ref).TrackContainer
  } catch (error) {
    if (ref.startsWith('grp') || !isMissing(error)) throw error
  }
  try {
    return [loans.find(ref)]
  } catch (error) {
    throw isMissing(error) ? new AppError('not_found', { kind: 'group or borrowed container', id: ref }) : error
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof AppError && error.code === 'not_found'
}
