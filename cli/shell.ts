import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { SSH_CONNECT_TIMEOUT_S } from '../protocol/defaults/groupTracker.ts'
import { AppError } from '../protocol/errors.ts'

/** Returns the arguments of `ssh` for a command in a loan. ssh itself waits for a silent lender for minutes. */
export function shellArgs(sshArgs: readonly string[], words: readonly string[]): string[] {
  return ['-o', `ConnectTimeout=${SSH_CONNECT_TIMEOUT_S}`, ...sshArgs, ...words]
}

/**
 * Runs `ssh` on this terminal and resolves with its exit code, or 128 + the number of the signal that ended it.
 * Throws `program_missing`.
 */
export function openShell(args: readonly string[], program = 'ssh'): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: 'inherit' })
    child.on('error', (error: NodeJS.ErrnoException) => {
      const missing = error.code === 'ENOENT'
      reject(missing ? new AppError('program_missing', { name: program, package: 'openssh-client' }, error) : error)
    })
    child.on('exit', (code, signal) => resolve(code ?? 128 + (signal ? constants.signals[signal] : 0)))
  })
}
