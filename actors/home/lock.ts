import { readFile, readlink, rename, rm, symlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { AppError } from '../../protocol/errors.ts'
import { once } from '../once.ts'
import { homeUnusable } from './fileErrors.ts'
import { formatHolder, type Holder, holderKind, isAlive, parseHolder, startOf } from './lockHolder.ts'
import { makeFolder } from './makeFolder.ts'

export interface LockOptions {
  /** The holder's control socket, for whoever finds the lock taken. */
  socket: string
  /** Whether this process is a temporary node. */
  temporary?: boolean
  /** Milliseconds to wait for the present holder. */
  waitMs: number
  /** Called at each attempt. If it returns true, for instance because a node has started, the wait ends with `home_locked`. */
  giveUp?: (holder: Holder) => boolean
}

const RETRY_MS = 50

/**
 * Acquires the exclusive lock `path`. It is a symbolic link whose target describes the holder: making one is exclusive, it
 * has its content from the start, and so short a target takes no block of the disk, so that a full one is no obstacle. Returns a function that releases it and may be called twice. A dead holder loses
 * the lock at once. Throws `home_locked` if the holder is still alive after `waitMs`, and `home_unusable` if the file cannot
 * be made.
 */
export async function acquireLock(path: string, options: LockOptions): Promise<() => Promise<void>> {
  const { socket, temporary = false, waitMs, giveUp } = options
  const self = formatHolder({ pid: process.pid, started: startOf(process.pid), socket, temporary }, dirname(path))
  const deadline = performance.now() + waitMs
  try {
    await makeFolder(dirname(path))
    for (;;) {
      const holder = await tryAcquire(path, self)
      if (holder === 'acquired') return once(() => release(path, self))
      if (holder && (performance.now() >= deadline || giveUp?.(holder))) {
        throw new AppError('home_locked', { kind: holderKind(holder), path: dirname(path), pid: holder.pid })
      }
      await delay(holder ? RETRY_MS : 1)
    }
  } catch (error) {
    if (error instanceof AppError) throw error
    throw homeUnusable(dirname(path), error)
  }
}

/** Tries once. Returns 'acquired', the live holder, or undefined if the holder changed meanwhile. */
async function tryAcquire(path: string, self: string): Promise<'acquired' | Holder | undefined> {
  if (await linked(self, path)) return 'acquired'
  const found = await content(path)
  if (found === undefined) return undefined
  const holder = parseHolder(found, dirname(path))
  if (holder && isAlive(holder)) return holder
  return await replaceStale(path, found, self)
}

let serial = 0

/**
 * Replaces the link of a dead holder. A process first acquires a lock named after the dead holder and checks again while it
 * holds it, so that a slow process does not replace the link of one that has just acquired the lock.
 */
async function replaceStale(path: string, stale: string, self: string): Promise<'acquired' | undefined> {
  const holder = parseHolder(stale, dirname(path))
  const guard = `${path}.${holder ? `${holder.pid}-${holder.started}` : 'unreadable'}`
  if ((await tryAcquire(guard, self)) !== 'acquired') return undefined
  try {
    if ((await content(path)) !== stale) return undefined
    const temporary = `${path}.${process.pid}-${++serial}.tmp`
    await symlink(self, temporary)
    await rename(temporary, path)
    return 'acquired'
  } finally {
    await release(guard, self)
  }
}

async function release(path: string, self: string): Promise<void> {
  if ((await content(path)) === self) await rm(path, { force: true })
}

async function linked(target: string, path: string): Promise<boolean> {
  try {
    await symlink(target, path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

async function content(path: string): Promise<string | undefined> {
  try {
    return await readlink(path)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return undefined
    // Something else has this name. It describes no holder.
    if (code === 'EINVAL') return readFile(path, 'utf8')
    throw error
  }
}
