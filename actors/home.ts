import { randomInt } from 'node:crypto'
import { chmod, lstat, stat } from 'node:fs/promises'
import { hostname } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { PORT } from '../protocol/defaults/node.ts'
import { AppError } from '../protocol/errors.ts'
import { type Config, configFile } from '../protocol/files/config.ts'
import { FILE_VERSION } from '../protocol/files/version.ts'
import { createOnce } from './home/atomicFile.ts'
import { homeUnusable } from './home/fileErrors.ts'
import { copyGoKey } from './home/goKey.ts'
import { acquireLock } from './home/lock.ts'
import { makeFolder } from './home/makeFolder.ts'
import { type HomePaths, homePaths } from './homePaths.ts'
import { openStore } from './store.ts'

/** The home folder of a node, with its identity, its tables and its configuration. */
export interface Home {
  dir: string
  config: Config
  paths: HomePaths
  /** Warnings for the owner, such as a damaged file that was quarantined. Each is one line. */
  notes: string[]
}

/**
 * Opens the home that the environment names. It makes what is missing, follows the paths in an existing `config.json`, and
 * overwrites nothing. Throws `home_unusable`, `newer_file` or `disk_failed`.
 */
export async function openHome(env: NodeJS.ProcessEnv): Promise<Home> {
  const defaults = homePaths(env)
  const notes: string[] = []
  await makeHomeFolder(defaults.dir)
  await makeHomeFolder(dirname(defaults.config))
  await makePrivateFolder(dirname(defaults.socket))
  const config = await openConfig(defaults, notes)
  const goKey = await copyGoKey(defaults, config.PrivateKeyFile).catch((error) => {
    notes.push(
      `The key with which Go P2PRC borrows could not be copied, so its containers do not open: ${error.message}`,
    )
    return undefined
  })
  const paths = { ...configuredPaths(defaults, config), ...(goKey && { goKey }) }
  // The configuration may name a folder of another machine from which this home was copied. Such a folder is not made.
  if (paths.plugins.startsWith(`${paths.dir}/`)) await makeHomeFolder(paths.plugins)
  return { dir: defaults.dir, config, paths, notes }
}

/** Locks the home for this process. Throws `home_locked` if another process holds it for longer than `waitMs`. */
export function lockHome(
  home: Home,
  { waitMs, temporary = false }: { waitMs: number; temporary?: boolean },
): Promise<() => Promise<void>> {
  return acquireLock(home.paths.lock, { socket: home.paths.socket, temporary, waitMs })
}

async function openConfig(paths: HomePaths, notes: string[]): Promise<Config> {
  const empty = () => defaultConfig(paths)
  const onDamaged = (quarantinePath: string) =>
    notes.push(`${paths.config} could not be read; it was quarantined as ${quarantinePath}`)
  const store = await openStore(paths.config, { schema: configFile, empty, indent: ' ', onDamaged })
  const found = await stat(paths.config).catch(() => undefined)
  // If two processes make a home at the same time, one of them wins, and both read the file that it wrote.
  if (!found && !(await createOnce(paths.config, `${JSON.stringify(store.data, null, ' ')}\n`))) {
    return openConfig(paths, notes)
  }
  if (found?.size === 0) await store.write(store.data)
  return store.data
}

const NAME_CHARACTERS = 'abcdefghijklmnopqrstuvwxyz0123456789'

function random(length: number): string {
  return Array.from({ length }, () => NAME_CHARACTERS[randomInt(NAME_CHARACTERS.length)]).join('')
}

/** P2PRC's keys with this program's default values: nothing is tunnelled or open unless the owner asks for it. */
function defaultConfig(paths: HomePaths): Config {
  const images = join(paths.dir, 'server/docker/containers')
  return configFile.parse({
    Version: FILE_VERSION,
    MachineName: `${hostname()}-${random(7)}`,
    IPTable: paths.ipTable,
    DockerContainers: `${images}/`,
    DefaultDockerFile: `${join(images, 'docker-ubuntu-sshd')}/`,
    DockerRunLogs: '/tmp/',
    SpeedTestFile: join(paths.dir, 'p2p/50.bin'),
    PluginPath: paths.plugins,
    TrackContainersPath: paths.trackContainers,
    GroupTrackContainersPath: paths.groupTrackContainers,
    ServerPort: String(PORT),
    FRPServerPort: true,
    IPTableKey: random(12),
    PublicKeyFile: paths.publicKey,
    PrivateKeyFile: paths.key,
    PemFile: join(paths.dir, 'cert.pem'),
    KeyFile: join(paths.dir, 'key.pem'),
    CustomConfig: null,
    ConfigPath: paths.config,
  })
}

/** Applies the paths of tables, images and plugins in the owner's `config.json`. Those of keys, trust, socket and lock are fixed. */
function configuredPaths(paths: HomePaths, config: Config): HomePaths {
  const at = (value: string, fallback: string) => (value ? resolve(paths.dir, value) : fallback)
  return {
    ...paths,
    ipTable: at(config.IPTable, paths.ipTable),
    trackContainers: at(config.TrackContainersPath, paths.trackContainers),
    groupTrackContainers: at(config.GroupTrackContainersPath, paths.groupTrackContainers),
    plugins: at(config.PluginPath, paths.plugins),
  }
}

async function makeHomeFolder(path: string): Promise<void> {
  try {
    await makeFolder(path)
  } catch (error) {
    throw homeUnusable(path, error)
  }
}

/** Makes the folder of the control socket. Every user who can enter it controls the node. */
async function makePrivateFolder(path: string): Promise<void> {
  await makeHomeFolder(path)
  const found = await lstat(path)
  if (!found.isDirectory() || found.uid !== (process.getuid?.() ?? found.uid)) {
    throw new AppError('home_unusable', { path, why: 'it belongs to another user' })
  }
  if ((found.mode & 0o077) === 0) return
  await chmod(path, 0o700).catch((error) => {
    throw homeUnusable(path, error)
  })
}
