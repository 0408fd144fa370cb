import { z } from 'zod'
import { outputLine } from './containerManager.ts'
import type { CommandSpec } from './control.ts'
import { GROUP_MEMBERS_MAX } from './defaults/groupTracker.ts'
import { answer, type FactSpecs, type FactsOf, failed } from './facts.ts'
import { containerId, failure } from './ids.ts'
import { loan, loanRef, loanState, takeOptions } from './loanRecord.ts'

/** The id of a group (`grp<uuid>`) or the beginning of one, or the name of a group. */
export const groupRef = z.string().min(1).max(64)

/** A name never begins with `grp`, so that it cannot be confused with an id. */
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
     * `members` are loans. New containers are borrowed from each machine in `on` and from the `nearest` machines that
     * answer, in turn, until there are `count` new containers; with a `count` of 0, each machine lends one.
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
  /** Includes the current state of each container, which its lender reports. */
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
  /** With `containers`, the members are returned first. If one cannot be returned, it stays, and the group with it. */
  'group.delete': {
    schema: z.object({ id: groupRef, containers: z.boolean().default(false) }),
    action: 'administer',
    terminalEvents: ['group.deleted', 'group.deleteFailed'],
  },
  /**
   * Runs `command` on every member over ssh. A single word is a line for the shell; several words are passed exactly as
   * they are. With `retryFailed`, an empty `command` means the last command of the group.
   */
  'group.exec': {
    schema: z.object({
      id: groupRef,
      command: z.array(z.string().max(65_536)).max(1_024),
      /** Runs the command only on the members on which the last one failed. */
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

/** The failure of one member. `member` is its id, or the machine that should have lent it. */
const memberFailure = failure.extend({ member: z.string() })

export type MemberFailure = z.infer<typeof memberFailure>

/** The result of the command on one member: its exit code, or a `failure` that says why ssh could not run it. */
const execResult = z.object({ id: containerId, exit: z.number().nullable(), failure: failure.optional() })

export type ExecResult = z.infer<typeof execResult>

/** A failed command. `failures` lists the members that failed, if the command did not fail as a whole. */
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
  /** `failed` lists the members whose exit code is not 0. */
  'group.executed': answer({ results: z.array(execResult), failed: z.array(containerId) }),
  'group.execFailed': groupFailed,
  /** A group was loaded at the start, was created, has other members now, or was deleted (null). */
  'group.changed': z.object({ id: z.string(), group: group.nullable() }),
} as const satisfies FactSpecs

export type GroupEmits = FactsOf<typeof groupFacts>
