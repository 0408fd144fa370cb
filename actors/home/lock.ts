import { link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { AppError } from '../../protocol/errors.ts'
import { once } from '../once.ts'
import { reason } from './fileErrors.ts'
import { type Holder, holderKind, isAlive, parseHolder, startOf } from './lockHolder.ts'

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
 * Acquires the exclusive lock file `path`. Returns a function that releases it and may be called twice. A dead holder loses
 * the lock at once. Throws `home_locked` if the holder is still alive after `waitMs`, and `home_unusable` if the file cannot
 * be made.
 */
export async function acquireLock(path: string, options: LockOptions): Promise<() => Promise<void>> {
  const { socket, temporary = false, waitMs, giveUp } = options
  const self = JSON.stringify({ pid: process.pid, started: startOf(process.pid), socket, temporary } satisfies Holder)
  const deadline = performance.now() + waitMs
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
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
    throw new AppError('home_unusable', { path: dirname(path), why: reason(error) }, error)
  }
}

/** Tries once. Returns 'acquired', the live holder, or undefined if the holder changed meanwhile. */
async function tryAcquire(path: string, self: string): Promise<'acquired' | Holder | undefined> {
  const temporary = `${path}.${process.pid}-${++serial}.tmp`
  await writeFile(temporary, self, { mode: 0o600, flag: 'wx' })
  try {
    // A hard link is exclusive like O_EXCL, and the file has its content from the start.
    if (await linked(temporary, path)) return 'acquired'
    const found = await content(path)
    if (found === undefined) return undefined
    const holder = parseHolder(found)
    if (holder && isAlive(holder)) return holder
    return await replaceStale(path, found, temporary, self)
  } finally {
    await rm(temporary, { force: true })
  }
}

let serial = 0

/**
 * Replaces the file of a dead holder. A process first acquires a lock named after the dead holder and checks again while it
 * holds it, so that a slow process does not replace the file of one that has just acquired the lock.
 */
async function replaceStale(
  path: string,
  stale: string,
  temporary: string,
  self: string,
): Promise<'acquired' | undefined> {
  const holder = parseHolder(stale)
  const guard = `${path}.${holder ? `${holder.pid}-${holder.started}` : 'unreadable'}`
  if ((await tryAcquire(guard, self)) !== 'acquired') return undefined
  try {
    if ((await content(path)) !== stale) return undefined
    await rename(temporary, path)
    return 'acquired'
  } finally {
    await release(guard, self)
  }
}

async function release(path: string, self: string): Promise<void> {
  if ((await content(path)) === self) await rm(path, { force: true })
}

async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

async function content(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
