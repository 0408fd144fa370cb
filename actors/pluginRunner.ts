import { fromCallback } from 'xstate'
import type { RunReport } from '../machines/pluginRun.ts'
import { type Abandon, pluginRunnerMachine, type ShortCommand } from '../machines/pluginRunner.ts'
import { toFailure } from '../protocol/errors.ts'
import { type PluginRunnerSays, pluginRunnerCommands } from '../protocol/pluginRunner.ts'
import { filesOf } from './pluginRunner/pluginFiles.ts'
import { findPlugin, listPlugins } from './pluginRunner/pluginFolder.ts'
import { pullPlugin, removePlugin } from './pluginRunner/pluginPull.ts'
import { createPluginRuns, type PluginRunDeps } from './pluginRunner/pluginRun.ts'
import type { ConcernParts } from './supervise.ts'

export interface PluginRunnerDeps extends PluginRunDeps {
  /** Certificates of the authorities that count for `pull`, in place of the system's. */
  caFile?: string
}

export interface PluginRunnerParts extends ConcernParts<typeof pluginRunnerMachine> {
  /** Resolves when nothing that a past life began is at work any more: no process, no private folder. */
  settled(): Promise<void>
}

/** Playbooks over containers and groups, and the folder of plugins. */
export function createPluginRunner(deps: PluginRunnerDeps): PluginRunnerParts {
  const runs = createPluginRuns(deps)
  const answering = new Set<Promise<void>>()
  const answers = fromCallback<Abandon, { command: ShortCommand; signal: AbortSignal }>(
    ({ input, receive, sendBack }) => {
      const { command, signal } = input
      const given = new AbortController()
      const giveUp = () => given.abort()
      signal.addEventListener('abort', giveUp)
      receive(giveUp)
      const say = (fact: PluginRunnerSays) => sendBack({ type: 'run.said', fact } satisfies RunReport)
      const answered = answer(command, deps, given.signal)
        .then(say, (error) => say(failed(command, error)))
        .finally(() => answering.delete(answered))
      answering.add(answered)
      return () => {
        signal.removeEventListener('abort', giveUp)
        giveUp()
      }
    },
  )
  return {
    name: 'pluginRunner',
    logic: pluginRunnerMachine.provide({ actors: { run: runs.logic, answer: answers } }),
    input: (signal) => ({ signal }),
    hears: ['plugin.list', 'plugin.show', 'plugin.run', 'plugin.pull', 'plugin.remove', 'request.abandoned'],
    async settled() {
      await Promise.all(answering)
      await runs.settled()
    },
  }
}

async function answer(command: ShortCommand, deps: PluginRunnerDeps, signal: AbortSignal): Promise<PluginRunnerSays> {
  const { requestId } = command
  switch (command.type) {
    case 'plugin.list':
      return { type: 'plugin.listed', requestId, plugins: listPlugins(deps.folders) }
    case 'plugin.show': {
      const { plugin, folder } = findPlugin(deps.folders, command.name)
      return { type: 'plugin.shown', requestId, plugin, folder, files: filesOf(folder) }
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

function failed(command: ShortCommand, error: unknown): PluginRunnerSays {
  const [, type] = pluginRunnerCommands[command.type].ends
  return { type, requestId: command.requestId, ...toFailure(error) }
}
