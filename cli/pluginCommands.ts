import { PLUGIN_TIMEOUT_MAX_MS, PLUGIN_TIMEOUT_MS } from '../protocol/defaults/pluginRunner.ts'
import { AppError, toAppError } from '../protocol/errors.ts'
import type { Plugin } from '../protocol/pluginRunner.ts'
import { wholeNumber } from './commandLine.ts'
import { openedHome } from './openedHome.ts'
import type { Call, Handler } from './runCommand.ts'
import { list, type Terminal, table } from './terminal.ts'

/** The handlers of the plugin commands, and of those that describe borrowed containers to ssh and Ansible. */
export const pluginCommands = {
  /** Reads the plugin folders in this process, since a list needs neither a node nor a library. */
  async 'plugin ls'({ terminal, legacy }) {
    const { listPlugins, legacyPlugins, pluginFolders } = await import('../actors/pluginRunner/pluginFolder.ts')
    const plugins = listPlugins(pluginFolders(process.env))
    terminal.value(legacy ? legacyPlugins(plugins) : plugins, () => pluginsTable(plugins, terminal.style))
  },

  async 'plugin show'({ args: [name = ''], request, terminal }) {
    const { plugin, folder, files } = await request({ type: 'plugin.show', name })
    const pairs: [string, string][] = [
      ['Name', plugin.name],
      ['Description', plugin.description],
      ['Ports', String(plugin.ports)],
      ['From', plugin.url ? `${plugin.url} at ${plugin.commit}` : plugin.origin],
      ['Folder', folder],
      ['Files', files.join(', ')],
    ]
    terminal.value({ ...plugin, folder, files }, () => list(pairs, terminal.style))
  },

  async 'plugin run'({ args: [name = '', ...values], option, has, request, terminal, legacy }) {
    const { createRunView } = await import('./pluginReport.ts')
    const id = option('id')
    if (id === undefined)
      throw new AppError('missing_value', { name: '--id', todo: 'Say which container or group: --id ID, --id GROUP.' })
    const view = createRunView(terminal)
    const seconds = option('timeout') ?? String(PLUGIN_TIMEOUT_MS / 1_000)
    const command = {
      name,
      id,
      timeoutMs: wholeNumber('--timeout', seconds, 1, PLUGIN_TIMEOUT_MAX_MS / 1_000) * 1_000,
      output: option('output') ? absolute(option('output') as string) : '',
      vars: variables(values),
      stock: has('stock'),
    }
    try {
      const { members } = await request({ type: 'plugin.run', ...command }, (fact) => view.update(fact))
      view.end(members)
      const home = await fetchedFolder(command)
      if (home && !terminal.json) terminal.line({}, `Fetched files: ${home}`)
      if (legacy) terminal.done({}, `${name} has run`, legacy)
    } catch (error) {
      const reported = view.end(undefined)
      const failure = toAppError(error)
      if (reported.length === 0 || failure.code !== 'plugin_failed') throw failure
      const failed = reported.filter(({ status }) => status !== 'ok').length
      throw new AppError('plugin_failed', { name, failed, all: reported.length, why: 'see above' }, failure)
    }
  },

  async 'plugin pull'({ args: [url = ''], option, has, request, terminal, legacy }) {
    const { plugin } = await request({ type: 'plugin.pull', url, commit: option('commit') ?? '', ssh: has('ssh') })
    terminal.done(plugin, `Pulled ${plugin.name} at commit ${plugin.commit}`, legacy)
  },

  async 'plugin rm'({ args: [name = ''], request, terminal, legacy }) {
    await request({ type: 'plugin.remove', name })
    terminal.done({ name }, `Removed ${name}`, legacy)
  },

  /** Prints Ansible's dynamic inventory, for a script given to `ansible -i`. It is JSON on a terminal too. */
  async inventory(call) {
    const { dynamicInventory } = await import('./inProcess.ts')
    const { loans, groups, files } = await borrowed(call)
    const inventory = dynamicInventory(loans, groups, files)
    const host = call.option('host')
    const { hostvars } = inventory._meta
    const document = host === undefined ? inventory : Object.hasOwn(hostvars, host) ? hostvars[host] : {}
    call.terminal.document(document)
  },

  async 'ssh-config'(call) {
    const { sshConfigOf, writeSshConfig } = await import('./inProcess.ts')
    const { loans, groups, files, path } = await borrowed(call)
    const text = sshConfigOf(loans, groups, files)
    await writeSshConfig(path, text)
    const names = (text.match(/^Host .*$/gm) ?? []).map((line) => line.slice('Host '.length))
    call.terminal.value({ path, hosts: names.map((line) => line.split(' ')) }, () =>
      [
        `Wrote ${path}. For ssh, scp, rsync and others to know the names, put this first in ~/.ssh/config:`,
        `Include "${path}"`,
        '',
        ...(names.length > 0 ? names : ['No container is borrowed.']),
      ].join('\n'),
    )
  },
} satisfies Record<string, Handler>

/** Reads the loans and groups of this home from its files, without a request to any lender. */
async function borrowed(call: Call) {
  const { readBorrowed } = await import('./inProcess.ts')
  return readBorrowed(await openedHome(call))
}

/** The variable names that `plugin.run` accepts. */
const variableName = /^[a-z_][a-z0-9_]{0,63}$/

/** Parses `name=value` words. Throws `bad_request`. */
function variables(words: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    words.map((word) => {
      const at = word.indexOf('=')
      if (at < 1) throw new AppError('bad_request', { why: `"${word}" is not of the form name=value` })
      const name = word.slice(0, at)
      if (!variableName.test(name)) {
        const why = `"${name}" is not a name of a variable: small letters, digits and underscores, no digit first`
        throw new AppError('bad_request', { why })
      }
      return [name, word.slice(at + 1)]
    }),
  )
}

/** The folder with the files that a run has fetched; undefined if it has fetched none. */
async function fetchedFolder({ name, output }: { name: string; output: string }): Promise<string | undefined> {
  const [{ readdir }, { homePaths }] = await Promise.all([import('node:fs/promises'), import('../actors/homePaths.ts')])
  const folder = output || `${homePaths(process.env).dir}/output/${name}`
  const names = await readdir(folder).catch(() => [])
  return names.some((entry) => !entry.startsWith('.')) ? folder : undefined
}

function absolute(path: string): string {
  return path.startsWith('/') ? path : `${process.cwd()}/${path}`
}

function pluginsTable(plugins: readonly Plugin[], style: Terminal['style']): string {
  const good = plugins.filter(({ bad }) => !bad)
  const rows = good.map(({ name, ports, origin, commit, description }) => [
    name,
    String(ports),
    commit ? commit.slice(0, 12) : origin,
    description,
  ])
  const bad = plugins.filter(({ bad }) => bad).map((plugin) => `${style('red', '✗')} ${plugin.name}: ${plugin.bad}`)
  return [table(['NAME', 'PORTS', 'FROM', 'DESCRIPTION'], rows, style), ...bad].join('\n')
}
