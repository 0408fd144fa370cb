import { z } from 'zod'
import type { CommandSpec } from './control.ts'
import { GROUP_MEMBERS_MAX } from './defaults/groupTracker.ts'
import type { Loan, LoanState } from './groupTracker.ts'
import type { ContainerId, Failure } from './ids.ts'
import { loanRef, takeOptions } from './loanRecord.ts'

/** `grp<uuid>` or the beginning of one, or a group's name. */
export const groupRef = z.string().min(1).max(64)

/** Never `grp…`, so that an id and a name cannot be mixed up. */
const groupName = z
  .string()
  .regex(
    /^(?!grp)[\p{L}\p{N}][\p{L}\p{N}._-]{0,62}$/u,
    'a group name is 1 to 63 letters, digits, dots, dashes and underscores, and does not begin with "grp"',
  )

const where = z.string().min(1).max(512)
const members = z.array(loanRef).max(GROUP_MEMBERS_MAX)

export const groupCommands = {
  'group.create': {
    /**
     * `members` are loans. On each of `on` and of the `nearest` machines that answer, in turn, containers are taken until
     * there are `count` (0: one on each).
     */
    schema: takeOptions.extend({
      name: groupName.or(z.literal('')).default(''),
      members: members.default([]),
      on: z.array(where).max(GROUP_MEMBERS_MAX).default([]),
      count: z.number().int().min(0).max(GROUP_MEMBERS_MAX).default(0),
      nearest: z.number().int().min(0).max(GROUP_MEMBERS_MAX).default(0),
    }),
    action: 'administer',
    terminalEvents: ['group.created', 'group.createFailed'],
  },
  'group.list': { schema: z.object({}), action: 'administer', terminalEvents: ['group.listed', 'group.listFailed'] },
  /** With each lender's present word. */
  'group.show': {
    schema: z.object({ id: groupRef }),
    action: 'administer',
    terminalEvents: ['group.shown', 'group.showFailed'],
  },
  'group.add': {
    schema: z.object({ id: groupRef, members: members.min(1) }),
    action: 'administer',
    terminalEvents: ['group.added', 'group.addFailed'],
  },
  'group.remove': {
    schema: z.object({ id: groupRef, members: members.min(1) }),
    action: 'administer',
    terminalEvents: ['group.removed', 'group.removeFailed'],
  },
  /** With `containers`, they are given back first; those that cannot be stay, and the group with them. */
  'group.delete': {
    schema: z.object({ id: groupRef, containers: z.boolean().default(false) }),
    action: 'administer',
    terminalEvents: ['group.deleted', 'group.deleteFailed'],
  },
  /**
   * Runs `command` on every member over ssh: one word is a line for the shell, several are taken exactly as they are.
   * With `retryFailed` none stands for the last one.
   */
  'group.exec': {
    schema: z.object({
      id: groupRef,
      command: z.array(z.string().max(65_536)).max(1_024),
      /** Only the members on which the last exec failed. */
      retryFailed: z.boolean().default(false),
    }),
    action: 'administer',
    terminalEvents: ['group.executed', 'group.execFailed'],
  },
} as const satisfies Record<string, CommandSpec>

export interface Group {
  /** `grp<uuid v4>`. */
  ID: string
  Name: string
  TrackContainer: (Loan & { state?: LoanState })[]
}

/** What could not be done for one member; `member` is its id, or where it should have been taken. */
export type MemberFailure = { member: string } & Failure

/** How the command ended on one member: by itself with `exit`, or `failure` says why ssh did not get that far. */
export type ExecResult = { id: ContainerId; exit: number | null; failure?: Failure }

export type GroupEmits =
  | { type: 'group.progress'; requestId: string; member: string; step: string; line: string }
  | { type: 'group.created'; requestId: string; group: Group; failures: MemberFailure[] }
  | { type: 'group.listed'; requestId: string; groups: Group[] }
  | { type: 'group.shown'; requestId: string; group: Group }
  | { type: 'group.added'; requestId: string; group: Group }
  | { type: 'group.removed'; requestId: string; group: Group }
  | { type: 'group.deleted'; requestId: string; id: string; returned: ContainerId[] }
  | { type: 'group.output'; requestId: string; id: ContainerId; stream: 'stdout' | 'stderr'; line: string }
  | ({ type: 'group.memberEnded'; requestId: string } & ExecResult)
  /** `failed` are those whose result is not exit 0. */
  | { type: 'group.executed'; requestId: string; results: ExecResult[]; failed: ContainerId[] }
  | Failed<(typeof groupCommands)[keyof typeof groupCommands]['terminalEvents'][1]>
  /** A group is new, has other members, or is gone (null). */
  | { type: 'group.changed'; id: string; group: Group | null }

/** `failures` says for which members, where it was not the whole that failed. */
type Failed<T extends string> = T extends T
  ? { type: T; requestId: string; failures?: MemberFailure[] } & Failure
  : never
