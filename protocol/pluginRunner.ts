import { z } from 'zod'
import type { CommandSpec, CommandsOf } from './control.ts'
import { PLUGIN_TIMEOUT_MAX_MS, PLUGIN_TIMEOUT_MS } from './defaults/pluginRunner.ts'
import { answer, type FactSpecs, type FactsOf, failed } from './facts.ts'
import { containerId } from './ids.ts'
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
const plugin = z.object({
  name: z.string(),
  description: z.string(),
  ports: z.number(),
  origin: z.enum(['own', 'shipped']),
  bad: z.string(),
  /** Where it was pulled from, and which commit; "" where it was not pulled. */
  url: z.string(),
  commit: z.string(),
})

export type Plugin = z.infer<typeof plugin>

/** How a run went on one member: `untouched` where no play of the plugin named it, `stopped` where the run ended first. */
const memberResult = z.object({
  member: z.string(),
  id: containerId,
  host: z.string(),
  /** The ports that the plugin was given: inside the container, and where the lender's machine answers. */
  ports: z.array(z.object({ internal: z.number(), external: z.number() })),
  status: z.enum(['ok', 'failed', 'unreachable', 'untouched', 'stopped']),
  /** Tasks that went well, and those of them that changed something. */
  done: z.number(),
  changed: z.number(),
  /** Why it did not go well; "" where it did. */
  message: z.string(),
})

export type MemberResult = z.infer<typeof memberResult>

/** One task on one member; `item` is the element of a loop, "" outside of one. */
const taskStep = z.object({
  member: z.string(),
  task: z.string(),
  item: z.string(),
  status: z.enum(['running', 'ok', 'changed', 'skipped', 'failed', 'ignored', 'unreachable']),
  message: z.string(),
})

export type TaskStep = z.infer<typeof taskStep>

const members = z.array(memberResult)

export const pluginRunnerFacts = {
  'plugin.listed': answer({ plugins: z.array(plugin) }),
  'plugin.listFailed': failed,
  'plugin.shown': answer({ plugin, folder: z.string(), files: z.array(z.string()) }),
  'plugin.showFailed': failed,
  'plugin.started': answer({ name: z.string(), members: z.array(z.string()) }),
  'plugin.progress': answer(taskStep.shape),
  'plugin.finished': answer({ name: z.string(), members }),
  /** `members` is empty where nothing was begun; else it says what was done. */
  'plugin.runFailed': failed.extend({ members }),
  'plugin.pulled': answer({ plugin }),
  'plugin.pullFailed': failed,
  'plugin.removed': answer({ name: z.string() }),
  'plugin.removeFailed': failed,
} as const satisfies FactSpecs

export type PluginRunnerEmits = FactsOf<typeof pluginRunnerFacts>

export type PluginRunnerCommand = CommandsOf<typeof pluginRunnerCommands>

export type PluginRunnerAccepts = PluginRunnerCommand | RequestFact
