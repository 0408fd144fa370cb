import { AppError } from '../../protocol/errors.ts'
import type { Loan } from '../../protocol/groupTracker.ts'
import type { Groups } from './groups.ts'
import type { Loans } from './loans.ts'

/**
 * Returns the loans that `ref` refers to: the members of a group, by its id or name, or one loan, by its id or id
 * prefix. Throws `not_found`, and `ambiguous` also if it is the name of a group and the beginning of a loan's id.
 */
export function findMembers(loans: Pick<Loans, 'find'>, groups: Pick<Groups, 'find'>, ref: string): Loan[] {
  const kind = 'group or borrowed container'
  const group = found(() => groups.find(ref))
  const loan = ref.startsWith('grp') ? undefined : found(() => loans.find(ref))
  if (group && loan) {
    const matches = `the group ${group.Name || group.ID}, the container ${loan.ID.slice(0, 12)}`
    throw new AppError('ambiguous', { kind, id: ref, matches })
  }
  if (group) return group.TrackContainer
  if (loan) return [loan]
  throw new AppError('not_found', { kind: ref.startsWith('grp') ? 'group' : kind, id: ref })
}

/** What `find` returns; undefined if there is none. */
function found<T>(find: () => T): T | undefined {
  try {
    return find()
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof AppError && error.code === 'not_found'
}
