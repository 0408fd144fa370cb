import { type FileHandle, link, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { diskFailed, homeUnusable } from './fileErrors.ts'
import { isRunning } from './lockHolder.ts'
import { makeFolder } from './makeFolder.ts'

/** Replaces the content of `path` atomically and keeps the file's mode. Throws `disk_failed`; the file is then unchanged. */
export async function replace(path: string, text: string): Promise<void> {
  await prepare(path, text, (temporary) => rename(temporary, path))
}

/** Creates `path` with `text`, readable by its owner alone. Returns false and changes nothing if it exists already. */
export async function createOnce(path: string, text: string): Promise<boolean> {
  let made = true
  await prepare(path, text, async (temporary) => {
    await link(temporary, path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error
      made = false
    })
    await rm(temporary, { force: true })
  })
  return made
}

/**
 * Renames a damaged file, so that nothing overwrites it, and returns its new path. With `keep`, the file has both names
 * until `replace` gives the former one new content. Throws `home_unusable`.
 */
export async function quarantine(path: string, { keep = false } = {}): Promise<string> {
  for (let number = 1; ; number += 1) {
    const quarantinePath = `${path}.damaged-${number}`
    try {
      // A hard link fails if the name is taken, whereas a rename would replace a file that was quarantined earlier.
      await link(path, quarantinePath)
      if (!keep) await rm(path)
      return quarantinePath
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') continue
      throw homeUnusable(path, error)
    }
  }
}

/** Removes the temporary files of `path` that a killed process left behind. */
export async function removeLeftovers(path: string): Promise<void> {
  const siblings = await readdir(dirname(path)).catch(() => [])
  for (const name of siblings) {
    if (!name.startsWith(`${basename(path)}.`)) continue
    const pid = /\.(\d+)-\d+\.tmp$/.exec(name)?.[1]
    if (pid && !isRunning(Number(pid))) await rm(join(dirname(path), name), { force: true }).catch(() => {})
  }
}

let serial = 0

async function prepare(path: string, text: string, publish: (temporary: string) => Promise<void>): Promise<void> {
  serial += 1
  const temporary = `${path}.${process.pid}-${serial}.tmp`
  try {
    const mode = await stat(path).then(
      (found) => found.mode & 0o777,
      () => 0o600,
    )
    await makeFolder(dirname(path))
    await using(open(temporary, 'wx', mode), async (handle) => {
      await handle.chmod(mode)
      await handle.writeFile(text)
      await handle.sync()
    })
    await publish(temporary)
    // Without this sync, a power failure may undo the rename.
    await using(open(dirname(path), 'r'), (folder) => folder.sync())
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {})
    throw diskFailed(path, error)
  }
}

async function using(opening: Promise<FileHandle>, work: (handle: FileHandle) => Promise<void>): Promise<void> {
  const handle = await opening
  try {
    await work(handle)
  } finally {
    await handle.close()
  }
}
