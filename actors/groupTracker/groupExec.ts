import { spawn } from 'node:child_process'
import PQueue from 'p-queue'
import { CONCURRENT_EXECS_MAX, SSH_CONNECT_TIMEOUT_S } from '../../protocol/defaults/groupTracker.ts'
import { AppError, toFailure } from '../../protocol/errors.ts'
import type { ExecResult } from '../../protocol/groups.ts'
import type { Loan } from '../../protocol/groupTracker.ts'
import type { ContainerId } from '../../protocol/ids.ts'
import { type SshFiles, shellLine, sshArgs } from '../../protocol/ssh.ts'
import { lineSplitter } from '../lines.ts'

export interface ExecOutput {
  onLine: (id: ContainerId, stream: 'stdout' | 'stderr', line: string) => void
  onEnded: (result: ExecResult) => void
}

/**
 * Runs `command` on every member with the real `ssh`, `CONCURRENT_EXECS_MAX` at a time, and resolves with one result for each
 * member, in the members' order. A command of one word is a line for the member's shell; several words reach the
 * program unchanged. An abort ends the running ssh processes and the commands on the members.
 */
export async function execOnAll(
  members: readonly Loan[],
  command: readonly string[],
  files: SshFiles,
  output: ExecOutput,
  signal: AbortSignal,
): Promise<ExecResult[]> {
  const queue = new PQueue({ concurrency: CONCURRENT_EXECS_MAX })
  const line = command.length === 1 ? (command[0] as string) : shellLine(command)
  return Promise.all(
    members.map((loan) =>
      queue.add(async () => {
        const result = await execOn(loan, line, files, output, signal)
        output.onEnded(result)
        return result
      }),
    ),
  )
}

/** ssh may not prompt, because nobody is there to type, and a dead member must not block the others for ever. */
const UNATTENDED = [
  'BatchMode=yes',
  `ConnectTimeout=${SSH_CONNECT_TIMEOUT_S}`,
  'ServerAliveInterval=15',
  'ServerAliveCountMax=3',
]

/**
 * Runs the line `$1` in a session of its own and ends that session when the connection does: sshd then closes the
 * standard input, which `cat` waits for. Without this, a command would run on unseen after Ctrl-C.
 */
const WATCHED = `exec 3<&0
command -v setsid >/dev/null || exec "\${SHELL:-sh}" -c "$1" </dev/null 3<&-
setsid "\${SHELL:-sh}" -c "$1" </dev/null 3<&- & pid=$!
{ cat; kill -s TERM -- -$pid; sleep 5; kill -s KILL -- -$pid; } <&3 >/dev/null 2>&1 & watcher=$!
exec 3<&-
wait $pid; code=$?
kill $watcher 2>/dev/null
exit $code`

/** The exit code that ssh returns for its own failures. */
const SSH_FAILED = 255

function execOn(
  loan: Loan,
  line: string,
  files: SshFiles,
  { onLine }: ExecOutput,
  signal: AbortSignal,
): Promise<ExecResult> {
  const id = loan.ID
  return new Promise((resolve) => {
    const failed = (error: unknown) => resolve({ id, exit: null, failure: toFailure(error) })
    if (signal.aborted) return failed(new AppError('abandoned'))
    let lastErrorLine = ''
    const stdout = lineSplitter((text) => onLine(id, 'stdout', text))
    const stderr = lineSplitter((text) => {
      lastErrorLine = text
      onLine(id, 'stderr', text)
    })
    let args: string[]
    try {
      args = [...UNATTENDED.flatMap((option) => ['-o', option]), ...sshArgs(loan, files), '--', watched(line)]
    } catch (error) {
      return failed(error)
    }
    const child = spawn('ssh', args, { stdio: ['pipe', 'pipe', 'pipe'], signal })
    // It stays open as long as the connection, and nothing is written to it.
    child.stdin.on('error', () => {})
    child.stdout.on('data', (chunk: Buffer) => stdout.write(chunk))
    child.stderr.on('data', (chunk: Buffer) => stderr.write(chunk))
    child.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') failed(new AppError('program_missing', { name: 'ssh', package: 'openssh-client' }))
      else failed(signal.aborted ? new AppError('abandoned') : error)
    })
    child.on('close', (exit, ended) => {
      stdout.end()
      stderr.end()
      if (exit === SSH_FAILED) {
        const why = lastErrorLine.slice(0, 200).replace(/^ssh: /, '') || 'ssh could not connect'
        const todo = 'See with `p2prc ps` whether it still runs.'
        failed(new AppError('unreachable', { where: `Its shell on ${loan.IpAddress}`, why, todo }))
      } else if (exit === null) failed(new Error(`ssh was ended by ${ended}`))
      else resolve({ id, exit })
    })
  })
}

function watched(line: string): string {
  return shellLine(['sh', '-c', WATCHED, 'sh', line])
}
