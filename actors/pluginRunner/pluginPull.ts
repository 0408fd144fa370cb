import { randomBytes } from 'node:crypto'
import { lstat, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PULL } from '../../protocol/defaults/pluginRunner.ts'
import { AppError } from '../../protocol/errors.ts'
import type { Plugin } from '../../protocol/pluginRunner.ts'
import { makeFolder } from '../home/makeFolder.ts'
import { type GitOptions, git } from './git.ts'
import { listFiles, printable } from './pluginFiles.ts'
import { findPlugin, isPluginName, PULLED_FILE } from './pluginFolder.ts'
import { type PullSource, parsePullUrl } from './pullUrl.ts'

export interface Pull {
  url: string
  /** The full hash, or "" for the newest commit of the default branch. */
  commit: string
  ssh: boolean
  /** The owner's plugin folder. */
  folder: string
  env: NodeJS.ProcessEnv
  caFile?: string | undefined
  signal: AbortSignal
}

/**
 * Clones a plugin into a staging folder, checks it there, and moves it into place in one step, so that an installed
 * plugin is always complete. A plugin that was pulled from the same address is replaced. Rejects with `bad_url`,
 * `bad_request`, `plugin_exists`, `plugin_bad`, `pull_failed` or `interrupted`; the plugins are then unchanged.
 */
export async function pullPlugin(pull: Pull): Promise<Plugin> {
  const source = parsePullUrl(pull.url, pull)
  if (pull.commit && !/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(pull.commit))
    throw new AppError('bad_request', {
      why: 'A commit is given as its full hash, 40 or 64 of the characters 0-9 and a-f',
    })
  const target = join(pull.folder, source.name)
  await assertReplaceable(target, source)
  await makeFolder(pull.folder)
  // The dot hides it from the list, and the same file system makes the move atomic.
  const staging = join(pull.folder, `.pull-${randomBytes(6).toString('hex')}`)
  await mkdir(staging, { mode: 0o700 })
  try {
    const fresh = join(staging, source.name)
    const commit = await fetchInto(fresh, source, { ...pull, folder: staging })
    await rm(join(fresh, '.git'), { recursive: true, force: true })
    await rm(join(fresh, PULLED_FILE), { recursive: true, force: true })
    await writeFile(join(fresh, PULLED_FILE), `${JSON.stringify({ version: 1, url: source.url, commit })}\n`, {
      flag: 'wx',
    })
    const { plugin } = check(staging, source.name)
    pull.signal.throwIfAborted()
    await replaceFolder(fresh, target, join(staging, 'before'))
    return plugin
  } finally {
    await rm(staging, { recursive: true, force: true })
  }
}

/** Removes one of the owner's plugins. Rejects with `bad_name` or `not_found`. A shipped plugin cannot be removed. */
export async function removePlugin(folder: string, name: string): Promise<void> {
  if (!isPluginName(name)) throw new AppError('bad_name', { name: printable(name), kind: 'plugin' })
  const path = join(folder, name)
  const found = await lstat(path).catch(() => undefined)
  if (!found || found.isFile()) throw new AppError('not_found', { kind: 'plugin of yours', id: name })
  // A link is removed, but not its target.
  await rm(path, { recursive: found.isDirectory(), force: true })
}

async function fetchInto(
  fresh: string,
  { url, name }: PullSource,
  options: GitOptions & Pick<Pull, 'commit'>,
): Promise<string> {
  const inside = ['-C', fresh]
  const shallow = ['--depth', '1', '--no-tags', '--no-recurse-submodules']
  try {
    await git(['init', '--quiet', '--template=', '--', fresh], options)
    const wanted = options.commit || 'HEAD'
    await git([...inside, 'fetch', '--quiet', ...shallow, '--', url, wanted], options).catch(async (error) => {
      // Some servers serve a single commit only if it is the head of a branch, so the whole history is fetched.
      if (!options.commit || error instanceof AppError) throw error
      await git(
        [
          ...inside,
          'fetch',
          '--quiet',
          '--no-tags',
          '--no-recurse-submodules',
          '--',
          url,
          '+refs/heads/*:refs/pulled/*',
        ],
        options,
      )
    })
    const commit = (
      await git([...inside, 'rev-parse', '--verify', `${options.commit || 'FETCH_HEAD'}^{commit}`], options)
    ).trim()
    assertWithinLimits(name, await git([...inside, 'ls-tree', '-r', '-l', '-z', '--full-tree', commit], options))
    await git([...inside, 'checkout', '--quiet', '--detach', commit], options)
    return commit
  } catch (error) {
    if (error instanceof AppError) throw error
    throw new AppError('pull_failed', { url, why: error instanceof Error ? error.message : String(error) }, error)
  }
}

/** Checks the list of files before any of them is written: a small pack can unpack to more than the disk holds. */
function assertWithinLimits(name: string, tree: string): void {
  const bad = (why: string) => new AppError('plugin_bad', { name, why })
  const entries = tree.split('\0').filter((entry) => entry !== '')
  if (entries.length > PULL.maxFiles) throw bad(`it has more than ${PULL.maxFiles} files`)
  let bytes = 0
  for (const entry of entries) {
    const [, size = '0', path = ''] = /^\d+ \w+ [0-9a-f]+ +(\d+|-)\t(.*)$/s.exec(entry) ?? []
    bytes += size === '-' ? 0 : Number(size)
    if (/\p{Cc}/u.test(path)) throw bad('a file name in it has control characters')
  }
  if (bytes > PULL.maxBytes) throw bad(`it is larger than ${PULL.maxBytes} bytes`)
}

function check(root: string, name: string): { plugin: Plugin } {
  try {
    listFiles(join(root, name))
  } catch (error) {
    throw new AppError('plugin_bad', { name, why: error instanceof Error ? error.message : String(error) })
  }
  return findPlugin({ own: root, shipped: root }, name)
}

async function assertReplaceable(target: string, { url, name }: PullSource): Promise<void> {
  if (!(await lstat(target).catch(() => undefined))) return
  const recorded = await readFile(join(target, PULLED_FILE), 'utf8').catch(() => '{}')
  if (!recorded.includes(JSON.stringify(url))) throw new AppError('plugin_exists', { name, url })
}

/**
 * Puts the new folder in place. If two pulls of one plugin end at the same time, the later one replaces the earlier.
 */
async function replaceFolder(fresh: string, target: string, before: string): Promise<void> {
  for (let tries = 0; ; tries += 1) {
    await rename(target, `${before}-${tries}`).catch((error) => ignore(error, ['ENOENT']))
    const inPlace = await rename(fresh, target).then(
      () => true,
      (error) => ignore(error, tries < 8 ? ['ENOTEMPTY', 'EEXIST'] : []),
    )
    if (inPlace) return
  }
}

function ignore(error: NodeJS.ErrnoException, codes: string[]): false {
  if (!codes.includes(error.code ?? '')) throw error
  return false
}
