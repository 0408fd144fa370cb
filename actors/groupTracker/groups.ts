import { randomUUID } from 'node:crypto'
import { AppError } from '../../protocol/errors.ts'
import type { GroupTrackContainersFile } from '../../protocol/files/loans.ts'
import type { Group } from '../../protocol/groups.ts'
import type { Loan } from '../../protocol/groupTracker.ts'
import type { ContainerId } from '../../protocol/ids.ts'
import type { Store } from '../store.ts'
import { findLoan, type Loans, withoutSecrets } from './loans.ts'

/**
 * Named sets of loans, stored in `grouptrackcontainers.json`. A change that cannot be written rejects with
 * `disk_failed` and leaves the file unchanged.
 */
export interface Groups {
  /**
   * Returns the groups with the current records of their members. A member that is no longer tracked keeps its last
   * record.
   */
  all(): Group[]
  /** Returns the group with this id, id prefix or name. Throws `not_found` or `ambiguous`. */
  find(ref: string): Group
  /** Throws `bad_request` if the name is taken. */
  checkName(name: string): void
  create(name: string, members: readonly Loan[]): Promise<Group>
  /** Adds members; a loan that is a member already is not added again. */
  add(id: string, members: readonly Loan[]): Promise<Group>
  remove(id: string, members: readonly string[]): Promise<Group>
  delete(id: string): Promise<void>
  /** Removes a container from every group. Resolves with the groups that contained it, as they are afterwards. */
  dropMember(id: ContainerId): Promise<Group[]>
  /** Returns the command of the last exec and the members on which it failed, or nothing if no member failed. */
  failed(id: string): LastFailed
  setFailed(id: string, last: LastFailed): Promise<void>
}

export interface LastFailed {
  members: readonly string[]
  command: readonly string[]
}

/** A group as it is written: P2PRC's keys, then this project's. */
interface GroupRecord {
  ID: string
  TrackContainer: Loan[]
  Name?: string
  LastFailed?: string[]
  LastCommand?: string[]
}

export function createGroups(store: Store<GroupTrackContainersFile>, loans: Pick<Loans, 'all'>): Groups {
  const records = (file = store.data): GroupRecord[] => file.Groups

  /** Returns the current record of each member. What is written is always a copy of these. */
  function currentRecords(members: readonly Loan[]): Loan[] {
    const tracked = new Map(loans.all().map((loan) => [loan.ID, loan]))
    return [...new Map(members.map((loan) => [loan.ID, tracked.get(loan.ID) ?? loan])).values()]
  }

  const toGroup = ({ ID, Name, TrackContainer }: GroupRecord): Group => ({
    ID,
    Name: Name ?? '',
    TrackContainer: currentRecords(TrackContainer),
  })

  async function update(change: (groups: GroupRecord[]) => GroupRecord[]): Promise<void> {
    await store.update((file) => ({
      ...file,
      Groups: change(records(file)).map((group) => ({
        ...group,
        TrackContainer: currentRecords(group.TrackContainer).map(withoutSecrets),
      })),
    }))
  }

  async function changeOne(id: string, change: (group: GroupRecord) => GroupRecord): Promise<Group> {
    await update((groups) => {
      if (!groups.some(({ ID }) => ID === id)) throw new AppError('not_found', { kind: 'group', id })
      return groups.map((group) => (group.ID === id ? change(group) : group))
    })
    return toGroup(records().find(({ ID }) => ID === id) as GroupRecord)
  }

  function checkName(name: string): void {
    if (name && records().some(({ Name }) => Name === name))
      throw new AppError('bad_request', { why: `There is already a group "${name}"` })
    if (name && loans.all().some(({ ID }) => ID.startsWith(name)))
      throw new AppError('bad_request', {
        why: `"${name}" is the beginning of the id of a container`,
        todo: 'Give another name.',
      })
  }

  return {
    checkName,
    all: () => records().map(toGroup),
    find: (ref) => findGroup(records().map(toGroup), ref),
    async create(name, members) {
      const record: GroupRecord = {
        ID: `grp${randomUUID()}`,
        ...(name && { Name: name }),
        TrackContainer: [...members],
      }
      await update((groups) => {
        checkName(name)
        return [...groups, record]
      })
      return toGroup(record)
    },
    add: (id, members) =>
      changeOne(id, (group) => ({ ...group, TrackContainer: [...group.TrackContainer, ...members] })),
    remove: (id, refs) =>
      changeOne(id, (group) => {
        const gone = new Set(refs.map((ref) => findMember(group, ref).ID))
        return { ...group, TrackContainer: group.TrackContainer.filter(({ ID }) => !gone.has(ID)) }
      }),
    delete: (id) => update((groups) => groups.filter(({ ID }) => ID !== id)),
    async dropMember(id) {
      const isIn = ({ TrackContainer }: GroupRecord) => TrackContainer.some(({ ID }) => ID === id)
      const touched = records().filter(isIn)
      if (touched.length === 0) return []
      await update((groups) =>
        groups.map((group) => ({ ...group, TrackContainer: group.TrackContainer.filter(({ ID }) => ID !== id) })),
      )
      return records()
        .filter(({ ID }) => touched.some((group) => group.ID === ID))
        .map(toGroup)
    },
    failed(id) {
      const { LastFailed, LastCommand } = records().find(({ ID }) => ID === id) ?? {}
      return { members: LastFailed ?? [], command: LastCommand ?? [] }
    },
    async setFailed(id, last) {
      await changeOne(id, ({ LastFailed: _, LastCommand: __, ...group }) => ({
        ...group,
        ...(last.members.length > 0 && { LastFailed: [...last.members], LastCommand: [...last.command] }),
      }))
    },
  }
}

function findMember({ ID, Name, TrackContainer }: GroupRecord, ref: string): Loan {
  try {
    return findLoan(TrackContainer, ref)
  } catch (error) {
    const isMissing = error instanceof AppError && error.code === 'not_found'
    throw isMissing ? new AppError('not_found', { kind: 'member', id: ref, group: Name || ID }, error) : error
  }
}

function findGroup(groups: readonly Group[], ref: string): Group {
  const matches = groups.filter(({ ID }) => ID.startsWith(ref))
  const found = groups.find(({ ID, Name }) => ID === ref || Name === ref) ?? matches[0]
  if (!found) throw new AppError('not_found', { kind: 'group', id: ref })
  if (matches.length > 1 && found.ID !== ref && found.Name !== ref) {
    const shown = matches.slice(0, 8).map(({ ID, Name }) => Name || ID.slice(0, 11))
    throw new AppError('ambiguous', { id: ref, kind: 'group', matches: shown.join(', ') })
  }
  return found
}
