import { randomUUID } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createPluginRunner, type PluginRunnerDeps } from '../../actors/pluginRunner.ts'
import { request } from '../../actors/request.ts'
import { supervise } from '../../actors/supervise.ts'
import { createBus } from '../../protocol/bus.ts'
import { type AppError, toAppError } from '../../protocol/errors.ts'
import type { Loan } from '../../protocol/groupTracker.ts'
import type { Answer, BusEvent } from '../../protocol/index.ts'
import { type PluginRunnerCommand, type PluginRunnerEmits, pluginRunnerCommands } from '../../protocol/pluginRunner.ts'

type FactOf<T extends PluginRunnerEmits['type']> = Extract<PluginRunnerEmits, { type: T }>

/** Starts the plugin runner as a node does, with the given loans and its own plugin folder. */
export function pluginFixture(loans: readonly Loan[], more: Partial<PluginRunnerDeps> = {}) {
  const root = mkdtempSync(join(tmpdir(), 'p2prc-fixture-'))
  const folders = { own: join(root, 'plugins'), shipped: join(root, 'none') }
  mkdirSync(folders.own)
  const used: [member: string, ports: number[]][] = []
  const bus = createBus<BusEvent>()
  const parts = createPluginRunner({
    folders,
    files: { key: join(root, 'none'), knownHosts: join(root, 'none'), acceptedHosts: join(root, 'none') },
    output: join(root, 'output'),
    env: process.env,
    members: async (id) => loans.filter(({ ID }) => id === 'grp' || ID.startsWith(id)),
    usePorts: async (id, _plugin, ports) => void used.push([id, ports]),
    ...more,
  })
  const supervised = supervise(parts, { bus })
  supervised.start()

  return {
    root,
    bus,
    used,
    /** Writes a plugin; `site.yml` alone is enough. */
    plugin(name: string, site: string, ports = 0, files: Record<string, string> = {}): void {
      const all = {
        'site.yml': site,
        'description.txt': name,
        'ports.json': JSON.stringify({ NumOfPorts: ports }),
        ...files,
      }
      for (const [file, content] of Object.entries(all)) {
        mkdirSync(dirname(join(folders.own, name, file)), { recursive: true })
        writeFileSync(join(folders.own, name, file), content)
      }
    },
    /** Runs a plugin and resolves with every fact about the run, and with the failure if it failed. */
    async run(
      name: string,
      id = 'grp',
      options: { timeoutMs?: number; vars?: Record<string, string>; stock?: boolean; output?: string } = {},
      { signal, onFact }: { signal?: AbortSignal; onFact?: (fact: Answer) => void } = {},
    ) {
      const payload = pluginRunnerCommands['plugin.run'].schema.parse({ name, id, ...options })
      const requestId = randomUUID()
      const facts: PluginRunnerEmits[] = []
      const untap = bus.tap((event) => {
        if ('requestId' in event && event.requestId === requestId && /^plugin\.\w+ed$|progress/.test(event.type))
          facts.push(event as PluginRunnerEmits)
      })
      const ended = new Promise<void>((resolve) => {
        const done = bus.tap((event) => {
          if (!('requestId' in event) || event.requestId !== requestId) return
          if (event.type !== 'plugin.finished' && event.type !== 'plugin.runFailed') return
          done()
          resolve()
        })
      })
      const command = { ...payload, type: 'plugin.run', requestId, caller: 'owner' } satisfies PluginRunnerCommand
      const failure = await request(bus, command, { ...(signal && { signal }), ...(onFact && { onFact }) }).then(
        () => undefined,
        (error): AppError => toAppError(error),
      )
      await ended
      untap()
      const last = facts.at(-1) as FactOf<'plugin.finished'> | FactOf<'plugin.runFailed'>
      return { failure, members: last.members, code: 'code' in last ? last.code : '', steps: facts.filter(isStep) }
    },
    /** Ends the concern and resolves when none of its work is left. */
    async stop(): Promise<void> {
      supervised.stop()
      await parts.settled()
      rmSync(root, { recursive: true, force: true })
    },
  }
}

function isStep(fact: PluginRunnerEmits): fact is FactOf<'plugin.progress'> {
  return fact.type === 'plugin.progress'
}
