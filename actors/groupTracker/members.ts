import { AppError } from '../../protocol/errors.ts'
import type { Loan } from '../../protocol/groupTracker.ts'
import type { Groups } from './groups.ts'
import type { Loans } from './loans.ts'

/**
 * The loans that `ref` means: the members of a group, by its id or its name, or one loan, by its id or the beginning of
 * it. A group comes first where both could be meant. Throws `not_found` or `ambiguous`.
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
