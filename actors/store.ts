import { type FileHandle, link, mkdir, open, readdir, readFile, realpath, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { type Adapter, Low } from 'lowdb'
import type { z } from 'zod'
import { AppError } from '../protocol/errors.ts'
import { FILE_VERSION, fileVersion } from '../protocol/files/files.ts'
import { reason } from './home/fileErrors.ts'
import { isRunning } from './home/lock.ts'

/**
 * One JSON file with one writer. What it promises:
 *
 * 1. The file is always whole: a crash at any moment leaves the former content or the new one.
 * 2. A settled `write` or `update` is on the disk.
 * 3. Changes are applied in the order of the calls; those that wait for the disk go down together.
 * 4. A write that fails rejects with `disk_failed` and leaves file and `data` as they were.
 */
export interface Store<T> {
  /** What the file holds. Never change it in place. */
  readonly data: T
  write(next: T): Promise<void>
  /** Read, change, write as one step: `change` gets what the calls before it left, so that no update is lost. */
  update(change: (data: T) => T): Promise<void>
  /** Resolves when nothing waits for the disk any more, whatever became of it. */
  settled(): Promise<void>
}

export interface StoreOptions<T> {
  schema: z.ZodType<T>
  /** What a missing or 0-byte file means. */
  empty: () => T
  indent: string
  /** Told where a file went that could not be read. */
  onDamaged?: (quarantinePath: string) => void
}

/** Throws `newer_file`, and `home_unusable` where the file cannot be read or set aside. */
export async function openStore<T>(path: string, { schema, empty, indent, onDamaged }: StoreOptions<T>) {
  // A link to a file elsewhere stays a link: the file it names is replaced.
  const file = await realpath(path).catch(() => path)
  await removeLeftovers(file)
  const adapter: Adapter<T> = {
    async read() {
      const text = await read(file)
      if (text.trim() === '') return empty()
      const document = parse(text)
      const version = fileVersion(document)
      if (version !== undefined && version > FILE_VERSION) throw new AppError('newer_file', { path, version })
      const checked = schema.safeParse(document)
      if (checked.success) return checked.data
      onDamaged?.(await quarantine(file))
      return empty()
    },
    write: (data) => replace(file, `${JSON.stringify(data, null, indent)}\n`),
  }
  const low = new Low<T>(adapter, empty())
  await low.read()
  return serialised(low)
}

interface PendingChange<T> {
  change: (data: T) => T
  done: () => void
  failed: (error: unknown) => void
}

function serialised<T>(low: Low<T>): Store<T> {
  let stored = low.data
  let writing: Promise<void> | undefined
  let pending: PendingChange<T>[] = []

  async function drain(): Promise<void> {
    while (pending.length > 0) {
      const batch = apply(pending)
      pending = []
      try {
        await low.write()
        stored = low.data
        for (const { done } of batch) done()
      } catch (error) {
        low.data = stored
        for (const { failed } of batch) failed(error)
      }
    }
    writing = undefined
  }

  function apply(changes: PendingChange<T>[]): PendingChange<T>[] {
    return changes.filter(({ change, failed }) => {
      try {
        low.data = change(low.data)
        return true
      } catch (error) {
        failed(error)
        return false
      }
    })
  }

  const update = (change: (data: T) => T) =>
    new Promise<void>((done, failed) => {
      pending.push({ change, done, failed })
      writing ??= drain()
    })
  return {
    get data() {
      return stored
    },
    write: (next) => update(() => next),
    update,
    settled: async () => writing,
  }
}

/** Puts `text` in place of `path`'s content, or leaves it as it was and throws `disk_failed`. Keeps the file's mode. */
export async function replace(path: string, text: string): Promise<void> {
  await prepare(path, text, (temporary) => rename(temporary, path))
}

/** Makes `path` with `text`, readable by its owner alone. False where it exists already: then nothing is changed. */
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

let serial = 0

async function prepare(path: string, text: string, publish: (temporary: string) => Promise<void>): Promise<void> {
  serial += 1
  const temporary = `${path}.${process.pid}-${serial}.tmp`
  try {
    const mode = await stat(path).then(
      (found) => found.mode & 0o777,
      () => 0o600,
    )
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    await using(open(temporary, 'wx', mode), async (handle) => {
      await handle.chmod(mode)
      await handle.writeFile(text)
      await handle.sync()
    })
    await publish(temporary)
    // Without this a power cut may undo the rename.
    await using(open(dirname(path), 'r'), (folder) => folder.sync())
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {})
    throw new AppError('disk_failed', { path, why: reason(error) }, error)
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

async function read(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw new AppError('home_unusable', { path, why: reason(error) }, error)
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

async function quarantine(path: string): Promise<string> {
  for (let number = 1; ; number += 1) {
    const quarantinePath = `${path}.damaged-${number}`
    try {
      // A link fails where the name is taken; a rename would replace what was set aside before.
      await link(path, quarantinePath)
      await rm(path)
      return quarantinePath
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') continue
      throw new AppError('home_unusable', { path, why: reason(error) }, error)
    }
  }
}

/** What a killed process left half written. */
async function removeLeftovers(path: string): Promise<void> {
  const siblings = await readdir(dirname(path)).catch(() => [])
  for (const name of siblings) {
    if (!name.startsWith(`${basename(path)}.`)) continue
    const pid = /\.(\d+)-\d+\.tmp$/.exec(name)?.[1]
    if (pid && !isRunning(Number(pid))) await rm(join(dirname(path), name), { force: true }).catch(() => {})
  }
}
