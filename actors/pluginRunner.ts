import { fromCallback } from 'xstate'
import type { RunEmits } from '../machines/pluginRun.ts'
import { type Abandon, pluginRunnerMachine, type ShortCommand } from '../machines/pluginRunner.ts'
import { toFailure } from '../protocol/errors.ts'
import { type PluginRunnerEmits, pluginRunnerCommands } from '../protocol/pluginRunner.ts'
import { listFiles } from './pluginRunner/pluginFiles.ts'
import { findPlugin, listPlugins } from './pluginRunner/pluginFolder.ts'
import { pullPlugin, removePlugin } from './pluginRunner/pluginPull.ts'
import { createPluginRuns, type PluginRunDeps } from './pluginRunner/pluginRun.ts'
import type { ConcernParts } from './supervise.ts'

export interface PluginRunnerDeps extends PluginRunDeps {
  /** Certificates of the authorities that `pull` trusts instead of the system's. */
  caFile?: string
}

export interface PluginRunnerParts extends ConcernParts<typeof pluginRunnerMachine> {
  /** Resolves when nothing that an earlier scope started is left: no process and no private folder. */
  settled(): Promise<void>
}

/** Runs playbooks over containers and groups, and manages the folder of plugins. */
export function createPluginRunner(deps: PluginRunnerDeps): PluginRunnerParts {
  const runs = createPluginRuns(deps)
  const pending = new Set<Promise<void>>()
  const replyLogic = fromCallback<Abandon, { command: ShortCommand; signal: AbortSignal }>(
    ({ input, receive, sendBack }) => {
      const { command, signal } = input
      const controller = new AbortController()
      const abort = () => controller.abort()
      signal.addEventListener('abort', abort)
      receive(abort)
      const emit = (fact: PluginRunnerEmits) => sendBack({ type: 'run.emitted', fact } satisfies RunEmits)
      const task = execute(command, deps, controller.signal)
        .then(emit, (error) => emit(failed(command, error)))
        .finally(() => pending.delete(task))
      pending.add(task)
      return () => {
        signal.removeEventListener('abort', abort)
        abort()
      }
    },
  )
  return {
    name: 'pluginRunner',
    logic: pluginRunnerMachine.provide({ actors: { run: runs.logic, reply: replyLogic } }),
    input: (signal) => ({ signal }),
    async settled() {
      await Promise.all(pending)
      await runs.settled()
    },
  }
}

async function execute(command: ShortCommand, deps: PluginRunnerDeps, signal: AbortSignal): Promise<PluginRunnerEmits> {
  const { requestId } = command
  switch (command.type) {
    case 'plugin.list':
      return { type: 'plugin.listed', requestId, plugins: listPlugins(deps.folders) }
    case 'plugin.show': {
      const { plugin, folder } = findPlugin(deps.folders, command.name)
      return { type: 'plugin.shown', requestId, plugin, folder, files: listFiles(folder) }
    }
    case 'plugin.pull': {
      const { url, commit, ssh } = command
      const { env, caFile } = deps
      const plugin = await pullPlugin({ url, commit, ssh, folder: deps.folders.own, env, caFile, signal })
      return { type: 'plugin.pulled', requestId, plugin }
    }
    case 'plugin.remove':
      await removePlugin(deps.folders.own, command.name)
      return { type: 'plugin.removed', requestId, name: command.name }
  }
}

function failed(command: ShortCommand, error: unknown): PluginRunnerEmits {
  const [, type] = pluginRunnerCommands[command.type].terminalEvents
  return { type, requestId: command.requestId, ...toFailure(error) }
}
