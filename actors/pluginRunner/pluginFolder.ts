import {
  closeSync,
  constants,
  type Dirent,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  realpathSync,
} from 'node:fs'
import { join, resolve } from 'node:path'
import { AppError } from '../../protocol/errors.ts'
import type { Plugin } from '../../protocol/pluginRunner.ts'
import { homePaths, shipped } from '../homePaths.ts'
import { playbookProblem, toPlaybook } from './playbook.ts'
import { assertInside, printable } from './pluginFiles.ts'

// `p2prc plugin ls` loads this file without the rest of the node, so it uses no schema library. Reads are synchronous,
// which is the fastest way to read many small files.

/** The folders that hold plugins: the owner's, and the one that ships with the program. */
export interface PluginFolders {
  own: string
  shipped: string
}

/** The file in a plugin's folder in which `pull` records the plugin's source. */
export const PULLED_FILE = '.p2prc.json'

/**
 * The largest description or ports.json that is read, and the largest playbook, in bytes. P2PRC's own have a few
 * hundred bytes and a few kilobytes.
 */
const TEXT_MAX_BYTES = 64 * 1024
const PLAYBOOK_MAX_BYTES = 1024 * 1024
const DESCRIPTION_SHOWN = 300
const PORTS_MAX = 64

/**
 * Returns the plugin folders of the home that the environment names, as `openHome` does, but creates and checks
 * nothing.
 */
export function pluginFolders(env: NodeJS.ProcessEnv): PluginFolders {
  const { dir, config, plugins } = homePaths(env)
  let configured: unknown
  try {
    configured = JSON.parse(readFileSync(config, 'utf8')).PluginPath
  } catch {
    // A home that does not exist yet has no plugins of its own; a damaged one is reported when it is opened.
  }
  const own = typeof configured === 'string' && configured ? resolve(dir, configured) : plugins
  return { own, shipped: shipped.plugins }
}

/** Whether the name is a valid plugin name: not a path, an option or a hidden file. */
export function isPluginName(name: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(name)
}

/**
 * Lists every plugin by name. A bad plugin has the reason in `bad` and hides no other. The owner's plugin hides a
 * shipped one of the same name.
 */
export function listPlugins(folders: PluginFolders): Plugin[] {
  const found = new Map<string, Plugin>()
  for (const origin of ['shipped', 'own'] as const) {
    for (const entry of foldersIn(folders[origin])) found.set(entry.name, readPlugin(folders[origin], entry, origin))
  }
  return [...found.values()].sort((one, other) => (one.name < other.name ? -1 : 1))
}

/** Returns the plugin and its folder. Throws `bad_name`, `not_found`, and `plugin_bad` if the plugin is bad. */
export function findPlugin(folders: PluginFolders, name: string): { plugin: Plugin; folder: string } {
  if (!isPluginName(name)) throw new AppError('bad_name', { name: printable(name), kind: 'plugin' })
  for (const origin of ['own', 'shipped'] as const) {
    const entry = foldersIn(folders[origin]).find((candidate) => candidate.name === name)
    if (!entry) continue
    const folder = join(folders[origin], name)
    const plugin = readPlugin(folders[origin], entry, origin)
    if (plugin.bad) throw new AppError('plugin_bad', { name, why: plugin.bad })
    return { plugin, folder }
  }
  throw new AppError('not_found', { kind: 'plugin', id: name })
}

/** Returns the output of P2PRC's `--vp`: only the plugins that P2PRC could run, and `null` if there are none. */
export function legacyPlugins(plugins: readonly Plugin[]): object {
  const detected = plugins
    .filter(({ bad }) => !bad)
    .map(({ name, description, ports }) => ({
      FolderName: name,
      PluginDescription: description,
      Execute: null,
      NumOfPorts: ports,
    }))
  return { PluginsDetected: detected.length > 0 ? detected : null }
}

function readPlugin(root: string, entry: Dirent, origin: Plugin['origin']): Plugin {
  const { name } = entry
  const plugin: Plugin = { name: printable(name), description: '', ports: 0, origin, bad: '', url: '', commit: '' }
  try {
    if (!isPluginName(name))
      throw new Error('its name has other characters than letters, digits, dot, dash, underscore')
    const folder = join(root, name)
    if (!entry.isDirectory()) assertInside(realpathSync(root), folder)
    const files = new Map(readdirSync(folder, { withFileTypes: true }).map((file) => [file.name, file]))
    plugin.description = text(folder, files, 'description.txt').trim().slice(0, DESCRIPTION_SHOWN)
    plugin.ports = portsIn(text(folder, files, 'ports.json'))
    assertFile(files, 'site.yml')
    if (lstatSync(join(folder, 'site.yml')).size > PLAYBOOK_MAX_BYTES) throw tooLarge('site.yml', PLAYBOOK_MAX_BYTES)
    const site = readFileSync(join(folder, 'site.yml'), 'utf8')
    const problem = playbookProblem(toPlaybook(site, plugin.name, plugin.ports))
    if (problem) throw new Error(problem)
    if (files.has(PULLED_FILE)) Object.assign(plugin, pulledFrom(text(folder, files, PULLED_FILE)))
  } catch (error) {
    plugin.bad = error instanceof Error ? error.message : String(error)
  }
  return plugin
}

/** Reads `NumOfPorts` alone: P2PRC decodes the file over the whole record, so that a plugin could rename itself. */
function portsIn(content: string): number {
  let parsed: unknown
  try {
    parsed = JSON.parse(content)
  } catch {
    throw new Error('its ports.json is not JSON')
  }
  const count = (parsed as { NumOfPorts?: unknown } | null)?.NumOfPorts
  if (typeof count !== 'number' || !Number.isInteger(count) || count < 0 || count > PORTS_MAX)
    throw new Error(`its ports.json needs "NumOfPorts", a whole number from 0 to ${PORTS_MAX}`)
  return count
}

function pulledFrom(content: string): { url: string; commit: string } {
  try {
    const { url, commit } = JSON.parse(content)
    return { url: printable(String(url)), commit: printable(String(commit)) }
  } catch {
    return { url: '', commit: '' }
  }
}

/** One buffer is shared, because the list reads hundreds of small files one after another. */
const buffer = Buffer.alloc(TEXT_MAX_BYTES + 1)

function text(folder: string, files: ReadonlyMap<string, Dirent>, file: string): string {
  assertFile(files, file)
  const handle = openSync(join(folder, file), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    const length = readSync(handle, buffer, 0, buffer.length, 0)
    if (length > TEXT_MAX_BYTES) throw tooLarge(file, TEXT_MAX_BYTES)
    return buffer.toString('utf8', 0, length)
  } finally {
    closeSync(handle)
  }
}

function assertFile(files: ReadonlyMap<string, Dirent>, file: string): void {
  const found = files.get(file)
  if (!found) throw new Error(`it has no ${file}`)
  if (!found.isFile()) throw new Error(`its ${file} is not a plain file`)
}

function tooLarge(file: string, max: number): Error {
  return new Error(`its ${file} is larger than ${max} bytes`)
}

/**
 * Lists folders, and links that may lead to one. Names that begin with a dot are pulls in progress or leftovers of
 * tools.
 */
function foldersIn(root: string): Dirent[] {
  try {
    return readdirSync(root, { withFileTypes: true }).filter((entry) => !entry.isFile() && !entry.name.startsWith('.'))
  } catch {
    return []
  }
}
