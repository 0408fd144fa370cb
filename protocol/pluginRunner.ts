import { z } from 'zod'
import type { CommandSpec, CommandsOf } from './control.ts'
import { PLUGIN_TIMEOUT_MAX_MS, PLUGIN_TIMEOUT_MS } from './defaults/pluginRunner.ts'
import type { ContainerId, Failure } from './ids.ts'
import type { RequestFact } from './request.ts'

const empty = z.object({})
const named = z.object({ name: z.string().min(1).max(4_096) })
const admin = 'administer'

export const pluginRunnerCommands = {
  'plugin.list': { schema: empty, action: admin, terminalEvents: ['plugin.listed', 'plugin.listFailed'] },
  'plugin.show': { schema: named, action: admin, terminalEvents: ['plugin.shown', 'plugin.showFailed'] },
  'plugin.run': {
    schema: named.extend({
      /** A container, the beginning of its id, or a group (`grp…` or its name). */
      id: z.string().min(1).max(128),
      timeoutMs: z.number().int().min(1).max(PLUGIN_TIMEOUT_MAX_MS).default(PLUGIN_TIMEOUT_MS),
      /** Absolute folder for files that the plugin brings home; "" is a folder in this node's home. */
      output: z.string().max(4_096).default(''),
      /** Values for the plugin's own variables; Ansible sees them as `extra vars`, above every other. */
      vars: z.record(z.string().regex(/^[a-z_][a-z0-9_]{0,63}$/), z.string().max(4_096)).default({}),
      /** Leaves Mitogen out, for a playbook that does not get along with it. */
      stock: z.boolean().default(false),
    }),
    action: admin,
    terminalEvents: ['plugin.finished', 'plugin.runFailed'],
  },
  'plugin.pull': {
    schema: z.object({
      url: z.string().min(1).max(4_096),
      /** Full commit hash; "" is the newest of the default branch. */
      commit: z.string().max(64).default(''),
      /** Allows `ssh://` beside `https://`. */
      ssh: z.boolean().default(false),
    }),
    action: admin,
    terminalEvents: ['plugin.pulled', 'plugin.pullFailed'],
  },
  'plugin.remove': { schema: named, action: admin, terminalEvents: ['plugin.removed', 'plugin.removeFailed'] },
} as const satisfies Record<string, CommandSpec>

/** One plugin folder. `bad` says why it cannot be used; the other values are then what could be read of it. */
export interface Plugin {
  name: string
  description: string
  ports: number
  origin: 'own' | 'shipped'
  bad: string
  /** Where it was pulled from, and which commit; "" where it was not pulled. */
  url: string
  commit: string
}

/** How a run went on one member: `untouched` where no play of the plugin named it, `stopped` where the run ended first. */
export interface MemberResult {
  member: string
  id: ContainerId
  host: string
  /** The ports that the plugin was given: inside the container, and where the lender's machine answers. */
  ports: { internal: number; external: number }[]
  status: 'ok' | 'failed' | 'unreachable' | 'untouched' | 'stopped'
  /** Tasks that went well, and those of them that changed something. */
  done: number
  changed: number
  /** Why it did not go well; "" where it did. */
  message: string
}

/** One task on one member; `item` is the element of a loop, "" outside of one. */
export interface TaskStep {
  member: string
  task: string
  item: string
  status: 'running' | 'ok' | 'changed' | 'skipped' | 'failed' | 'ignored' | 'unreachable'
  message: string
}

type Members = { members: MemberResult[] }
type ShownPlugin = { plugin: Plugin; folder: string; files: string[] }

export type PluginRunnerEmits =
  | { type: 'plugin.listed'; requestId: string; plugins: Plugin[] }
  | ({ type: 'plugin.listFailed'; requestId: string } & Failure)
  | ({ type: 'plugin.shown'; requestId: string } & ShownPlugin)
  | ({ type: 'plugin.showFailed'; requestId: string } & Failure)
  | { type: 'plugin.started'; requestId: string; name: string; members: string[] }
  | ({ type: 'plugin.progress'; requestId: string } & TaskStep)
  | ({ type: 'plugin.finished'; requestId: string; name: string } & Members)
  /** `members` is empty where nothing was begun; else it says what was done. */
  | ({ type: 'plugin.runFailed'; requestId: string } & Members & Failure)
  | { type: 'plugin.pulled'; requestId: string; plugin: Plugin }
  | ({ type: 'plugin.pullFailed'; requestId: string } & Failure)
  | { type: 'plugin.removed'; requestId: string; name: string }
  | ({ type: 'plugin.removeFailed'; requestId: string } & Failure)

export type PluginRunnerCommand = CommandsOf<typeof pluginRunnerCommands>

export type PluginRunnerAccepts = PluginRunnerCommand | RequestFact
