import { readFileSync, readlinkSync } from 'node:fs'
import { dirname, isAbsolute, join } from 'node:path'

/** Who holds a lock, apart from how it is taken: every command asks this, and loads `node:fs/promises` for nothing else. */

/** The holder of a lock, as the lock describes it. */
export interface Holder {
  pid: number
  /** The kernel's start time of the process, which tells a reused pid from the holder's; "" if it is not known. */
  started: string
  /** Path of the holder's control socket. */
  socket: string
  /** Whether it serves commands only until none is under way, instead of running until it is stopped. */
  temporary: boolean
}

/** Returns the live holder of `path`, or undefined. It reads only one link, for the fast path of the command line. */
export function holderOf(path: string): Holder | undefined {
  try {
    const holder = parseHolder(readlinkSync(path), dirname(path))
    return holder && isAlive(holder) ? holder : undefined
  } catch {
    return undefined
  }
}

/** Returns the live holder of `path` if it is a node that runs until it is stopped. */
export function runningNode(path: string): Holder | undefined {
  const holder = holderOf(path)
  return holder?.temporary ? undefined : holder
}

/**
 * The target of the link that a holder makes in `folder`, such as `1234.5678.n:run/control.sock`, with `c` for a temporary node. File systems keep one of
 * up to 59 bytes without a block for it, hence a socket is named from the folder on.
 */
export function formatHolder(holder: Holder, folder: string): string {
  const { pid, started, socket, temporary } = holder
  const name = socket.startsWith(`${folder}/`) ? socket.slice(folder.length + 1) : socket
  return `${pid}.${started}.${temporary ? 'c' : 'n'}:${name}`
}

/** The holder that the target of a lock in `folder` describes, or undefined. */
export function parseHolder(text: string, folder: string): Holder | undefined {
  const [, pid, started = '', kind, socket = ''] = /^([1-9]\d*)\.(\w*)\.([nc]):(.*)$/.exec(text) ?? []
  if (pid === undefined) return undefined
  const path = isAbsolute(socket) ? socket : join(folder, socket)
  return { pid: Number(pid), started, socket: path, temporary: kind === 'c' }
}

/** Whether the process that took the lock still runs; another one may have its pid by now. */
export function isAlive({ pid, started }: Pick<Holder, 'pid' | 'started'>): boolean {
  return isRunning(pid) && startOf(pid) === started
}

/** Whether a process with this pid exists. */
export function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** Reads field 22 of `/proc/<pid>/stat`. A zombie counts as dead. The name in field 2 may contain spaces and parentheses. */
export function startOf(pid: number): string {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? []
    return fields[0] === 'Z' ? 'ended' : (fields[19] ?? '')
  } catch {
    return ''
  }
}

/** What the holder is, in messages. */
export function holderKind({ temporary }: Holder): 'node' | 'command' {
  return temporary ? 'command' : 'node'
}
