import { wholeNumber } from '../../protocol/commandLine.ts'
import { PLUGIN_TIMEOUT_MAX_MS, PLUGIN_TIMEOUT_MS } from '../../protocol/defaults.ts'
import { Fault, toFault } from '../../protocol/errors.ts'
import type { Plugin, PluginRunnerSays } from '../../protocol/pluginRunner.ts'
import { list, type Terminal, table } from '../terminal.ts'
import type { Call, Handler } from './commandFrame.ts'

/** The commands of `cli.ts` about plugins, and those that give other programs what is borrowed. */
export const pluginCommands = {
  /** Read from the folders in this process: a list needs no node, and no library. */
  async 'plugin ls'({ terminal, legacy }) {
    const { listPlugins, legacyPlugins, pluginFolders } = await import('../pluginRunner/pluginFolder.ts')
    const plugins = listPlugins(pluginFolders(process.env))
    terminal.value(legacy ? legacyPlugins(plugins) : plugins, () => pluginsTable(plugins, terminal.style))
  },

  async 'plugin show'({ args: [name = ''], ask, terminal }) {
    const { plugin, folder, files } = await ask('plugin.show', { name }, 'plugin.shown')
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

  async 'plugin run'({ args: [name = '', ...values], option, has, ask, terminal, legacy }) {
    const { createRunView } = await import('./pluginReport.ts')
    const id = option('id')
    if (id === undefined)
      throw new Fault('missing_value', { name: '--id', todo: 'Say which container or group: --id ID, --id GROUP.' })
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
      const { members } = await ask('plugin.run', command, 'plugin.finished', {
        onFact: (fact) => view.hear(fact as unknown as PluginRunnerSays),
      })
      view.end(members)
      const home = await broughtHome(command)
      if (home && !terminal.json) terminal.line({}, `Brought home: ${home}`)
      if (legacy) terminal.done({}, `${name} has run`, legacy)
    } catch (error) {
      const told = view.end(undefined)
      const failure = toFault(error)
      if (told.length === 0 || failure.code !== 'plugin_failed') throw failure
      const failed = told.filter(({ status }) => status !== 'ok').length
      throw new Fault('plugin_failed', { name, failed, all: told.length, why: 'see above' }, failure)
    }
  },

  async 'plugin pull'({ args: [url = ''], option, has, ask, terminal, legacy }) {
    const { plugin } = await ask(
      'plugin.pull',
      { url, commit: option('commit') ?? '', ssh: has('ssh') },
      'plugin.pulled',
    )
    terminal.done(plugin, `Pulled ${plugin.name} at commit ${plugin.commit}`, legacy)
  },

  async 'plugin rm'({ args: [name = ''], ask, terminal, legacy }) {
    await ask('plugin.remove', { name }, 'plugin.removed')
    terminal.done({ name }, `Removed ${name}`, legacy)
  },

  /** Ansible's dynamic inventory: `ansible -i` a script that runs this. JSON on a terminal too. */
  async inventory(call) {
    const { dynamicInventory } = await import('./system.ts')
    const { loans, groups, files } = await borrowed(call)
    const inventory = dynamicInventory(loans, groups, files)
    const host = call.option('host')
    const { hostvars } = inventory._meta
    const document = host === undefined ? inventory : Object.hasOwn(hostvars, host) ? hostvars[host] : {}
    process.stdout.write(`${JSON.stringify(document, null, '\t')}\n`)
  },

  async 'ssh-config'(call) {
    const { sshConfigOf, writeSshConfig } = await import('./system.ts')
    const { loans, groups, files, path } = await borrowed(call)
    const text = sshConfigOf(loans, groups, files)
    await writeSshConfig(path, text)
    const names = (text.match(/^Host .*$/gm) ?? []).map((line) => line.slice('Host '.length))
    call.terminal.value({ path, hosts: names.map((line) => line.split(' ')) }, () =>
      [
        `Wrote ${path}. For ssh, scp, rsync and others to know the names, put this first in ~/.ssh/config:`,
        `Include ${path}`,
        '',
        ...(names.length > 0 ? names : ['Nothing is borrowed.']),
      ].join('\n'),
    )
  },
} satisfies Record<string, Handler>

/** What this home has borrowed, as its files say: no lender is asked. */
async function borrowed({ terminal }: Call) {
  const { openHome, readBorrowed } = await import('./system.ts')
  const home = await openHome(process.env)
  for (const note of home.notes) terminal.note(note)
  return readBorrowed(home)
}

/** What `plugin.run` takes. */
const variableName = /^[a-z_][a-z0-9_]{0,63}$/

/** `name=value` words. */
function variables(words: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    words.map((word) => {
      const at = word.indexOf('=')
      if (at < 1) throw new Fault('bad_request', { why: `"${word}" is not of the form name=value` })
      const name = word.slice(0, at)
      if (!variableName.test(name)) {
        const why = `"${name}" is not a name of a variable: small letters, digits and underscores, no digit first`
        throw new Fault('bad_request', { why })
      }
      return [name, word.slice(at + 1)]
    }),
  )
}

/** Where a run's output is, if there is any. */
async function broughtHome({ name, output }: { name: string; output: string }): Promise<string | undefined> {
  const [{ readdir }, { homePaths }] = await Promise.all([import('node:fs/promises'), import('../homePaths.ts')])
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
