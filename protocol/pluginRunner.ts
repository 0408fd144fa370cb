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
      /** The id of a container or the beginning of one, or a group (`grp…` or its name). */
      id: z.string().min(1).max(128),
      timeoutMs: z.number().int().min(1).max(PLUGIN_TIMEOUT_MAX_MS).default(PLUGIN_TIMEOUT_MS),
      /** The absolute path of the folder for files that the plugin fetches; "" is a folder in this node's home. */
      output: z.string().max(4_096).default(''),
      /** Values for the plugin's own variables. Ansible receives them as `extra vars`, which override all others. */
      vars: z.record(z.string().regex(/^[a-z_][a-z0-9_]{0,63}$/), z.string().max(4_096)).default({}),
      /** Runs Ansible without Mitogen, for playbooks that Mitogen does not support. */
      stock: z.boolean().default(false),
    }),
    action: admin,
    terminalEvents: ['plugin.finished', 'plugin.runFailed'],
  },
  'plugin.pull': {
    schema: z.object({
      url: z.string().min(1).max(4_096),
      /** The full hash of a commit; "" is the newest commit of the default branch. */
      commit: z.string().max(64).default(''),
      /** Also allows `ssh://` URLs; otherwise only `https://` is allowed. */
      ssh: z.boolean().default(false),
    }),
    action: admin,
    terminalEvents: ['plugin.pulled', 'plugin.pullFailed'],
  },
  'plugin.remove': { schema: named, action: admin, terminalEvents: ['plugin.removed', 'plugin.removeFailed'] },
} as const satisfies Record<string, CommandSpec>

/**
 * One plugin folder. If `bad` is not empty, it says why the plugin cannot be used; the other values may be incomplete.
 */
const plugin = z.object({
  name: z.string(),
  description: z.string(),
  ports: z.number(),
  origin: z.enum(['own', 'shipped']),
  bad: z.string(),
  /** The URL and the commit from which it was pulled; "" if it was not pulled. */
  url: z.string(),
  commit: z.string(),
})

export type Plugin = z.infer<typeof plugin>

/**
 * The result of a run on one member: `untouched` if no play of the plugin named it, `stopped` if the run ended first.
 */
const memberResult = z.object({
  member: z.string(),
  id: containerId,
  host: z.string(),
  /** The ports that the plugin received: inside the container, and on the lender's machine. */
  ports: z.array(z.object({ internal: z.number(), external: z.number() })),
  status: z.enum(['ok', 'failed', 'unreachable', 'untouched', 'stopped']),
  /** The number of tasks that succeeded, and of those that changed something. */
  done: z.number(),
  changed: z.number(),
  /** Why the run failed; "" if it did not. */
  message: z.string(),
})

export type MemberResult = z.infer<typeof memberResult>

/** One task on one member. `item` is the element of a loop; "" outside a loop. */
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
  /** `members` has the results on each member; it is empty if the run did not start. */
  'plugin.runFailed': failed.extend({ members }),
  'plugin.pulled': answer({ plugin }),
  'plugin.pullFailed': failed,
  'plugin.removed': answer({ name: z.string() }),
  'plugin.removeFailed': failed,
} as const satisfies FactSpecs

export type PluginRunnerEmits = FactsOf<typeof pluginRunnerFacts>

export type PluginRunnerCommand = CommandsOf<typeof pluginRunnerCommands>

export type PluginRunnerAccepts = PluginRunnerCommand | RequestFact
