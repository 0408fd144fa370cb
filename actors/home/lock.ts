import { readFileSync } from 'node:fs'
import { link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { AppError } from '../../protocol/errors.ts'
import { once } from '../once.ts'
import { reason } from './fileErrors.ts'

/** Who holds a lock file, as it is written in it. */
export interface Holder {
  pid: number
  /** The kernel's start time of the process, so that a re-used pid is not mistaken for it; "" where there is none. */
  started: string
  /** Where the holder's control socket is. */
  socket: string
}

export interface LockOptions {
  /** The holder's control socket, for whoever finds the lock taken. */
  socket: string
  /** How long to wait for the present holder. */
  waitMs: number
  /** Asked at each try; true gives the wait up with `home_locked`, for instance when a node has appeared. */
  giveUp?: (holder: Holder) => boolean
}

const RETRY_MS = 50

/**
 * Takes the exclusive lock file `path` and returns its undo, which may be called twice. A holder that is dead loses it
 * at once. Throws `home_locked` when the holder still lives after `waitMs`, `home_unusable` when no file can be made.
 */
export async function acquireLock(path: string, { socket, waitMs, giveUp }: LockOptions): Promise<() => Promise<void>> {
  const self = JSON.stringify({ pid: process.pid, started: startOf(process.pid), socket } satisfies Holder)
  const deadline = performance.now() + waitMs
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    for (;;) {
      const holder = await tryAcquire(path, self)
      if (holder === 'acquired') return once(() => release(path, self))
      if (holder && (performance.now() >= deadline || giveUp?.(holder))) {
        throw new AppError('home_locked', { path: dirname(path), pid: holder.pid })
      }
      await delay(holder ? RETRY_MS : 1)
    }
  } catch (error) {
    if (error instanceof AppError) throw error
    throw new AppError('home_unusable', { path: dirname(path), why: reason(error) }, error)
  }
}

/** The live holder of `path`, or undefined. Costs one read, for the command line's fast path. */
export function holderOf(path: string): Holder | undefined {
  try {
    const holder = parse(readFileSync(path, 'utf8'))
    return holder && isAlive(holder) ? holder : undefined
  } catch {
    return undefined
  }
}

/** One try. 'acquired', the live holder, or undefined where the file changed hands meanwhile. */
async function tryAcquire(path: string, self: string): Promise<'acquired' | Holder | undefined> {
  const temporary = `${path}.${process.pid}-${++serial}.tmp`
  await writeFile(temporary, self, { mode: 0o600, flag: 'wx' })
  try {
    // A link is exclusive like O_EXCL, and the file has its content from the first moment.
    if (await linked(temporary, path)) return 'acquired'
    const found = await content(path)
    if (found === undefined) return undefined
    const holder = parse(found)
    if (holder && isAlive(holder)) return holder
    return await replaceStale(path, found, temporary, self)
  } finally {
    await rm(temporary, { force: true })
  }
}

let serial = 0

/**
 * Replaces a dead holder's file. Of several who try only one may, so that a slow one does not replace the file of the
 * one who has just won: each first takes a lock named after the dead holder, and looks again under it.
 */
async function replaceStale(
  path: string,
  stale: string,
  temporary: string,
  self: string,
): Promise<'acquired' | undefined> {
  const holder = parse(stale)
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

function parse(text: string): Holder | undefined {
  try {
    const { pid, started, socket } = JSON.parse(text) as Holder
    return Number.isInteger(pid) && pid > 0 ? { pid, started: String(started), socket: String(socket) } : undefined
  } catch {
    return undefined
  }
}

function isAlive({ pid, started }: Holder): boolean {
  return isRunning(pid) && startOf(pid) === started
}

/** Whether any process has this pid. */
export function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** Field 22 of `/proc/<pid>/stat`; a zombie counts as gone. The name in field 2 may hold spaces and brackets. */
function startOf(pid: number): string {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? []
    return fields[0] === 'Z' ? 'ended' : (fields[19] ?? '')
  } catch {
    return ''
  }
}
