import { readFile, realpath } from 'node:fs/promises'
import { type Adapter, Low } from 'lowdb'
import type { z } from 'zod'
import type { Undo } from '../protocol/bus.ts'
import { AppError } from '../protocol/errors.ts'
import { FILE_VERSION, fileVersion } from '../protocol/files/version.ts'
import { quarantine, removeLeftovers, replace } from './home/atomicFile.ts'
import { homeUnusable } from './home/fileErrors.ts'

/**
 * One JSON file with one writer. It guarantees:
 *
 * 1. The file is always complete: a crash at any moment leaves the previous content or the new content.
 * 2. When the promise of a `write` or `update` resolves, the change is on the disk.
 * 3. Changes are applied in the order of the calls. Changes that wait for the disk are written together.
 * 4. A write that fails rejects with `disk_failed`, and leaves the file and `data` unchanged.
 */
export interface Store<T> {
  /** The content of the file. Never modify it in place. */
  readonly data: T
  write(next: T): Promise<void>
  /**
   * Reads, changes and writes in one step. `change` gets the result of all calls before it, so that no update is lost.
   */
  update(change: (data: T) => T): Promise<void>
  /** Calls `listener` whenever `data` has changed, before the promise of the change resolves. */
  onChange(listener: () => void): Undo
  /** Resolves when no change waits for the disk any more, even if a write failed. */
  settled(): Promise<void>
}

export interface StoreOptions<T> {
  schema: z.ZodType<T>
  /** Returns the content for a missing or empty file. */
  empty: () => T
  indent: string
  /** Returns what can be read of a document that does not fit, and the names of the entries that were left out. */
  recover?: (document: unknown) => Recovered<T> | undefined
  /** Receives the path at which a file that could not be read is kept, and the entries that were left out, if others stay. */
  onDamaged?: (quarantinePath: string, lost?: readonly string[]) => void
}

export interface Recovered<T> {
  data: T
  lost: string[]
}

/** Opens a store. Throws `newer_file`, and `home_unusable` if the file cannot be read or quarantined. */
export async function openStore<T>(path: string, options: StoreOptions<T>): Promise<Store<T>> {
  // A symbolic link is kept: the file to which it points is replaced.
  const file = await realpath(path).catch(() => path)
  await removeLeftovers(file)
  const low = new Low<T>(crashSafeAdapter(path, file, options), options.empty())
  await low.read()
  return inOrder(low)
}

/**
 * Reads and writes the file for lowdb, validated by a schema and crash-safe. lowdb's own adapter also replaces the file
 * atomically, but it does not sync, so that a power failure may leave an empty file, and it accepts any JSON as the
 * data.
 */
function crashSafeAdapter<T>(
  path: string,
  file: string,
  { schema, empty, indent, recover, onDamaged }: StoreOptions<T>,
): Adapter<T> {
  const textOf = (data: T) => `${JSON.stringify(data, null, indent)}\n`
  return {
    async read() {
      const text = await read(file)
      if (text.trim() === '') return empty()
      const document = parse(text)
      const version = fileVersion(document)
      if (version !== undefined && version > FILE_VERSION) throw new AppError('newer_file', { path, version })
      const checked = schema.safeParse(document)
      if (checked.success) return checked.data
      const recovered = recover?.(document)
      onDamaged?.(await quarantine(file, { keep: recovered !== undefined }), recovered?.lost)
      if (recovered) await replace(file, textOf(recovered.data))
      return recovered?.data ?? empty()
    },
    write: (data) => replace(file, textOf(data)),
  }
}

interface PendingChange<T> {
  change: (data: T) => T
  done: () => void
  failed: (error: unknown) => void
}

/**
 * Adds to lowdb, which holds the data and writes it at each `update`, what it leaves to its user: one update at a time,
 * and the previous data after a failed write.
 */
function inOrder<T>(low: Low<T>): Store<T> {
  let stored = low.data
  let writing: Promise<void> | undefined
  const pending: PendingChange<T>[] = []
  const listeners = new Set<() => void>()

  async function drain(): Promise<void> {
    while (pending.length > 0) {
      let batch: PendingChange<T>[] = []
      try {
        await low.update(() => {
          batch = pending.splice(0).filter(apply)
        })
        stored = low.data
        for (const { done } of batch) done()
        // Code that awaits the change runs after the listeners, because its promise is resolved asynchronously.
        for (const listener of listeners) listener()
      } catch (error) {
        low.data = stored
        for (const { failed } of batch) failed(error)
      }
    }
    writing = undefined
  }

  /** Applies one change. If it throws, only this change fails. */
  function apply({ change, failed }: PendingChange<T>): boolean {
    try {
      low.data = change(low.data)
      return true
    } catch (error) {
      failed(error)
      return false
    }
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
    onChange(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    settled: async () => writing,
  }
}

async function read(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw homeUnusable(path, error)
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
