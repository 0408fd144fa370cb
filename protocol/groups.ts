import { z } from 'zod'
import { outputLine } from './containerManager.ts'
import type { CommandSpec } from './control.ts'
import { GROUP_MEMBERS_MAX } from './defaults/groupTracker.ts'
import { answer, type FactSpecs, type FactsOf, failed } from './facts.ts'
import { containerId, failure } from './ids.ts'
import { loan, loanRef, loanState, takeOptions } from './loanRecord.ts'

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

const group = z.object({
  /** `grp<uuid v4>`. */
  ID: z.string(),
  Name: z.string(),
  TrackContainer: z.array(loan.extend({ state: loanState.optional() })),
})

export type Group = z.infer<typeof group>

/** What could not be done for one member; `member` is its id, or where it should have been taken. */
const memberFailure = failure.extend({ member: z.string() })

export type MemberFailure = z.infer<typeof memberFailure>

/** How the command ended on one member: by itself with `exit`, or `failure` says why ssh did not get that far. */
const execResult = z.object({ id: containerId, exit: z.number().nullable(), failure: failure.optional() })

export type ExecResult = z.infer<typeof execResult>

/** `failures` says for which members, where it was not the whole that failed. */
const groupFailed = failed.extend({ failures: z.array(memberFailure).optional() })

export const groupFacts = {
  'group.progress': answer({ member: z.string(), step: z.string(), line: z.string() }),
  'group.created': answer({ group, failures: z.array(memberFailure) }),
  'group.createFailed': groupFailed,
  'group.listed': answer({ groups: z.array(group) }),
  'group.listFailed': groupFailed,
  'group.shown': answer({ group }),
  'group.showFailed': groupFailed,
  'group.added': answer({ group }),
  'group.addFailed': groupFailed,
  'group.removed': answer({ group }),
  'group.removeFailed': groupFailed,
  'group.deleted': answer({ id: z.string(), returned: z.array(containerId) }),
  'group.deleteFailed': groupFailed,
  'group.output': answer({ id: containerId, ...outputLine.shape }),
  'group.memberEnded': answer(execResult.shape),
  /** `failed` are those whose result is not exit 0. */
  'group.executed': answer({ results: z.array(execResult), failed: z.array(containerId) }),
  'group.execFailed': groupFailed,
  /** A group is there at the start, is new, has other members, or is gone (null). */
  'group.changed': z.object({ id: z.string(), group: group.nullable() }),
} as const satisfies FactSpecs

export type GroupEmits = FactsOf<typeof groupFacts>
