import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fromCallback, fromPromise } from 'xstate'
import { type PluginRunInput, pluginRunMachine, type RunPlan } from '../../machines/pluginRun.ts'
import { PLUGIN_FORKS_MAX } from '../../protocol/defaults/pluginRunner.ts'
import { AppError } from '../../protocol/errors.ts'
import type { MemberResult } from '../../protocol/pluginRunner.ts'
import type { SshFiles } from '../../protocol/ssh.ts'
import { acceptHostKeys } from '../ssh/acceptHostKeys.ts'
import { shortIds, sshEndpoint } from '../ssh/inventory.ts'
import { type PlayHandle, play } from './ansible.ts'
import type { LoanRequests } from './loanRequests.ts'
import { findPlugin, type PluginFolders } from './pluginFolder.ts'
import { createPortAllocator } from './portAllocator.ts'
import { makeRunFolder, removeLeftoverFolders } from './runFolder.ts'

export interface PluginRunDeps extends LoanRequests {
  folders: PluginFolders
  files: SshFiles
  /** The folder for files that plugins fetch, in a subfolder with the plugin's name, unless a run names another. */
  output: string
  /** The environment in which Ansible is looked up and started. */
  env: NodeJS.ProcessEnv
}

/** The logic of runs, and a promise of their end. */
export interface PluginRuns {
  /** The machine of one run, with its effects provided. */
  logic: typeof pluginRunMachine
  /** Resolves when no run is active any more and none has left anything on the disk. */
  settled(): Promise<void>
}

/** Creates the logic of plugin runs. Ports stay reserved from their allocation to a run until the run has ended. */
export function createPluginRuns(deps: PluginRunDeps): PluginRuns {
  const pending = new Set<Promise<unknown>>()
  const ports = createPortAllocator()
  const handles = new Map<string, PlayHandle>()

  async function prepare({ command, signal }: PluginRunInput): Promise<RunPlan> {
    const { plugin, folder: source } = findPlugin(deps.folders, command.name)
    const tracked = await deps.members(command.id, signal)
    if (tracked.length === 0) throw new AppError('group_empty', { id: command.id })
    for (const { ID, Auth } of tracked) if (Auth === 'password') throw needsKey(ID)
    const loans = await acceptHostKeys(tracked, deps.files, signal)
    const aliases = shortIds(loans)
    const members = loans.map((loan) => {
      const given = ports.free(loan, plugin)
      const [id, member] = [loan.ID, aliases.get(loan.ID) ?? loan.ID]
      return {
        id,
        member,
        loan,
        endpoint: sshEndpoint(loan, deps.files),
        given,
        ports: given.map(({ internal }) => internal),
      }
    })
    signal.throwIfAborted()
    for (const { id, given } of members) ports.take(id, given)
    try {
      const vars = { ...command.vars, p2prc_output: command.output || join(deps.output, plugin.name) }
      const folder = await makeRunFolder({ ...plugin, source, members, vars })
      if (signal.aborted) await rm(folder, { recursive: true, force: true })
      signal.throwIfAborted()
      return {
        name: plugin.name,
        folder,
        stock: command.stock,
        members: members.map(({ id, member, endpoint, given }) => ({ id, member, host: endpoint.host, ports: given })),
      }
    } catch (error) {
      for (const { id, given } of members) ports.release(id, given)
      throw error
    }
  }

  async function clear({ folder, members }: RunPlan): Promise<void> {
    await handles.get(folder)?.ended
    handles.delete(folder)
    for (const member of members) ports.release(member.id, member.ports)
    await rm(folder, { recursive: true, force: true, maxRetries: 3 })
  }

  async function finalize(
    { plan, members }: { plan: RunPlan; members: MemberResult[] },
    signal: AbortSignal,
  ): Promise<void> {
    try {
      const succeeded = members.filter(({ status, ports: given }) => status === 'ok' && given.length > 0)
      const numbers = (given: MemberResult['ports']) => given.map(({ internal }) => internal)
      await Promise.all(succeeded.map(({ id, ports: given }) => deps.usePorts(id, plan.name, numbers(given), signal)))
    } finally {
      await clear(plan)
    }
  }

  function track<T>(work: Promise<T>): Promise<T> {
    const tracked = work.catch(() => {}).finally(() => pending.delete(tracked))
    pending.add(tracked)
    return work
  }

  const logic = pluginRunMachine.provide({
    actors: {
      prepare: fromPromise<RunPlan, PluginRunInput>(({ input }) => track(prepare(input))),
      play: fromCallback(({ input: { plan, signal }, sendBack }) => {
        const { name, folder, stock, members } = plan
        const forks = Math.min(members.length, PLUGIN_FORKS_MAX)
        const handle = play({ name, folder, stock, forks, env: deps.env }, sendBack)
        handles.set(folder, handle)
        // When the concern ends, the chart no longer finalizes the run.
        const abort = () => {
          handle.stop()
          track(clear(plan)).catch(() => {})
        }
        signal.addEventListener('abort', abort)
        return () => {
          signal.removeEventListener('abort', abort)
          handle.stop()
        }
      }),
      // When the concern has ended, the one that would reply may have ended too.
      finalize: fromPromise(({ input, signal }) => track(finalize(input, signal))),
    },
  })

  track(removeLeftoverFolders())
  return {
    logic,
    async settled() {
      while (pending.size > 0) await Promise.all(pending)
    },
  }
}

function needsKey(id: string): AppError {
  return new AppError('bad_request', {
    why: `The container ${id.slice(0, 12)} opens with a password; plugins need a key`,
  })
}
